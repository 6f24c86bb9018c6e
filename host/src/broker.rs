//! The seam to a queue: what a broker must do, in batches, without being trusted with anything.
//!
//! A broker stores bytes and moves task ids between states. It is not asked to keep a secret or to tell the
//! truth: everything it hands out is verified by the worker. Two implementations pass one conformance suite:
//! [`sqlite`] (one file) and [`redis`] (the layout of asynq).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::broker::redis::asynq::Message;
use crate::queue::QueueName;
use crate::time::UnixMillis;

pub use self::error::BrokerError;

mod error;
pub mod redis;
pub mod sqlite;

/// A queue that stores sealed tasks and leases them to workers.
///
/// Every method takes a batch and is atomic per task: a task is moved whole or not at all. Ids are the text
/// form of the task id. All times are the broker's own clock, so hosts need not agree on the time.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug {
    /// Stores tasks, each pending now or scheduled for later. The answers stand in the order of `tasks`.
    ///
    /// Storing the same task again is harmless: a caller that saw no reply sends the batch once more.
    ///
    /// # Errors
    /// [`BrokerError`]; after [`BrokerError::Ambiguous`] some, all or none of the tasks are stored.
    async fn enqueue(&self, queue: &QueueName, tasks: &[NewTask]) -> Result<Vec<Enqueued>, BrokerError>;

    /// Leases up to `limit` pending tasks, oldest first, for `lease`. A paused queue hands out none.
    ///
    /// # Errors
    /// [`BrokerError`]; a lease nobody heard of runs out and is recovered.
    async fn dequeue(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError>;

    /// Ends leases: done, completed, retried, archived or given back. The answers stand in the order of `ends`.
    ///
    /// # Errors
    /// [`BrokerError`]; settling twice is harmless, the second time answers [`Settled::LeaseLost`].
    async fn settle(
        &self,
        queue: &QueueName,
        ends: &[(Lease, Settlement)],
    ) -> Result<Vec<Settled>, BrokerError>;

    /// Extends leases to `lease` from now and tells which are still held, in the order given.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<bool>, BrokerError>;

    /// Returns up to `limit` tasks whose lease ran out to the front of the queue, and archives those whose
    /// worker was lost [`MAX_CRASHES`] times. A damaged task never stops the recovery of the others.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn recover(&self, queue: &QueueName, limit: usize) -> Result<Recovered, BrokerError>;

    /// Moves up to `limit` due tasks from scheduled and retry to pending; answers how many were moved.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn forward(&self, queue: &QueueName, limit: usize) -> Result<usize, BrokerError>;

    /// Deletes up to `limit` completed tasks past their retention and gives a lease that has already run out
    /// to active tasks that have none, so that [`recover`](Self::recover) finds them.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn tidy(&self, queue: &QueueName, limit: usize) -> Result<Tidied, BrokerError>;

    /// Pauses or resumes handing out tasks; answers whether that changed anything.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<bool, BrokerError>;

    /// Every queue that a task was ever enqueued to, in order of name. Names that are no [`QueueName`] are
    /// left out.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError>;

    /// Counts of one queue.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BrokerError>;

    /// One page of the tasks in `state`, those next in line first.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn list(
        &self,
        queue: &QueueName,
        state: TaskState,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<TaskInfo>, BrokerError>;

    /// One task by id, whatever its state.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn find(&self, queue: &QueueName, id: &str) -> Result<Option<TaskInfo>, BrokerError>;

    /// Waits until one of `queues` may have gained a pending task, or `timeout` has passed. A hint: it may
    /// return early, and a caller must still poll.
    async fn wait(&self, queues: &[QueueName], timeout: Duration);
}

/// Leases lost by crashed workers after which a task is archived instead of handed out again.
pub const MAX_CRASHES: u32 = 3;

/// A task to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// What is stored; `message.queue` names the queue it is enqueued to.
    pub message: Message,
    /// When the task becomes pending; `None`: now.
    pub process_at: Option<UnixMillis>,
}

/// What became of a task handed to [`Broker::enqueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enqueued {
    /// Stored now.
    New,
    /// Was there already with the same payload; nothing was changed.
    AlreadyThere,
    /// The id is taken by another payload; nothing was changed.
    Conflict,
}

/// The right to end one task, held by the worker it was leased to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Task id.
    pub id: String,
    /// Fencing token: a worker whose lease was given to another can no longer settle.
    pub token: LeaseToken,
}

/// 128 random bits that name one hand-out of a task. Not a secret from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken([u8; 16]);

impl LeaseToken {
    /// Wraps 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The 32 lower-case hex digits stored beside the task.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What [`Broker::dequeue`] handed out.
#[derive(Clone, Debug, Default)]
pub struct Dequeued {
    /// Leased tasks, oldest first.
    pub tasks: Vec<Leased>,
    /// Messages that no decoder understands: already archived, kept whole.
    pub corrupt: Vec<Corrupt>,
    /// Ids whose task was gone, and second copies of an id that is being run: dropped.
    pub dropped: Vec<String>,
}

/// A task and the right to end it.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The right to end it.
    pub lease: Lease,
    /// What was stored. Nothing in it is to be believed before the envelope in the payload is verified.
    pub message: Message,
}

/// A stored message that is no asynq task message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Task id.
    pub id: String,
    /// The bytes found.
    pub bytes: Vec<u8>,
}

/// How a lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// Succeeded, nothing is kept.
    Done,
    /// Succeeded; the task and its result are kept for `retention`.
    Complete {
        /// The message as it is to be stored, its `completed_at` set.
        message: Message,
        /// The sealed result.
        result: Vec<u8>,
        /// How long both are kept.
        retention: Duration,
    },
    /// Failed or put off: pending again at `at`.
    Retry {
        /// The message as it is to be stored, its `retried`, `error_msg` and `last_failed_at` set.
        message: Message,
        /// When it becomes pending.
        at: UnixMillis,
        /// Whether it counts as a failure in the statistics.
        failed: bool,
    },
    /// Will not run again unless an operator says so.
    Archive {
        /// The message as it is to be stored, its `error_msg` and `last_failed_at` set.
        message: Message,
    },
    /// Given back unrun, next in line.
    Requeue,
}

/// What became of a lease handed to [`Broker::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// As asked.
    Done,
    /// The lease is held by somebody else or gone; nothing was changed.
    LeaseLost,
}

/// What [`Broker::recover`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Ids that are pending again.
    pub requeued: Vec<String>,
    /// Ids archived because they took [`MAX_CRASHES`] workers down.
    pub archived: Vec<String>,
    /// Ids whose task was gone: dropped.
    pub dropped: Vec<String>,
}

/// What [`Broker::tidy`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Completed tasks deleted.
    pub expired: usize,
    /// Active tasks without a lease that got one.
    pub repaired: usize,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// Ready to be leased.
    Pending,
    /// Leased.
    Active,
    /// Pending later.
    Scheduled,
    /// Failed, pending again later.
    Retry,
    /// Will not run again by itself.
    Archived,
    /// Succeeded, kept with its result.
    Completed,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Active, Self::Scheduled, Self::Retry, Self::Archived, Self::Completed];

    /// The word asynq stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Scheduled => "scheduled",
            Self::Retry => "retry",
            Self::Archived => "archived",
            Self::Completed => "completed",
        }
    }

    /// The state named by asynq's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One task as an operator sees it.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    /// Task id.
    pub id: String,
    /// Where it stands.
    pub state: TaskState,
    /// What is stored; `None`: no decoder understands it.
    pub message: Option<Message>,
    /// The sealed result of a completed task.
    pub result: Option<Vec<u8>>,
    /// Scheduled and retry: when it becomes pending. Active: when the lease runs out. Completed: when it is
    /// deleted. Archived: when it was archived. Pending: `None`.
    pub at: Option<UnixMillis>,
    /// Workers lost while they held it.
    pub crashes: u32,
}

/// Counts of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Tasks ready to be leased.
    pub pending: u64,
    /// Tasks leased.
    pub active: u64,
    /// Tasks pending later.
    pub scheduled: u64,
    /// Tasks that failed and will be pending again.
    pub retry: u64,
    /// Tasks that will not run again by themselves.
    pub archived: u64,
    /// Finished tasks kept with their result.
    pub completed: u64,
    /// Tasks processed since the queue was made, failures included.
    pub processed: u64,
    /// Failures since the queue was made.
    pub failed: u64,
    /// Whether the queue hands out no tasks.
    pub paused: bool,
    /// How long the oldest pending task has waited.
    pub oldest_pending: Option<Duration>,
}
