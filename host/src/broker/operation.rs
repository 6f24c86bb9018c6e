//! What an operator does with stored tasks.

use super::TaskState;

/// A change of a task that no worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// The task becomes pending now, behind the others. The worker verifies it again, and the replay ledger decides whether it
    /// runs.
    Run,
    /// The task is kept and does not run.
    Archive,
    /// The task is deleted.
    Delete,
}

/// The outcome of an [`Operation`] for one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operated {
    /// The task was changed. It had this state before.
    Done(TaskState),
    /// Nothing was changed: a task in this state cannot be, or it is as requested already.
    Unchanged(TaskState),
    /// The queue has no task with this id.
    NotFound,
}

/// The outcome of deleting a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueDeletion {
    /// The queue and its tasks were deleted.
    Deleted,
    /// Workers hold this number of its tasks; nothing was changed.
    Active(u64),
    /// It has this number of tasks, and only an empty queue was to be deleted; nothing was changed.
    NotEmpty(u64),
}

impl Operation {
    /// Returns whether it changes a task in `state`.
    pub(super) const fn applies_to(self, state: TaskState) -> bool {
        match self {
            Self::Run => matches!(
                state,
                TaskState::Scheduled | TaskState::Retry | TaskState::Archived | TaskState::Aggregating
            ),
            Self::Archive => matches!(
                state,
                TaskState::Pending | TaskState::Scheduled | TaskState::Retry | TaskState::Aggregating
            ),
            Self::Delete => !matches!(state, TaskState::Active),
        }
    }
}
