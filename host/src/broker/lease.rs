//! Leases: the right to end a task, and what a call that leases tasks returns.

use bytes::Bytes;

use super::TaskRecord;

/// The right to end one task, held by the worker that leased it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Lease {
    /// Task id.
    pub id: String,
    /// Fencing token: a worker whose lease was given to another worker can no longer settle.
    pub token: LeaseToken,
    /// The task as the broker stores it. Opaque: only the broker that issued the lease reads it, to preserve the
    /// fields of its format when it stores the task again. `None` for a broker that does not need it.
    pub stored: Option<Bytes>,
}

impl Lease {
    /// Creates a lease without a stored form.
    #[must_use]
    pub const fn new(id: String, token: LeaseToken) -> Self {
        Self { id, token, stored: None }
    }
}

/// 128 random bits that identify one lease of a task. Not secret from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken([u8; 16]);

impl LeaseToken {
    /// Creates a token from 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the 32 lower-case hex digits stored beside the task.
    #[must_use]
    pub fn to_hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }
}

/// How much one call of [`Broker::dequeue_within`](super::Broker::dequeue_within) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DequeueLimits {
    /// Maximum number of tasks.
    pub tasks: usize,
    /// Maximum size of one stored task, in bytes. A larger task is archived without being read.
    pub task_bytes: usize,
    /// Maximum size of all stored tasks together, in bytes. One task is taken even if it is larger.
    pub total_bytes: usize,
}

impl DequeueLimits {
    /// Largest value of the limits in bytes.
    pub const MAX_BYTES: usize = 64 << 20;

    /// Limits the number of tasks to `tasks`, and the sizes to [`MAX_BYTES`](Self::MAX_BYTES).
    #[must_use]
    pub const fn tasks(tasks: usize) -> Self {
        Self { tasks, task_bytes: Self::MAX_BYTES, total_bytes: Self::MAX_BYTES }
    }

    /// Limits the size of one stored task.
    #[must_use]
    pub fn with_task_bytes(self, bytes: usize) -> Self {
        Self { task_bytes: bytes.min(Self::MAX_BYTES), ..self }
    }

    /// Limits the size of all stored tasks together.
    #[must_use]
    pub fn with_total_bytes(self, bytes: usize) -> Self {
        Self { total_bytes: bytes.min(Self::MAX_BYTES), ..self }
    }
}

/// What [`Broker::dequeue`](super::Broker::dequeue) returns.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Dequeued {
    /// Leased tasks, oldest first.
    pub tasks: Vec<Leased>,
    /// Stored tasks that cannot be decoded. The broker has archived them unchanged.
    pub corrupt: Vec<Corrupt>,
    /// Ids that were dropped: their task no longer exists, or the id is already leased.
    pub dropped: Vec<String>,
}

/// A leased task.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Leased {
    /// The right to end it.
    pub lease: Lease,
    /// The stored record, unverified.
    pub record: TaskRecord,
}

/// A stored task that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Corrupt {
    /// Task id.
    pub id: String,
    /// The stored bytes. Empty if they are longer than [`DequeueLimits::task_bytes`].
    pub bytes: Vec<u8>,
    /// Whether they are longer than [`DequeueLimits::task_bytes`].
    pub is_too_large: bool,
}
