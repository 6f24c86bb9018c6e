//! Settings of a client: defaults of its tasks, and what is accepted as a result.

use std::time::Duration;

use crate::keys::{KeyRef, SealingSource};
use crate::policy::PolicySettings;
use crate::queue::QueueName;

/// Settings of a client: the section `[client]` of `taskseal.toml`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientSettings {
    /// First half of the audience of a task; the queue is the second.
    pub deployment: String,
    /// Issuer of the tasks.
    pub issuer: String,
    /// Queue of a task that names none.
    pub queue: QueueName,
    /// Keys that seal tasks, for [`Client::open`](crate::Client::open).
    pub sealing: Option<SealingSource>,
    /// Key that decrypts results, for [`Client::open`](crate::Client::open).
    pub result_key: Option<KeyRef>,
    /// Time from sealing, or from the time a task is scheduled for, to its expiry. 24 hours by default.
    pub lifetime: Duration,
    /// Maximum number of attempts, the first included. 25 by default.
    pub attempts: u16,
    /// Time limit of one attempt. 30 minutes by default.
    pub timeout: Duration,
    /// How long a completed task and its result are kept. 24 hours by default; with zero, neither is kept.
    pub retention: Duration,
    /// Maximum number of tasks under one signature, up to [`MAX_BATCH`](taskseal_core::batch::MAX_BATCH). 1 by default,
    /// which makes no batches. Suites M and E sign nothing and make none.
    ///
    /// Only workers whose [policy](PolicySettings::batches) accepts batches run a task that was sealed in one. A task
    /// that is alone under its signature is sealed as without batches.
    pub sign_batch: usize,
    /// How long a broker or token that is unavailable is retried. 30 seconds by default.
    pub retry_for: Duration,
    /// Delay between two statuses that state which keyset a client of [`Client::open`](crate::Client::open) has. 10 seconds by default;
    /// with zero it publishes none.
    pub status_every: Duration,
    /// What is accepted as a result.
    pub policy: PolicySettings,
}

impl ClientSettings {
    /// Creates settings with the default of every other field.
    #[must_use]
    pub fn new(deployment: &str, issuer: &str, queue: QueueName) -> Self {
        Self {
            deployment: deployment.to_owned(),
            issuer: issuer.to_owned(),
            queue,
            sealing: None,
            result_key: None,
            lifetime: Duration::from_secs(24 * 3600),
            attempts: 25,
            timeout: Duration::from_secs(30 * 60),
            retention: Duration::from_secs(24 * 3600),
            sign_batch: 1,
            retry_for: Duration::from_secs(30),
            status_every: Duration::from_secs(10),
            policy: PolicySettings::default(),
        }
    }

    /// Returns the audience of tasks in `queue`.
    pub(super) fn audience(&self, queue: &QueueName) -> String {
        format!("{}/{queue}", self.deployment)
    }
}
