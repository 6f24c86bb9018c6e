//! What operators see: the states of tasks, single tasks, and counts of a queue.

use std::time::Duration;

use super::TaskRecord;
use crate::time::UnixMillis;

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// Ready to be leased.
    Pending,
    /// Leased.
    Active,
    /// Pending later.
    Scheduled,
    /// Failed or postponed, pending again later.
    Retry,
    /// Failed for good, kept.
    Archived,
    /// Succeeded, kept with its result.
    Completed,
    /// In a group of asynq, of which one of its servers makes one task. A worker of taskseal does not run it.
    Aggregating,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Active,
        Self::Scheduled,
        Self::Retry,
        Self::Archived,
        Self::Completed,
        Self::Aggregating,
    ];

    /// Returns the word for the state, which is also asynq's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Scheduled => "scheduled",
            Self::Retry => "retry",
            Self::Archived => "archived",
            Self::Completed => "completed",
            Self::Aggregating => "aggregating",
        }
    }

    /// Returns the state that `word` names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One task as an operator sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Task id.
    pub id: String,
    /// Its state.
    pub state: TaskState,
    /// The stored record. `None`: it cannot be decoded.
    pub record: Option<TaskRecord>,
    /// Retries so far.
    pub retries: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the last attempt failed.
    pub last_failed_at: Option<UnixMillis>,
    /// When the task succeeded.
    pub completed_at: Option<UnixMillis>,
    /// The sealed result of a completed task.
    pub result: Option<Vec<u8>>,
    /// Scheduled and retry: when it becomes pending. Active: when the lease expires. Completed: when it is deleted.
    /// Archived: when it was archived. Aggregating: since when it is in its group. Pending: `None`.
    pub at: Option<UnixMillis>,
    /// Fields of the broker's own format that taskseal neither sets nor reads, by name, for display.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// Begins the reason that a worker gives for the archive of a refused task; the refusal code follows.
pub(crate) const REFUSED: &str = "taskseal: refused: ";

impl TaskInfo {
    /// Returns the code with which a worker refused the task, according to the queue: it is archived with that reason.
    #[must_use]
    pub fn refusal_code(&self) -> Option<&str> {
        let reason = self.last_error.as_deref().filter(|_| self.state == TaskState::Archived);
        reason?.strip_prefix(REFUSED)
    }

    /// Creates what is known of a task whose stored record cannot be decoded.
    pub(super) const fn undecodable(id: String, state: TaskState) -> Self {
        Self {
            id,
            state,
            record: None,
            retries: 0,
            last_error: None,
            last_failed_at: None,
            completed_at: None,
            result: None,
            at: None,
            attributes: Vec::new(),
        }
    }
}

/// The value of a field of the broker's own format.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A point in time.
    Time(UnixMillis),
}

/// Counts of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct QueueStats {
    /// Number of tasks ready to be leased.
    pub pending: u64,
    /// Number of leased tasks.
    pub active: u64,
    /// Number of tasks pending later.
    pub scheduled: u64,
    /// Number of failed or postponed tasks that will be pending again.
    pub retry: u64,
    /// Number of archived tasks.
    pub archived: u64,
    /// Number of completed tasks that are kept with their result.
    pub completed: u64,
    /// Number of tasks in groups of asynq, which do not run.
    pub aggregating: u64,
    /// Number of tasks processed since the queue was created, failures included.
    pub processed: u64,
    /// Number of failures since the queue was created.
    pub failed: u64,
    /// Number of archived tasks that the limits of the archive deleted since the queue was created.
    pub trimmed: u64,
    /// Whether the queue is paused: no task can be leased from it.
    pub paused: bool,
    /// How long the oldest pending task has waited.
    pub oldest_pending: Option<Duration>,
}
