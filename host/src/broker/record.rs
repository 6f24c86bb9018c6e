//! What producers store: task records, and the answers to storing them.

use std::time::Duration;

use bytes::Bytes;

use crate::time::UnixMillis;

/// A task as its producer stored it. No call of a broker changes it.
///
/// # Security
/// A process that can write to the broker can change every field. Only the envelope is signed; the other fields are copies
/// for tools, and the worker refuses a task whose envelope says something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct TaskRecord {
    /// Task id, as text.
    pub id: String,
    /// Queue the record names.
    pub queue: String,
    /// Task type.
    pub task_type: String,
    /// The sealed envelope.
    pub envelope: Bytes,
    /// Maximum number of retries after the first attempt. `None`: not set; a broker whose format requires a number
    /// stores its own default.
    pub max_retries: Option<u32>,
    /// Maximum duration of one attempt. `None`: not set; a broker whose format requires one stores its own default.
    pub timeout: Option<Duration>,
    /// How long a completed task is kept. Zero: it is deleted on completion.
    pub retention: Duration,
}

/// A task to store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct NewTask {
    /// The record; `record.queue` names the queue it is enqueued to.
    pub record: TaskRecord,
    /// When the task becomes pending. `None`: at once.
    pub not_before: Option<UnixMillis>,
}

impl NewTask {
    /// Creates a task that is pending at once.
    #[must_use]
    pub const fn now(record: TaskRecord) -> Self {
        Self { record, not_before: None }
    }
}

/// The outcome for one task of [`Broker::enqueue`](super::Broker::enqueue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enqueued {
    /// The task was stored by this call.
    New,
    /// A task with this id and this envelope is already stored; nothing was changed.
    AlreadyThere,
    /// The id is taken by another envelope; nothing was changed.
    Conflict,
}
