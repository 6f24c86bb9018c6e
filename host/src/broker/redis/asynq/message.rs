//! The task message of asynq: what a broker stores for a task, and its protobuf form.

use std::collections::BTreeMap;

use super::wire::{self, DecodeMessageError};

#[cfg(test)]
mod tests;

/// One asynq task message (`asynq.TaskMessage`). Every field can be changed by whoever writes to the broker.
///
/// The sealed envelope is the `payload`; no other field is believed before it agrees with the seal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Task type (field 1), a copy of the sealed one for tools.
    pub task_type: String,
    /// The sealed envelope (field 2).
    pub payload: Vec<u8>,
    /// Task id (field 3).
    pub id: String,
    /// Queue (field 4).
    pub queue: String,
    /// Most retries after the first attempt (field 5).
    pub retry: i32,
    /// Retries so far (field 6).
    pub retried: i32,
    /// The last failure, for tools; UTF-8 (field 7).
    pub error_msg: String,
    /// Time limit of one attempt in seconds, 0 for none (field 8).
    pub timeout: i64,
    /// Unix time in seconds after which no attempt is made, 0 for none (field 9).
    pub deadline: i64,
    /// Key of the uniqueness lock, empty for none (field 10).
    pub unique_key: String,
    /// Unix time in seconds of the last failure, 0 for none (field 11).
    pub last_failed_at: i64,
    /// How long a finished task is kept, in seconds (field 12).
    pub retention: i64,
    /// Unix time in seconds of success, 0 for none (field 13).
    pub completed_at: i64,
    /// Aggregation group, empty for none (field 14).
    pub group_key: String,
    /// Headers (field 15).
    pub headers: BTreeMap<String, String>,
}

impl Message {
    /// The longest encoded message that [`decode`](Self::decode) accepts.
    pub const MAX_ENCODED_LEN: usize = 64 << 20;

    /// The most headers that [`decode`](Self::decode) accepts.
    pub const MAX_HEADERS: usize = 1024;

    /// The protobuf form: fields in ascending order, defaults left out, headers in order of their keys. The
    /// same message always gives the same bytes, and they are the bytes the Go library writes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads the protobuf form. Unknown fields are skipped; of a field given twice the last one counts.
    ///
    /// Stricter than protobuf where leniency would only help somebody who tampers: a known field with another
    /// wire type, a number that does not fit its type and a group are errors.
    ///
    /// # Errors
    /// [`DecodeMessageError`] names the first thing wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        wire::decode(bytes)
    }
}
