//! Times and durations as a person writes and reads them.

use std::time::Duration;

use taskseal::time::{UnixMillis, parse_duration};

/// A duration with its unit, for the parser of arguments and for JSON lines.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let known = "write a whole number and a unit: 30s, 10m, 24h or 7d";
    parse_duration(text).ok_or_else(|| format!("`{text}` is not a duration: {known}"))
}

/// A point in time in RFC 3339.
pub(super) fn instant(text: &str) -> Result<UnixMillis, String> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    let instant = parsed.map_err(|_| format!("`{text}` is not a time: write it as 2030-01-31T08:00:00Z"))?;
    Ok(UnixMillis(instant.as_millisecond()))
}

/// RFC 3339 as far as calendars go, else the number.
pub(super) fn show(at: UnixMillis) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0);
    instant.map_or_else(|_| format!("{} ms", at.0), |instant| instant.to_string())
}
