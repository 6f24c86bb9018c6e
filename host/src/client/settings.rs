//! What a client puts into every seal, and what it accepts as an answer.

use std::time::Duration;

use taskseal_core::SuiteSet;

use crate::queue::QueueName;
use crate::result::ResultPolicy;

/// What a client puts into every seal unless a task says otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientSettings {
    /// Deployment; with the queue's name the audience of a task.
    pub deployment: String,
    /// Who makes the tasks.
    pub issuer: String,
    /// Queue of tasks that name none.
    pub queue: QueueName,
    /// How long a task may wait and be retried before it expires.
    pub lifetime: Duration,
    /// Most attempts.
    pub attempts: u16,
    /// Time limit of one attempt.
    pub timeout: Duration,
    /// How long a finished task and its result are kept; zero: neither is.
    pub retention: Duration,
    /// Most tasks under one signature, 1 to [`MAX_BATCH`](taskseal_core::batch::MAX_BATCH): 1 makes no batches, 64 suits a
    /// token. Suites M and E sign nothing and make none.
    ///
    /// Only workers that [accept batches](crate::WorkerSettings::batches) run what is sealed in one. A task that is
    /// sealed alone is sealed as ever.
    pub batch: usize,
    /// Suites that results are accepted in.
    pub result_suites: SuiteSet,
    /// Most bytes of a result.
    pub max_result: usize,
    /// Seconds by which the clock of a worker may differ when its result is opened.
    pub skew: u32,
    /// How long a broker that does not answer, and a token that is to seal or open and is away, is tried again.
    pub patience: Duration,
}

impl ClientSettings {
    /// A lifetime of 1 hour, 25 attempts of at most 30 minutes, one signature a task, results kept for 1 hour, accepted
    /// signed and encrypted (SE, SP) up to 1 MiB with 60 seconds of skew, and 30 seconds of patience.
    #[must_use]
    pub fn new(deployment: &str, issuer: &str, queue: QueueName) -> Self {
        Self {
            deployment: deployment.to_owned(),
            issuer: issuer.to_owned(),
            queue,
            lifetime: Duration::from_secs(3600),
            attempts: 25,
            timeout: Duration::from_secs(1800),
            retention: Duration::from_secs(3600),
            batch: 1,
            result_suites: SuiteSet::SIGNED_AND_ENCRYPTED,
            max_result: 1 << 20,
            skew: 60,
            patience: Duration::from_secs(30),
        }
    }

    pub(super) const fn result_policy(&self) -> ResultPolicy {
        ResultPolicy { suites: self.result_suites, max_body: self.max_result, skew: self.skew }
    }
}
