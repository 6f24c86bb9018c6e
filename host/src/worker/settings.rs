//! Settings of a worker: which tasks it takes, how many at once, and for how long.

use std::time::Duration;

use crate::keys::{KeyRef, SealingSource};
use crate::policy::{PolicySettings, TypeRules};
use crate::queue::QueueName;
use crate::retry::Backoff;

/// Settings of a worker: the section `[worker]` of `taskseal.toml`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerSettings {
    /// Name of the worker, the issuer of its results.
    pub id: String,
    /// First half of the audience of a task; the queue is the second.
    pub deployment: String,
    /// Queues to take tasks from.
    pub queues: Vec<WorkerQueue>,
    /// Keys that decrypt tasks, for [`Worker::builder`](crate::Worker::builder).
    pub decryption_keys: Vec<KeyRef>,
    /// Keys that seal results, for [`Worker::builder`](crate::Worker::builder).
    pub result: Option<SealingSource>,
    /// Maximum number of handlers that run at once. The number of processors by default.
    pub concurrency: usize,
    /// Maximum number of tasks leased by one call to the broker. 32 by default.
    pub fetch_batch: usize,
    /// Maximum number of tasks that are fetched while all handlers are busy, if the handlers are fast. 64 by default.
    pub fetch_ahead: usize,
    /// Lease of a task, extended while the task is held. When a worker is lost, other workers run its tasks after this
    /// time. 5 seconds by default.
    pub lease: Duration,
    /// Time that running handlers have to finish when the worker stops. 30 seconds by default.
    pub drain: Duration,
    /// Longest pause before an idle worker polls again. 1 second by default.
    pub poll: Duration,
    /// How long a worker that ends with its queues keeps polling a queue that does not answer. 30 seconds by default.
    pub retry_for: Duration,
    /// Delays between attempts, unless the handler has others.
    pub backoff: Backoff,
    /// Delays of tasks that are not acceptable yet: they grow with the age of the task. 5 seconds up to 10 minutes by
    /// default, 6 times that for an unknown key.
    pub postpone: Backoff,
    /// Attempts of a task whose issuer sets no limit. 25 by default.
    pub default_attempts: u16,
    /// How long a task is put off when its decryption key is unavailable. 5 seconds by default.
    pub key_retry: Duration,
    /// Time limit of an attempt whose issuer sets none, and the upper bound of what an issuer may set. 30 minutes by
    /// default.
    pub max_timeout: Duration,
    /// Delay between two statuses that the worker publishes. 10 seconds by default; with zero it publishes none.
    #[doc(hidden)]
    pub status_every: Duration,
    /// What is accepted as a task.
    pub policy: PolicySettings,
    /// The rules of single task types. None by default.
    #[doc(hidden)]
    pub rules: TypeRules,
}

/// A queue and its weight among the queues of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerQueue {
    /// Name of the queue.
    pub name: QueueName,
    /// How often it is polled first, in proportion to the other queues. At least 1.
    pub weight: u32,
    /// Maximum number of its tasks that the worker holds at once, at least 1. `None`: as many as the worker has handlers for.
    /// A producer that has only this queue cannot occupy more handlers with slow tasks.
    pub concurrency: Option<usize>,
}

impl WorkerQueue {
    /// Creates an entry for a queue.
    #[must_use]
    pub const fn new(name: QueueName, weight: u32) -> Self {
        Self { name, weight, concurrency: None }
    }
}

impl WorkerSettings {
    /// Default of `max_timeout`.
    #[doc(hidden)]
    pub const DEFAULT_MAX_TIMEOUT: Duration = Duration::from_secs(30 * 60);

    /// Creates settings for one queue, with the default of every other field.
    #[must_use]
    pub fn new(id: &str, deployment: &str, queue: QueueName) -> Self {
        Self {
            id: id.to_owned(),
            deployment: deployment.to_owned(),
            queues: vec![WorkerQueue::new(queue, 1)],
            decryption_keys: Vec::new(),
            result: None,
            concurrency: std::thread::available_parallelism().map_or(1, usize::from),
            fetch_batch: 32,
            fetch_ahead: 64,
            lease: Duration::from_secs(5),
            drain: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            retry_for: Duration::from_secs(30),
            backoff: Backoff::default(),
            postpone: Backoff::new(Duration::from_secs(5), Duration::from_secs(600)),
            default_attempts: 25,
            key_retry: Duration::from_secs(5),
            max_timeout: Self::DEFAULT_MAX_TIMEOUT,
            status_every: Duration::from_secs(10),
            policy: PolicySettings::default(),
            rules: TypeRules::default(),
        }
    }

    /// Returns the audience of tasks in `queue`.
    pub(super) fn audience(&self, queue: &QueueName) -> String {
        format!("{}/{queue}", self.deployment)
    }
}
