//! Times and durations in arguments and in output.

use std::time::Duration;

use taskseal::time::{UnixMillis, parse_duration};

/// Parses a duration: a whole number and a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = "expected a whole number and a unit: 30s, 10m, 24h or 7d";
    parse_duration(text).ok_or_else(|| format!("`{text}` is not a duration: {expected}"))
}

/// Parses a time in RFC 3339.
pub(crate) fn instant(text: &str) -> Result<UnixMillis, String> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    let instant =
        parsed.map_err(|_| format!("`{text}` is not a time: expected the form 2030-01-31T08:00:00Z"))?;
    Ok(UnixMillis(instant.as_millisecond()))
}

/// Returns a time in RFC 3339, or the number of milliseconds if it is outside the calendar.
pub(crate) fn show(at: UnixMillis) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0);
    instant.map_or_else(|_| format!("{} ms", at.0), |instant| instant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_printed_as_it_is_parsed() {
        let at = instant("2030-01-31T08:00:00Z").unwrap();
        assert_eq!(show(at), "2030-01-31T08:00:00Z");
        assert!(instant("noon").is_err() && instant("2030-01-31T08:00:00").is_err());
        assert_eq!(show(UnixMillis(i64::MAX)), format!("{} ms", i64::MAX));
    }
}
