//! The state files of a worker host: the replay ledger, the quarantine, and the record of the modes of task types.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use crate::sqlite::{self, OpenError};

pub(crate) use self::file::StateFile;

mod file;
#[cfg(test)]
mod tests;

/// A state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateKind {
    /// The replay ledger.
    Ledger,
    /// The quarantine.
    Quarantine,
    /// The record of the modes of task types.
    Rollout,
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ledger => "ledger",
            Self::Quarantine => "quarantine",
            Self::Rollout => "rollout record",
        })
    }
}

/// A failed call of the ledger or the quarantine. Nothing was changed: no task may run, and a task that was to be
/// quarantined is still only in its queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be opened, read or written at the moment: it is locked for too long, or the disk is full or fails.
    #[error("{kind} unavailable: {source}")]
    Unavailable {
        /// The file.
        kind: StateKind,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file belongs to another application or release, is damaged, or must not be written.
    #[error("{kind} unusable: {source}")]
    Unusable {
        /// The file.
        kind: StateKind,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no file or an empty one, although one is expected: it was never created, or it is lost.
    #[error("{kind} missing: {} does not exist or is empty", path.display())]
    Missing {
        /// What is missing.
        kind: StateKind,
        /// Where it is expected.
        path: PathBuf,
    },
    /// There is a file, although one is to be created.
    #[error("{kind} not created: {} exists", path.display())]
    Exists {
        /// What was to be created.
        kind: StateKind,
        /// Where it is.
        path: PathBuf,
    },
    /// The file was moved, deleted or replaced while this process has it open.
    #[error("{kind} unusable: {source}")]
    Moved {
        /// The file.
        kind: StateKind,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An outcome is longer than [`MAX_OUTCOME_LEN`](crate::replay::MAX_OUTCOME_LEN).
    #[error("an outcome of {length} bytes is too long for the ledger")]
    OutcomeTooLong {
        /// Its length, in bytes.
        length: usize,
    },
    /// A lock of the ledger would expire before it is acquired.
    #[error("a lock of the ledger must expire after it is acquired")]
    AlreadyExpired,
}

impl StateError {
    /// Returns whether the same call may succeed later without a change on this host.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    fn opening(kind: StateKind, error: OpenError) -> Self {
        if let OpenError::Missing { path, .. } = error {
            return Self::Missing { kind, path };
        }
        let transient = matches!(&error, OpenError::Sqlite { source, .. } if sqlite::is_transient(source));
        Self::new(kind, transient, Box::new(error))
    }

    fn using(kind: StateKind, error: rusqlite::Error) -> Self {
        Self::new(kind, sqlite::is_transient(&error), Box::new(error))
    }

    pub(crate) fn new(kind: StateKind, transient: bool, source: Box<dyn Error + Send + Sync>) -> Self {
        if transient { Self::Unavailable { kind, source } } else { Self::Unusable { kind, source } }
    }
}
