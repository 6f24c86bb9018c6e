//! The task message of asynq: what Redis stores for a task.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::time::UnixMillis;

/// A task message of asynq (`asynq.TaskMessage`). A process that can write to Redis can change every field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Message {
    /// Task type (field 1).
    pub task_type: String,
    /// The sealed envelope, or the body of a task without one (field 2).
    pub payload: Bytes,
    /// Task id (field 3).
    pub id: String,
    /// Queue (field 4).
    pub queue: String,
    /// Maximum number of retries after the first attempt (field 5).
    pub retry: i32,
    /// Number of retries so far (field 6).
    pub retried: i32,
    /// The last failure (field 7).
    pub error_msg: String,
    /// Maximum duration of one attempt, in seconds; 0 for none (field 8).
    pub timeout: i64,
    /// Time after which no attempt is made, in Unix seconds; 0 for none (field 9).
    pub deadline: i64,
    /// Redis key of the uniqueness lock; empty for none (field 10).
    pub unique_key: String,
    /// Time of the last failure, in Unix seconds; 0 for none (field 11).
    pub last_failed_at: i64,
    /// How long a completed task is kept, in seconds (field 12).
    pub retention: i64,
    /// Time of completion, in Unix seconds; 0 for none (field 13).
    pub completed_at: i64,
    /// Aggregation group; empty for none (field 14).
    pub group_key: String,
    /// Headers (field 15). [`DETACHED_HEADER`](super::DETACHED_HEADER) carries a detached envelope.
    pub headers: BTreeMap<String, String>,
}

impl Message {
    /// Maximum length of an encoded message that [`decode`](Self::decode) accepts, in bytes.
    pub const MAX_ENCODED_LEN: usize = 64 << 20;

    /// Maximum number of headers that [`decode`](Self::decode) accepts.
    pub const MAX_HEADERS: usize = 1024;
}

/// A message to store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct NewMessage {
    /// The message.
    pub message: Message,
    /// When the task becomes pending. `None`: at once.
    pub process_at: Option<UnixMillis>,
}

impl NewMessage {
    /// Creates a message that is pending at once.
    #[must_use]
    pub const fn now(message: Message) -> Self {
        Self { message, process_at: None }
    }
}
