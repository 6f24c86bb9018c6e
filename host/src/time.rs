//! Points in time: milliseconds since 1970 for the queue, seconds since 1970 for the envelope; and durations.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taskseal_core::TimeWindow;

pub use self::plausible::{ClockError, EARLIEST, check_release};

pub(crate) mod plausible;
pub mod rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number with a unit")]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Returns the time by this host's clock; 1970 if the clock is set before it.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Creates a point in time from whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Returns whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the point in time later by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns the time since `earlier`; zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Rounds up to milliseconds, so that a task that is scheduled for this time never runs before it.
impl From<SystemTime> for UnixMillis {
    fn from(time: SystemTime) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(millis(after.saturating_add(Duration::from_nanos(999_999)))),
            Err(before) => Self(millis(before.duration()).saturating_neg()),
        }
    }
}

impl From<UnixMillis> for SystemTime {
    fn from(UnixMillis(millis): UnixMillis) -> Self {
        let distance = Duration::from_millis(millis.unsigned_abs());
        let time =
            if millis < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        // Every number of milliseconds in 64 bits is within the range of a clock with 64 bits of seconds.
        time.unwrap_or(UNIX_EPOCH)
    }
}

/// Returns the time by this host's clock, in seconds since 1970-01-01T00:00:00Z; 0 if the clock is set before 1970.
#[must_use]
pub fn unix_seconds() -> u64 {
    u64::try_from(UnixMillis::now().as_secs()).unwrap_or(0)
}

/// Returns this host's clock as the checks of an envelope take it: exact to the second.
#[must_use]
pub fn clock() -> TimeWindow {
    TimeWindow::exact(unix_seconds())
}

/// Parses a duration: a whole number and one of the units in `5s`, `10m`, `24h` and `7d`; at most 10,000 years of 365 days.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, factor) =
        UNITS.into_iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    // The parser of numbers accepts a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let seconds = number.checked_mul(factor).filter(|seconds| *seconds <= LONGEST)?;
    Some(Duration::from_secs(seconds))
}

/// 10,000 years: a time that is later by more has no form in RFC 3339.
const LONGEST: u64 = 3_650_000 * 86_400;

/// Units of time and their seconds.
pub(crate) const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_a_whole_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("5s", 5), ("010m", 600), ("24h", 86_400), ("3650000d", LONGEST)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn other_forms_of_durations_are_rejected() {
        let forms = [
            "",
            "s",
            "5",
            "5 s",
            " 5s",
            "5S",
            "5ms",
            "-5s",
            "+5s",
            "1.5h",
            "1h30m",
            "5s ago",
            "PT5S",
            "5min",
            "1w",
            "\u{665}s",
            "3650001d",
            "99999999999999999999s",
            "18446744073709551615d",
        ];
        for text in forms {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
