//! Brokers: queues that store sealed tasks and lease them to workers, in batches.
//!
//! A broker stores bytes and moves tasks between states. It receives no secrets, and its data is not trusted: the worker
//! verifies every task that it leases. The interface uses [`TaskRecord`] and [`Settlement`]; each broker defines its own
//! storage format. Two brokers pass one conformance suite: one in a SQLite file and one on Redis, in the layout of asynq.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::queue::QueueName;

#[doc(hidden)]
pub use self::archive::ArchiveLimits;
pub use self::error::BrokerError;
#[doc(hidden)]
pub use self::error::Cause;
#[doc(hidden)]
pub use self::health::Eviction;
#[doc(hidden)]
pub use self::info::Attribute;
pub(crate) use self::info::REFUSED;
pub use self::info::{QueueStats, TaskInfo, TaskState};
#[doc(hidden)]
pub use self::lease::DequeueLimits;
pub use self::lease::{Corrupt, Dequeued, Lease, LeaseToken, Leased};
#[doc(hidden)]
pub use self::operation::{Operated, Operation, QueueDeletion};
pub use self::record::{Enqueued, NewTask, TaskRecord};
pub use self::settlement::{Settled, Settlement};
pub use crate::time::UnixMillis;

mod archive;
mod error;
mod health;
mod info;
mod lease;
mod operation;
mod record;
#[cfg(feature = "redis")]
#[doc(hidden)]
pub mod redis;
mod settlement;
#[cfg(feature = "sqlite")]
#[doc(hidden)]
pub mod sqlite;
#[doc(hidden)]
pub mod status;

/// A queue that stores sealed tasks and leases them to workers.
///
/// Every method takes a batch and is atomic for each task. Ids are the text form of the task id. All times are those of
/// the broker's clock, so that the clocks of hosts need not agree.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug {
    /// Stores tasks, each pending now or scheduled for later. The outcomes are in the order of `tasks`.
    ///
    /// Idempotent: a caller that received no reply sends the same batch again.
    ///
    /// # Errors
    /// [`BrokerError`]; after [`BrokerError::Ambiguous`] some, all or none of the tasks are stored.
    async fn enqueue(&self, queue: &QueueName, tasks: &[NewTask]) -> Result<Vec<Enqueued>, BrokerError>;

    /// Leases pending tasks for `lease`, at most one hour, oldest first. A paused queue leases none.
    ///
    /// # Errors
    /// [`BrokerError`]; a lease whose reply was lost expires and the task is recovered.
    async fn dequeue_within(
        &self,
        queue: &QueueName,
        limits: DequeueLimits,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError>;

    /// Leases up to `limit` pending tasks, as [`dequeue_within`](Self::dequeue_within).
    ///
    /// # Errors
    /// As [`dequeue_within`](Self::dequeue_within).
    async fn dequeue(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        self.dequeue_within(queue, DequeueLimits::tasks(limit), lease).await
    }

    /// Ends leases. The outcomes are in the order of `ends`.
    ///
    /// # Errors
    /// [`BrokerError`]. Idempotent: settling a lease again returns [`Settled::LeaseLost`].
    async fn settle(
        &self,
        queue: &QueueName,
        ends: &[(Lease, Settlement)],
    ) -> Result<Vec<Settled>, BrokerError>;

    /// Extends leases to `lease` from now, at most one hour. Returns, in the order of `leases`, which are still held.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<bool>, BrokerError>;

    /// Returns up to `limit` tasks whose lease expired to the front of the queue. A damaged task does not prevent the
    /// recovery of others.
    ///
    /// A lease also expires when the broker was not reachable, or when its data was changed. Expired leases are therefore
    /// not counted against a task: the replay ledger counts the workers that were lost while they ran it.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn recover(&self, queue: &QueueName, limit: usize) -> Result<Recovered, BrokerError>;

    /// Moves up to `limit` due tasks from scheduled and retry to pending. Returns how many were moved.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn forward(&self, queue: &QueueName, limit: usize) -> Result<usize, BrokerError>;

    /// Deletes up to `limit` completed tasks past their retention, and up to `limit` archived tasks beyond the limits of the
    /// archive, oldest first. Gives active tasks without a lease, or with one that ends in more than an hour, one that has
    /// expired, so that [`recover`](Self::recover) finds them.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn tidy(&self, queue: &QueueName, limit: usize) -> Result<Tidied, BrokerError>;

    /// Runs, archives or deletes tasks that no worker holds. The outcomes are in the order of `ids`.
    ///
    /// # Errors
    /// [`BrokerError`]; some of the tasks may have been changed.
    async fn operate(
        &self,
        queue: &QueueName,
        ids: &[String],
        operation: Operation,
    ) -> Result<Vec<Operated>, BrokerError>;

    /// Deletes the queue, with its tasks if `with_tasks` is set. Nothing is deleted while workers hold tasks of it.
    ///
    /// # Errors
    /// [`BrokerError`]; some of the tasks may have been deleted.
    async fn delete_queue(&self, queue: &QueueName, with_tasks: bool) -> Result<QueueDeletion, BrokerError>;

    /// Pauses or resumes the queue. Returns whether that changed its state. Leases of a paused queue can be extended and
    /// settled.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<bool, BrokerError>;

    /// Checks that the broker responds.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn ping(&self) -> Result<(), BrokerError>;

    /// Checks that the broker responds and can be written, without a change that other calls see. Returns whether it deletes
    /// tasks on its own.
    ///
    /// # Errors
    /// [`BrokerError`].
    #[doc(hidden)]
    async fn health(&self) -> Result<Eviction, BrokerError> {
        self.ping().await.map(|()| Eviction::Never)
    }

    /// Returns the queues that a task was ever enqueued to, at most 10 000, in order of name. Names that are not a
    /// [`QueueName`] are left out.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError>;

    /// Returns the counts of one queue.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BrokerError>;

    /// Returns one page of the tasks in `state`, in the order in which they leave it. Only the page past the last task
    /// is empty; a page of large tasks may be shorter than `limit`.
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

    /// Returns one task by id, in any state.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn find(&self, queue: &QueueName, id: &str) -> Result<Option<TaskInfo>, BrokerError>;

    /// Stores the status of a process for `keep`, in whole seconds, in place of its previous one; zero deletes it. A broker that
    /// stores none returns without an error.
    ///
    /// # Errors
    /// [`BrokerError`].
    #[doc(hidden)]
    async fn publish_status(
        &self,
        _process: &str,
        _status: &[u8],
        _keep: Duration,
    ) -> Result<(), BrokerError> {
        Ok(())
    }

    /// Returns the stored statuses that have not ended, within the bounds of [`status`].
    ///
    /// # Errors
    /// [`BrokerError`].
    #[doc(hidden)]
    async fn statuses(&self) -> Result<Vec<Vec<u8>>, BrokerError> {
        Ok(Vec::new())
    }

    /// Waits until one of `queues` may have a new pending task, or `timeout` has passed. A hint only: it may return
    /// early, and the caller must still poll.
    async fn wait(&self, queues: &[QueueName], timeout: Duration);
}

/// What [`Broker::recover`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Recovered {
    /// Ids that are pending again.
    pub requeued: Vec<String>,
    /// Ids dropped because their task no longer exists.
    pub dropped: Vec<String>,
}

/// What [`Broker::tidy`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct Tidied {
    /// Number of completed tasks deleted.
    pub expired: usize,
    /// Number of active tasks without a lease that were given one.
    pub repaired: usize,
    /// Number of archived tasks deleted because of the limits of the archive.
    pub trimmed: usize,
}

/// Maximum duration of a lease. One that ends later counts as none.
pub(crate) const MAX_LEASE: Duration = Duration::from_secs(3600);
