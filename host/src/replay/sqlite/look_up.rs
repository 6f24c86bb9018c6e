//! Looks a task up without a change: for operators.

use rusqlite::{OptionalExtension, params};

use super::SqliteLedger;
use super::statements::FIND;
use crate::state::StateError;

/// What the ledger has recorded of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// SHA-256 of its envelope.
    pub digest: [u8; 32],
    /// Its state.
    pub state: RecordedState,
    /// Number of attempts that have begun.
    pub attempts: u32,
    /// Number of workers that were lost while they ran it.
    pub crashes: u32,
}

/// The state of a recorded task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordedState {
    /// A worker runs it, or was lost while it ran.
    Locked,
    /// It may run again.
    Waiting,
    /// It has succeeded, and the queue has not stored that.
    Finished,
    /// It has succeeded.
    Done,
}

impl RecordedState {
    /// Returns the word for the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Locked => "running",
            Self::Waiting => "waiting",
            Self::Finished => "succeeded, not settled",
            Self::Done => "succeeded",
        }
    }
}

impl SqliteLedger {
    /// Returns what is recorded of a task. `None`: nothing.
    ///
    /// # Errors
    /// [`StateError`].
    #[doc(hidden)]
    pub fn look_up(&self, issuer: &str, task_id: &[u8; 16]) -> Result<Option<Recorded>, StateError> {
        self.reader.read(|reader| {
            let mut statement = reader.prepare_cached(FIND)?;
            let found = statement.query_row(params![issuer, task_id], |row| {
                let state = match row.get_ref(2)?.as_str()? {
                    "claimed" => RecordedState::Locked,
                    "waiting" => RecordedState::Waiting,
                    "finished" => RecordedState::Finished,
                    // The table allows no other word.
                    _ => RecordedState::Done,
                };
                Ok(Recorded { digest: row.get(1)?, state, attempts: row.get(4)?, crashes: row.get(5)? })
            });
            found.optional()
        })
    }
}
