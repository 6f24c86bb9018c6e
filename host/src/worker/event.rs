//! Events of a worker, for counters, logs and tests.

use taskseal_core::{KeyId, Refusal};

use crate::broker::BrokerError;
use crate::queue::QueueName;

/// An event of a worker.
///
/// Ids are those of the broker and reasons those of the handler, unchanged: escape both before printing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A handler started.
    Started {
        /// Task id.
        id: String,
        /// Number of the attempt, 1 for the first.
        attempt: u32,
    },
    /// A task succeeded, and the queue recorded it.
    Succeeded {
        /// Task id.
        id: String,
    },
    /// A task that had succeeded before was settled without a run.
    SettledAgain {
        /// Task id.
        id: String,
    },
    /// An attempt failed, and the task will be retried.
    Retried {
        /// Task id.
        id: String,
        /// Reason given by the handler. It stays on this host.
        reason: String,
    },
    /// A task failed permanently and was archived.
    Archived {
        /// Task id.
        id: String,
        /// Reason given by the handler. It stays on this host.
        reason: String,
    },
    /// A task was refused. It did not run, and is kept.
    Refused {
        /// Task id.
        id: String,
        /// Queue it was fetched from.
        queue: QueueName,
        /// Reason of the refusal.
        refusal: Refusal,
        /// Details for an operator.
        detail: String,
        /// Whether the quarantine stored it, in addition to the archive of the queue.
        quarantined: bool,
    },
    /// A task was given back without a run, deferred, or given back because the worker stopped while its handler ran.
    GivenBack {
        /// Task id.
        id: String,
    },
    /// A lease was lost. This worker did not record the outcome of the task, if there was one.
    LeaseLost {
        /// Task id.
        id: String,
    },
    /// Ids without a task, or duplicates of a running task, were dropped.
    Dropped {
        /// Number of tasks.
        count: usize,
    },
    /// Tasks of lost workers are pending again.
    Recovered {
        /// Number of tasks.
        count: usize,
    },
    /// Tasks that crashed too many workers were archived.
    Poisonous {
        /// Number of tasks.
        count: usize,
    },
    /// The broker did not respond, or returned an error.
    BrokerFailed {
        /// What the worker was doing.
        doing: &'static str,
        /// The error of the broker.
        error: BrokerError,
    },
    /// A worker that ends with its queues gave one up, because the broker did not respond for too long.
    GaveUp {
        /// Name of the queue.
        queue: QueueName,
    },
    /// A key in a token or service could not be used. A task that cannot be decrypted is deferred; a task whose result
    /// cannot be sealed waits.
    KeyUnavailable {
        /// Task id.
        id: String,
        /// What the worker was doing.
        doing: &'static str,
        /// Id of the key, if it is known.
        kid: Option<KeyId>,
        /// Reason given by the token or service.
        reason: String,
    },
    /// The result key works again: results are sealed, and tasks are fetched.
    KeyBack {
        /// Id of the key.
        kid: KeyId,
    },
    /// The ledger or the quarantine failed. No task starts until it responds.
    StateFailed {
        /// The error message.
        error: String,
    },
}
