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
    Down { retry_at: Instant, reason: Error },
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
