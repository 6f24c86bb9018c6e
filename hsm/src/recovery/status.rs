//! The phase of a token, and the error that callers receive in it.

use std::time::{Duration, Instant, SystemTime};

use cryptoki::slot::Slot;

use super::classify::RecoveryLevel;
use crate::error::Error;

/// Whether the token works, and what it needs.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) phase: Phase,
    /// Start of the phase.
    pub(crate) since: SystemTime,
    pub(crate) slot: Option<Slot>,
    /// Number of the initialisation of the library that the handles belong to.
    pub(crate) epoch: u64,
    /// Number of the login that the handles belong to.
    pub(crate) logins: u64,
    pub(crate) login_required: bool,
    /// The recovery that a thread of the pool has requested, and its reason.
    pub(crate) request: Option<(RecoveryLevel, Error)>,
    pub(crate) closed: bool,
    /// Whether the recovery thread is running.
    pub(crate) supervised: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Up,
    Recovering,
    /// The next attempt is made at `retry_at`. A caller that waits moves it forward, but not before `not_before`.
    Down {
        retry_at: Instant,
        not_before: Instant,
        reason: Error,
    },
    Failed(Error),
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Recovering,
            since: SystemTime::now(),
            slot: None,
            epoch: 0,
            logins: 0,
            login_required: true,
            request: None,
            closed: false,
            supervised: false,
        }
    }
}

impl Phase {
    /// Moves the next attempt to at most [`CALLER_PAUSE`] from `now`, because a caller waits for it. Returns whether it moved.
    pub(crate) fn hasten(&mut self, now: Instant) -> bool {
        match self {
            Self::Down { retry_at, not_before, .. } => {
                let sooner = (now + CALLER_PAUSE).max(*not_before).min(*retry_at);
                std::mem::replace(retry_at, sooner) != sooner
            }
            _ => false,
        }
    }

    /// Returns the error of a call that is not executed in this phase.
    pub(crate) fn refusal(&self) -> Error {
        match self {
            Self::Up | Self::Recovering => Error::Transient { retry_after: FIRST_ATTEMPT },
            Self::Down { retry_at, .. } => {
                let now = Instant::now();
                let left = match retry_at.checked_duration_since(now) {
                    Some(left) => left,
                    // An attempt is in progress. The longer it has taken, the longer it may still take.
                    None => now.saturating_duration_since(*retry_at).min(RECOVERY_STUCK),
                };
                Error::Transient { retry_after: left.max(MIN_RETRY_AFTER) }
            }
            // `AuthFailed` reports an attempt with the PIN, which no later call has made.
            Self::Failed(Error::AuthFailed { .. }) => Error::LockedOut,
            Self::Failed(reason) => reason.clone(),
        }
    }
}

/// Minimum time after which callers are asked to retry.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(10);

/// Time after which callers are asked to retry while recovery is stuck.
pub(crate) const RECOVERY_STUCK: Duration = Duration::from_secs(1);

/// Time after which callers are asked to retry during the first attempt at recovery, which starts at once.
pub(crate) const FIRST_ATTEMPT: Duration = Duration::from_millis(100);

/// Maximum time from the call of a caller to the next attempt of a recovery.
const CALLER_PAUSE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    fn down(now: Instant, retry: u64, not_before: u64) -> Phase {
        let after = |seconds| now + Duration::from_secs(seconds);
        Phase::Down { retry_at: after(retry), not_before: after(not_before), reason: Error::Timeout }
    }

    fn retry_at(phase: &Phase) -> Instant {
        match phase {
            Phase::Down { retry_at, .. } => *retry_at,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_caller_does_not_shorten_a_pause_that_protects_the_pin() {
        let now = Instant::now();
        let mut phase = down(now, 20, 10);
        assert!(phase.hasten(now));
        assert_eq!(retry_at(&phase), now + Duration::from_secs(10));
    }

    #[test]
    fn a_caller_shortens_a_long_pause_and_does_not_extend_a_short_one() {
        let now = Instant::now();
        let mut long = down(now, 30, 0);
        assert!(long.hasten(now));
        assert_eq!(retry_at(&long), now + CALLER_PAUSE);
        assert!(!long.hasten(now + Duration::from_secs(1)), "a second caller does not extend the pause");
        assert_eq!(retry_at(&long), now + CALLER_PAUSE);
        let mut short = down(now, 1, 0);
        assert!(!short.hasten(now));
        assert_eq!(retry_at(&short), now + Duration::from_secs(1));
    }
}
