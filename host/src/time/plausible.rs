//! Whether the clock of a host is plausible: a worker accepts, refuses and forgets tasks by it.

use std::time::Duration;

use super::{UnixMillis, rfc3339};

/// 2025-01-01T00:00:00Z. Every release of this program is later, so that a clock that shows an earlier time was not set.
pub const EARLIEST: UnixMillis = UnixMillis::from_secs(1_735_689_600);

/// The clock of this host cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// It shows a time before the release of this program.
    #[error(
        "the clock of this host shows {}, before the release of this program ({})",
        shown(*now),
        self.code()
    )]
    BeforeRelease {
        /// Time that it shows.
        now: UnixMillis,
    },
    /// It shows a time before one that the replay ledger has recorded.
    #[error(
        "the clock of this host shows {}, but the ledger has recorded {} ({})",
        shown(*now),
        shown(*recorded),
        self.code()
    )]
    BehindLedger {
        /// Time that it shows.
        now: UnixMillis,
        /// Latest time that the ledger has recorded.
        recorded: UnixMillis,
    },
}

impl ClockError {
    /// Returns the stable code of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BeforeRelease { .. } => "clock-before-release",
            Self::BehindLedger { .. } => "clock-behind-ledger",
        }
    }
}

/// Checks that a clock that shows `now` is not earlier than the release of this program.
///
/// # Errors
/// [`ClockError::BeforeRelease`].
pub fn check_release(now: UnixMillis) -> Result<(), ClockError> {
    if now < EARLIEST { Err(ClockError::BeforeRelease { now }) } else { Ok(()) }
}

/// Checks that a clock that shows `now` is not earlier than `recorded` by more than `skew`.
///
/// # Errors
/// [`ClockError::BehindLedger`].
pub(crate) fn check_recorded(
    now: UnixMillis,
    recorded: UnixMillis,
    skew: Duration,
) -> Result<(), ClockError> {
    if now.plus(skew) < recorded { Err(ClockError::BehindLedger { now, recorded }) } else { Ok(()) }
}

/// Returns the time in the form of RFC 3339, in whole seconds.
fn shown(time: UnixMillis) -> String {
    let seconds = time.as_secs();
    rfc3339::format(UnixMillis::from_secs(seconds)).unwrap_or_else(|| format!("{seconds} s since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEW: Duration = Duration::from_secs(60);

    #[test]
    fn clock_before_the_release_is_refused_with_its_time() {
        for now in
            [UnixMillis(0), UnixMillis::from_secs(86_400), UnixMillis(EARLIEST.0 - 1), UnixMillis(i64::MIN)]
        {
            assert_eq!(check_release(now), Err(ClockError::BeforeRelease { now }));
        }
        assert_eq!(check_release(EARLIEST), Ok(()));
        let error = check_release(UnixMillis::from_secs(86_400)).unwrap_err();
        assert!(error.to_string().contains("1970-01-02T00:00:00Z"), "{error}");
        assert!(error.to_string().ends_with("(clock-before-release)"), "{error}");
    }

    #[test]
    fn clock_behind_the_ledger_is_refused_beyond_the_skew() {
        let recorded = UnixMillis::from_secs(1_800_000_000);
        let at_the_bound = UnixMillis(recorded.0 - 60_000);
        assert_eq!(check_recorded(at_the_bound, recorded, SKEW), Ok(()));
        let now = UnixMillis(at_the_bound.0 - 1);
        assert_eq!(check_recorded(now, recorded, SKEW), Err(ClockError::BehindLedger { now, recorded }));
        assert_eq!(check_recorded(recorded.plus(SKEW), recorded, Duration::ZERO), Ok(()));
    }
}
