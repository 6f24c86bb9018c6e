//! Points in time in the form of RFC 3339: what people write into files and arguments, and what they read.

use chrono::{DateTime, Datelike, SecondsFormat};

use super::UnixMillis;

/// Parses a point in time with its offset from UTC, such as `2030-01-31T08:00:00Z` (RFC 3339, section 5.6). What is finer than a
/// millisecond is cut off; a leap second is the second after it, as in Unix time.
#[must_use]
pub fn parse(text: &str) -> Option<UnixMillis> {
    // The parser also takes the minus sign of Unicode.
    let time = DateTime::parse_from_rfc3339(text).ok().filter(|_| text.is_ascii())?;
    Some(UnixMillis(time.timestamp_millis()))
}

/// Returns a point in time in UTC. `None` outside the years 0 to 9999, which the form has no digits for.
#[must_use]
pub fn format(at: UnixMillis) -> Option<String> {
    let time = DateTime::from_timestamp_millis(at.0)?;
    (0..=9999).contains(&time.year()).then(|| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_an_offset_or_in_another_form_is_rejected() {
        let forms = [
            "",
            "2030-01-31",
            "2030-01-31T08:00:00",
            "2030-01-31T08:00Z",
            "2030-1-31T08:00:00Z",
            "20300131T080000Z",
            "2030-02-30T08:00:00Z",
            "2030-01-31T24:00:00Z",
            "2030-01-31T08:00:00+0100",
            "2030-01-31T08:00:00\u{2212}01:00",
            "2030-01-31T08:00:00[UTC]",
            "+12030-01-31T08:00:00Z",
            " 2030-01-31T08:00:00Z",
            "2030-01-31T08:00:00Z ",
        ];
        for text in forms {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn time_outside_the_calendar_is_not_written() {
        let (first, last) = (UnixMillis(-62_167_219_200_000), UnixMillis(253_402_300_799_999));
        assert_eq!(format(first).as_deref(), Some("0000-01-01T00:00:00Z"));
        assert_eq!(format(last).as_deref(), Some("9999-12-31T23:59:59.999Z"));
        for millis in [first.0 - 1, last.0 + 1, i64::MIN, i64::MAX] {
            assert_eq!(format(UnixMillis(millis)), None, "{millis}");
        }
    }

    #[test]
    fn time_is_read_with_its_offset_and_written_in_utc() {
        let times = [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("2030-01-31T08:00:00+01:00", 1_896_073_200_000, "2030-01-31T07:00:00Z"),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000, "2017-01-01T00:00:00Z"),
            ("2030-01-31T07:00:00.25Z", 1_896_073_200_250, "2030-01-31T07:00:00.250Z"),
            ("1969-12-31T23:59:59.9999Z", -1, "1969-12-31T23:59:59.999Z"),
        ];
        for (text, millis, shown) in times {
            assert_eq!(parse(text), Some(UnixMillis(millis)), "{text}");
            assert_eq!(format(UnixMillis(millis)).as_deref(), Some(shown), "{text}");
        }
    }
}
