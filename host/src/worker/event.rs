//! What happens in a worker, for counters, logs and tests.

use taskseal_core::{KeyId, Refusal};

use crate::broker::BrokerError;
use crate::queue::QueueName;

/// Something that happened. Ids are as the broker gave them and reasons as the handler gave
/// them: escape both before printing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A handler starts on a task.
    Started {
        /// Task id.
        id: String,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// A task succeeded and the queue knows.
    Succeeded {
        /// Task id.
        id: String,
    },
    /// A task that had succeeded before was settled without running it.
    SettledAgain {
        /// Task id.
        id: String,
    },
    /// An attempt failed and another one will follow.
    Retried {
        /// Task id.
        id: String,
        /// The handler's words; they stay on this host.
        reason: String,
    },
    /// A task was given up and archived.
    Archived {
        /// Task id.
        id: String,
        /// The handler's words; they stay on this host.
        reason: String,
    },
    /// A task was refused: it never ran and is kept.
    Refused {
        /// Task id.
        id: String,
        /// Queue it was found in.
        queue: QueueName,
        /// Why.
        refusal: Refusal,
        /// More of why, for a person.
        detail: String,
        /// Whether quarantine keeps it too, not only the queue's archive.
        quarantined: bool,
    },
    /// A task was given back unrun, put off, or given back when the end of a drain cut it off.
    GivenBack {
        /// Task id.
        id: String,
    },
    /// A lease was lost: the task's end, if any, was not recorded by us.
    LeaseLost {
        /// Task id.
        id: String,
    },
    /// Ids without a task, or second copies of one that runs, were dropped.
    Dropped {
        /// How many.
        count: usize,
    },
    /// Tasks of lost workers are pending again.
    Recovered {
        /// How many.
        count: usize,
    },
    /// Tasks that took too many workers down were archived.
    Poisonous {
        /// How many.
        count: usize,
    },
    /// The broker did not answer or answered with an error.
    BrokerFailed {
        /// What we wanted.
        doing: &'static str,
        /// What it said.
        error: BrokerError,
    },
    /// A worker that ends with its queues got no answer for one of them for too long.
    GaveUp {
        /// The queue.
        queue: QueueName,
    },
    /// A key that is kept in a token or service could not be used for now, whatever the reason. A task that cannot be
    /// decrypted is put off; one whose result cannot be sealed waits.
    KeyUnavailable {
        /// Task id.
        id: String,
        /// What it was wanted for.
        doing: &'static str,
        /// The key, if it is known which one.
        kid: Option<KeyId>,
        /// What the token or service said.
        reason: String,
    },
    /// Results are sealed again, and tasks taken, after a time without the key.
    KeyBack {
        /// The key.
        kid: KeyId,
    },
    /// The ledger or the quarantine failed: nothing is run until it answers.
    StateFailed {
        /// What it said.
        error: String,
    },
}
