//! Why a ledger gave no answer.

use std::error::Error;

use crate::sqlite::{self, OpenError};

/// A ledger that gave no answer. Nothing was changed, and nothing may run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// It cannot be opened, read or written now: locked for too long, out of space, failing disk.
    #[error("ledger unavailable: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// What is stored is no ledger, is damaged, comes from another release or may not be written.
    #[error("ledger unusable: {0}")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
    /// An outcome is longer than [`MAX_OUTCOME_LEN`](super::MAX_OUTCOME_LEN).
    #[error("an outcome of {length} bytes is too long for the ledger")]
    OutcomeTooLong {
        /// Its length.
        length: usize,
    },
    /// A claim was to end before it began.
    #[error("a claim must end after it begins")]
    ClaimAlreadyOver,
}

impl LedgerError {
    /// Whether the same call may succeed later without anybody changing anything here.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(super) fn opening(error: OpenError) -> Self {
        match error {
            OpenError::Sqlite { ref source, .. } if sqlite::is_transient(source) => {
                Self::Unavailable(Box::new(error))
            }
            _ => Self::Unusable(Box::new(error)),
        }
    }

    pub(super) fn using(error: rusqlite::Error) -> Self {
        if sqlite::is_transient(&error) {
            Self::Unavailable(Box::new(error))
        } else {
            Self::Unusable(Box::new(error))
        }
    }
}
