//! Why a quarantine gave no answer.

use std::error::Error;

use crate::sqlite::{self, OpenError};

/// A quarantine that gave no answer. Nothing was changed: what was to be held is still only in its queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuarantineError {
    /// It cannot be opened, read or written now: locked for too long, out of space, failing disk.
    #[error("quarantine unavailable: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// What is stored is no quarantine, is damaged, comes from another release or may not be written.
    #[error("quarantine unusable: {0}")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
}

impl QuarantineError {
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
