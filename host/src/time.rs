//! Points in time: milliseconds since 1970 for the queue, seconds since 1970 for the envelope.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taskseal_core::TimeWindow;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The time by this host's clock; 1970 if the clock stands before it.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// A whole number of seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This point moved into the future by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How much later this is than `earlier`; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
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

/// Reads a duration written as a whole number and a unit: `5s`, `10m`, `24h`, `7d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at_checked(digits)?;
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_secs)
}

/// Units of time and their seconds.
pub(crate) const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
