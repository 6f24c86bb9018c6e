//! What the ledger answers.

use crate::time::UnixMillis;

/// What a worker must do with a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Run it: no attempt was made before. The caller holds the lock.
    FirstRun,
    /// Run it again: earlier attempts failed or their worker was lost. The caller holds the lock.
    Redelivery {
        /// Number of this attempt, at least 2.
        attempt: u32,
        /// Number of workers that were lost while they ran it or held it ready.
        crashes: u32,
    },
    /// The task succeeded, but the broker has not stored the result: settle it again, do not run it.
    Finished {
        /// The outcome that was passed to [`Ledger::finish`](super::Ledger::finish).
        outcome: Vec<u8>,
    },
    /// Another run holds the lock: leave the task alone.
    InProgress {
        /// When the lock expires unless it is extended.
        until: UnixMillis,
    },
    /// Never run it.
    Refused(LedgerRefusal),
}

/// Why a task must not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerRefusal {
    /// The task is done, or it expires so early ([`LedgerStats::floor`](super::LedgerStats::floor)) that the ledger may
    /// have forgotten that it is.
    Replayed,
    /// The task is not recorded, and it was issued before the ledger was created to replace a lost one, which may have recorded
    /// it.
    OlderThanLedger,
    /// The issuer and id belong to another envelope.
    Conflict,
    /// The issuer allows no further attempt.
    AttemptsExhausted,
    /// The time to live has passed since the first attempt.
    Expired,
    /// Three workers were lost while they ran it.
    Poisonous {
        /// Number of lost workers.
        crashes: u32,
    },
}
