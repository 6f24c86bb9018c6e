//! Health of a token: its state, its recoveries, its speed.

mod counters;

use std::fmt;
use std::time::{Duration, SystemTime};

pub(crate) use self::counters::{Counters, add, read};

use crate::error::Error;

/// The health of a token at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether the token can be used.
    pub state: TokenState,
    /// Start of the current state.
    pub since: SystemTime,
    /// Reason for the current state, unless the token is up.
    pub reason: Option<Error>,
    /// Number of sessions that were replaced individually.
    pub session_recoveries: u64,
    /// Number of repeated logins, each of which includes finding all keys again.
    pub login_recoveries: u64,
    /// Number of attempts to finalise and initialise the library.
    pub library_recoveries: u64,
    /// Duration of signatures inside the token.
    pub signing: Histogram,
    /// Number of key agreements.
    pub agreements: u64,
    /// Number of wrong results that were discarded, see [`Error::FaultyAnswer`]. Shared secrets are checked by the
    /// self-test of a key only, not at each agreement.
    pub faulty_answers: u64,
    /// Whether the token reported at the latest login that wrong PINs have been counted.
    pub pin_count_low: bool,
    /// Number of threads with a session.
    pub pool_size: usize,
    /// Maximum number of threads with a session.
    pub pool_limit: usize,
    /// Number of threads that execute a call.
    pub pool_in_use: usize,
    /// Number of calls that wait for a thread.
    pub queued: usize,
    /// Number of threads stuck in the library.
    pub abandoned: usize,
}

impl Health {
    /// Returns whether the token can be used now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == TokenState::Up
    }
}

/// Whether a token can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenState {
    /// It works.
    Up,
    /// It is being logged in to again; calls wait.
    Recovering,
    /// It is unavailable; calls fail at once while recovery continues.
    Down,
    /// Recovery has stopped: an operator must act.
    Failed,
    /// It was closed.
    Closed,
}

/// A state transition. `Display` writes one line for a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TokenEvent {
    /// The token is unavailable.
    Down {
        /// Reason of the loss.
        reason: Error,
    },
    /// The token works again.
    Recovered {
        /// Whether the library was initialised again.
        library: bool,
        /// Time since the loss.
        after: Duration,
    },
    /// Recovery has stopped, because a retry would do harm or cannot succeed.
    Failed {
        /// Reason of the failure.
        reason: Error,
    },
    /// A key is missing, was replaced, or cannot be used.
    KeyLost {
        /// `CKA_ID` of the key.
        id: Vec<u8>,
        /// Reason of the loss.
        reason: Error,
    },
    /// A lost key can be used again.
    KeyFound {
        /// `CKA_ID` of the key.
        id: Vec<u8>,
    },
}

impl fmt::Display for TokenEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { reason } => write!(f, "token down: {reason}"),
            Self::Recovered { library, after } => {
                let how = if *library { "library restarted" } else { "logged in again" };
                write!(f, "token up after {} ms: {how}", after.as_millis())
            }
            Self::Failed { reason } => write!(f, "token failed: {reason}"),
            Self::KeyLost { id, reason } => write!(f, "key {} lost: {reason}", Hex(id)),
            Self::KeyFound { id } => write!(f, "key {} found again", Hex(id)),
        }
    }
}

/// Bytes in lower-case hexadecimal.
struct Hex<'b>(&'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A distribution of durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histogram {
    /// Number of observations.
    pub count: u64,
    /// Sum of all durations.
    pub sum: Duration,
    /// Cumulative counts for [`Histogram::BOUNDS`]. Longer durations are included in `count` only.
    pub buckets: [u64; Self::BOUNDS.len()],
}

impl Histogram {
    /// Upper bounds of the buckets, in microseconds.
    pub const BOUNDS: [u64; 11] =
        [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000];
}
