//! What producers store: task records, and the answers to storing them.

use std::time::Duration;

use bytes::Bytes;
use taskseal_core::{OpenError, Refusal, Unverified};

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
    /// The sealed envelope. With a detached one, the body in clear.
    pub envelope: Bytes,
    /// The detached envelope of a task whose body is in clear. Only Redis stores one, in the header `taskseal` of the message.
    pub detached: Option<Bytes>,
    /// Maximum number of retries after the first attempt. `None`: not set; a broker whose format requires a number
    /// stores its own default.
    pub max_retries: Option<u32>,
    /// Maximum duration of one attempt. `None`: not set; a broker whose format requires one stores its own default.
    pub timeout: Option<Duration>,
    /// How long a completed task is kept. Zero: it is deleted on completion.
    pub retention: Duration,
}

impl TaskRecord {
    /// Returns the bytes that the task is sealed with: the detached envelope if it has one.
    #[doc(hidden)]
    #[must_use]
    pub fn seal(&self) -> &Bytes {
        self.detached.as_ref().unwrap_or(&self.envelope)
    }

    /// Decodes the envelope of the task: the detached one, or the payload.
    ///
    /// # Errors
    /// As [`Unverified::parse`]. A task with a detached envelope is never unsealed: what cannot be one is malformed.
    #[doc(hidden)]
    pub fn parse(&self) -> Result<Unverified<'_>, OpenError> {
        let Some(detached) = &self.detached else { return Unverified::parse(&self.envelope) };
        Unverified::parse_detached(detached, &self.envelope).map_err(|error| match error {
            OpenError::Refused(Refusal::Unsealed) => Refusal::Malformed.into(),
            error => error,
        })
    }
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
