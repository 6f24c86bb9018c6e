//! A task before it is sealed.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use taskseal_core::name::InvalidName;
use taskseal_core::{Claims, ContentType, TaskId, TaskType};
use zeroize::Zeroizing;

use crate::queue::QueueName;
use crate::time::UnixMillis;
use crate::wiped_buffer::WipedBuffer;

/// A task to seal and enqueue. The settings of the client apply to what is not set.
pub struct Task {
    pub(crate) task_type: String,
    pub(crate) content_type: String,
    pub(crate) body: Zeroizing<Vec<u8>>,
    pub(crate) id: Option<TaskId>,
    pub(crate) reference: Option<String>,
    pub(crate) queue: Option<QueueName>,
    pub(crate) process_at: Option<UnixMillis>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) attempts: Option<u16>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retention: Option<Duration>,
    pub(crate) is_detached: bool,
}

impl Task {
    /// Creates a task with `body` as JSON.
    ///
    /// # Errors
    /// [`InvalidTask`] if the type is not a [`TaskType`] or the body cannot be serialised.
    pub fn new(task_type: &str, body: &impl Serialize) -> Result<Self, InvalidTask> {
        let json = WipedBuffer::json(body).map_err(InvalidTask::Body)?;
        Self::with_body(task_type, ContentType::JSON, json)
    }

    /// Creates a task with `body` unchanged.
    ///
    /// # Errors
    /// [`InvalidTask`] if the type is not a [`TaskType`].
    pub fn from_bytes(
        task_type: &str,
        content_type: ContentType<'_>,
        body: Vec<u8>,
    ) -> Result<Self, InvalidTask> {
        Self::with_body(task_type, content_type, Zeroizing::new(body))
    }

    fn with_body(
        task_type: &str,
        content_type: ContentType<'_>,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Self, InvalidTask> {
        TaskType::new(task_type).map_err(InvalidTask::Type)?;
        Ok(Self {
            task_type: task_type.to_owned(),
            content_type: content_type.as_str().to_owned(),
            body,
            id: None,
            reference: None,
            queue: None,
            process_at: None,
            lifetime: None,
            attempts: None,
            timeout: None,
            retention: None,
            is_detached: false,
        })
    }

    /// Sets the task id; a new UUIDv7 by default. Enqueuing another task with the same id is a conflict.
    #[must_use]
    pub const fn id(mut self, id: TaskId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the id of the task in its queue, instead of its task id. It is sealed. It must be a
    /// [`Reference`](taskseal_core::name::Reference), which is checked when the task is sealed.
    #[must_use]
    pub fn reference(mut self, reference: &str) -> Self {
        self.reference = Some(reference.to_owned());
        self
    }

    /// Sets the queue.
    #[must_use]
    pub fn queue(mut self, queue: QueueName) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Sets the time before which the task does not run. It is sealed, so the broker cannot change it.
    #[must_use]
    pub fn process_at(mut self, at: impl Into<SystemTime>) -> Self {
        self.process_at = Some(UnixMillis::from(at.into()));
        self
    }

    /// Sets the time before which the task does not run to `delay` from now, as [`process_at`](Self::process_at) does.
    #[must_use]
    pub fn process_in(self, delay: Duration) -> Self {
        self.process_at(UnixMillis::now().plus(delay))
    }

    /// Sets the time from when the task may first run to its expiry.
    #[must_use]
    pub const fn within(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets the maximum number of attempts, the first included.
    #[must_use]
    pub const fn attempts(mut self, most: u16) -> Self {
        self.attempts = Some(most);
        self
    }

    /// Sets the time limit of one attempt, rounded up to seconds.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Sets how long the completed task and its result are kept, rounded up to seconds. With zero, neither is kept.
    #[must_use]
    pub const fn retention(mut self, keep: Duration) -> Self {
        self.retention = Some(keep);
        self
    }

    /// Keeps the body in clear, where asynq workers read it, and adds a signature over body and claims beside it: for the time in which
    /// old workers run such tasks too. Redis only. It is signed with the signing key of the client, alone and not in a batch.
    ///
    /// # Security
    /// The broker can read the body. A process that can write to the queue can remove the signature: then the task is unsealed, and the
    /// mode of its type in the policy file decides. Old workers verify nothing.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.is_detached = true;
        self
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("task_type", &self.task_type).finish_non_exhaustive()
    }
}

/// Why a task cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTask {
    /// The type is not valid.
    #[error("invalid task type: {0}")]
    Type(#[source] InvalidName),
    /// The body cannot be serialised as JSON.
    #[error("the body cannot be written as json: {0}")]
    Body(#[source] serde_json::Error),
}

/// Returns the id of a task in its queue: its sealed reference, or the text of its task id if it has none.
#[doc(hidden)]
#[must_use]
pub fn queue_id(claims: &Claims<'_>) -> String {
    claims.reference.map_or_else(|| claims.task_id.to_string(), |reference| reference.to_string())
}
