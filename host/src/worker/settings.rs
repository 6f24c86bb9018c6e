//! What a worker may take, how much at once, and for how long.

use std::time::Duration;

use taskseal_core::SuiteSet;

use crate::queue::QueueName;
use crate::retry::Backoff;

/// Settings of a worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerSettings {
    /// Name of the worker, the issuer of its results.
    pub id: String,
    /// Deployment; with the queue's name the audience that tasks must be sealed for.
    pub deployment: String,
    /// Queues to take from.
    pub queues: Vec<WorkerQueue>,
    /// Most tasks run at once.
    pub concurrency: usize,
    /// Most tasks taken in one call.
    pub batch: usize,
    /// How long a task stays ours without a sign of life. A lost worker's tasks are run by others after this.
    pub lease: Duration,
    /// How long running tasks may take to end when the worker is stopped.
    pub drain: Duration,
    /// How long an idle worker waits before it asks again without having been woken.
    pub poll: Duration,
    /// How long a worker that ends with its queues asks on where it gets no answer.
    pub patience: Duration,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Suites accepted.
    pub suites: SuiteSet,
    /// Whether tasks may be sealed in batches, in which one signature covers many.
    pub batches: bool,
    /// Whether tasks of issuers without a clock are accepted: they have no expiry, so that the ledger remembers them for
    /// ever.
    pub clockless: bool,
    /// Seconds by which clocks may differ.
    pub skew: u32,
    /// Longest lifetime of a task, seconds.
    pub max_lifetime: u64,
    /// Most bytes of a body.
    pub max_body: usize,
    /// Attempts of a task whose issuer names no limit.
    pub default_attempts: u16,
    /// How long a task is put off whose decryption key is in a token or service that is away.
    pub key_retry: Duration,
    /// Time limit of an attempt whose issuer names none; also the upper bound of what an issuer may ask for.
    pub max_timeout: Duration,
}

/// A queue and how often it is asked in proportion to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerQueue {
    /// The queue.
    pub name: QueueName,
    /// Its weight, at least 1.
    pub weight: u32,
}

impl WorkerSettings {
    /// Settings for one queue with the defaults: 10 tasks at once, batches of 32, leases of 5 seconds, a drain of 20
    /// seconds, suites SE and SP, one signature a task, 60 seconds of skew, lifetimes of up to 24 hours, bodies of up to 1 MiB, 25 attempts
    /// of at most 30 minutes.
    #[must_use]
    pub fn new(id: &str, deployment: &str, queue: QueueName) -> Self {
        Self {
            id: id.to_owned(),
            deployment: deployment.to_owned(),
            queues: vec![WorkerQueue { name: queue, weight: 1 }],
            concurrency: 10,
            batch: 32,
            lease: Duration::from_secs(5),
            drain: Duration::from_secs(20),
            poll: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            backoff: Backoff::default(),
            suites: SuiteSet::SIGNED_AND_ENCRYPTED,
            batches: false,
            clockless: false,
            skew: 60,
            max_lifetime: 86_400,
            max_body: 1 << 20,
            default_attempts: 25,
            key_retry: Duration::from_secs(5),
            max_timeout: Duration::from_secs(1800),
        }
    }

    /// The audience of tasks in `queue`.
    pub(super) fn audience(&self, queue: &QueueName) -> String {
        format!("{}/{queue}", self.deployment)
    }
}
