//! Times and durations in arguments and in output.

use std::time::Duration;

use taskseal::time::{UnixMillis, parse_duration, rfc3339};

/// Parses a duration: a whole number and a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = "expected a whole number and a unit: 30s, 10m, 24h or 7d";
    parse_duration(text).ok_or_else(|| format!("`{text}` is not a duration: {expected}"))
}

/// Parses a time in RFC 3339.
pub(crate) fn instant(text: &str) -> Result<UnixMillis, String> {
    rfc3339::parse(text)
        .ok_or_else(|| format!("`{text}` is not a time: expected the form 2030-01-31T08:00:00Z"))
}

/// Parses the time of a period of validity, in whole seconds: a date (its first second, UTC), a time in RFC 3339, or a duration
/// from now.
pub(crate) fn instant_or_from_now(text: &str) -> Result<UnixMillis, String> {
    let from_now = parse_duration(text).map(|duration| UnixMillis::now().plus(duration));
    let at = from_now
        .or_else(|| rfc3339::parse(&format!("{text}T00:00:00Z")))
        .or_else(|| rfc3339::parse(text))
        .ok_or_else(|| {
            format!("`{text}` is not a time: expected {DATE}, {DATE}T08:00:00Z or a duration from now, such as 90d")
        })?;
    if at.0 < 0 || rfc3339::format(at).is_none() {
        return Err(format!("`{text}` is before 1970 or after 9999"));
    }
    Ok(UnixMillis::from_secs(at.as_secs()))
}

const DATE: &str = "2030-01-31";

/// Returns a time in RFC 3339, or the number of milliseconds if it is outside the calendar.
pub(crate) fn show(at: UnixMillis) -> String {
    rfc3339::format(at).unwrap_or_else(|| format!("{} ms", at.0))
}

/// Returns a time as [`show`] does. `None` for 0, which stands for none: a clock that was not set, or a changed file.
pub(crate) fn known(at: UnixMillis) -> Option<String> {
    (at.0 > 0).then(|| show(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_validity_in_another_form_is_refused() {
        for text in
            ["2030-02-30", "2030-1-31", "20300131", "2030-01-31T08:00:00", "90", "1969-12-31", "-1d", ""]
        {
            assert!(instant_or_from_now(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_of_validity_is_a_date_a_time_or_a_duration_from_now() {
        let shown = |text| show(instant_or_from_now(text).unwrap());
        assert_eq!(shown("2030-01-31"), "2030-01-31T00:00:00Z");
        assert_eq!(shown("2030-01-31T09:00:00.5+01:00"), "2030-01-31T08:00:00Z");
        let (before, parsed) = (UnixMillis::now(), instant_or_from_now("90d").unwrap());
        let days = i64::from(90 * 24 * 3600);
        assert!((before.as_secs() + days..=UnixMillis::now().as_secs() + days).contains(&parsed.as_secs()));
        assert_eq!(parsed.0 % 1000, 0);
    }

    #[test]
    fn time_is_printed_as_it_is_parsed() {
        let at = instant("2030-01-31T08:00:00Z").unwrap();
        assert_eq!(show(at), "2030-01-31T08:00:00Z");
        assert!(instant("noon").is_err() && instant("2030-01-31T08:00:00").is_err());
        assert_eq!(show(UnixMillis(i64::MAX)), format!("{} ms", i64::MAX));
    }

    #[test]
    fn zero_stands_for_an_unknown_time() {
        assert_eq!(known(UnixMillis(0)), None);
        assert_eq!(known(UnixMillis(1000)).as_deref(), Some("1970-01-01T00:00:01Z"));
    }
}
