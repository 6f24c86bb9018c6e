//! What a producer keeps of an enqueued task.

use std::time::Duration;

use taskseal_core::{Audience, MAX_BODY, NameSet, Refusal, Suite, SuiteSet, TaskId, TimeWindow};

use super::{Client, ClientError};
use crate::broker::TaskRecord;
use crate::policy::PolicySettings;
use crate::queue::QueueName;
use crate::time::unix_seconds;

/// What a producer keeps of an enqueued task: enough to tell its result from any other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Task id.
    pub id: TaskId,
    /// Queue of the task.
    pub queue: QueueName,
    /// Id of the task in that queue: its sealed reference, or its task id if it has none.
    pub queue_id: String,
    /// Task type.
    pub task_type: String,
    /// SHA-256 digest of the envelope.
    pub digest: [u8; 32],
}

impl Receipt {
    /// Creates the receipt of a task that its queue stores under its task id, from what a producer has kept.
    #[must_use]
    pub fn new(id: TaskId, queue: QueueName, task_type: &str, digest: [u8; 32]) -> Self {
        Self { id, queue, queue_id: id.to_string(), task_type: task_type.to_owned(), digest }
    }
}

impl Client {
    /// Returns the receipt of a task of this client by what the queue holds under its id, for a producer that kept only
    /// the id. `None` if the queue has no such task.
    ///
    /// # Errors
    /// [`ClientError::Result`] if what the queue holds is not an authentic task of this issuer and id for this queue.
    pub async fn receipt(&self, queue: &QueueName, id: TaskId) -> Result<Option<Receipt>, ClientError> {
        self.receipt_by_queue_id(queue, &id.to_string()).await
    }

    /// Returns the receipt of a task of this client as [`receipt`](Self::receipt) does, by its id in the queue: its sealed
    /// reference, or its task id if it has none.
    ///
    /// # Errors
    /// As [`receipt`](Self::receipt).
    pub async fn receipt_by_queue_id(
        &self,
        queue: &QueueName,
        queue_id: &str,
    ) -> Result<Option<Receipt>, ClientError> {
        let found = self.broker.find(queue, queue_id).await?;
        let Some(record) = found.and_then(|info| info.record) else { return Ok(None) };
        self.verified_receipt(queue, queue_id, &record).map(Some)
    }

    fn verified_receipt(
        &self,
        queue: &QueueName,
        queue_id: &str,
        record: &TaskRecord,
    ) -> Result<Receipt, ClientError> {
        let unverified = record.parse().map_err(ClientError::Result)?;
        let audience = self.settings().audience(queue);
        let policy = anything_sealed().for_tasks(Audience::new(&audience)?, NameSet::ANY);
        // Whether the task may still run does not matter here, only whether it was sealed so: it is judged at the time of
        // its sealing.
        let claims = unverified.danger_claims_unverified();
        let sealed_at = claims.issued_at.unwrap_or_else(unix_seconds);
        let from = claims.not_before.unwrap_or(sealed_at);
        let mut clock = TimeWindow::exact(from.max(sealed_at));
        let keys = self.producer.keys.snapshot();
        let verified = unverified.verify(&keys.keyring, &policy, &mut clock).map_err(ClientError::Result)?;
        let claims = verified.claims();
        if crate::task::queue_id(claims) != queue_id || claims.issuer.as_str() != self.settings().issuer {
            return Err(ClientError::Result(Refusal::WrongRequest.into()));
        }
        let (id, task_type, digest) = (claims.task_id, claims.task_type.to_string(), *verified.digest());
        Ok(Receipt { id, queue: queue.clone(), queue_id: queue_id.to_owned(), task_type, digest })
    }
}

/// Accepts every task with a good signature.
fn anything_sealed() -> PolicySettings {
    PolicySettings {
        suites: Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with),
        batches: true,
        max_lifetime: Duration::MAX,
        max_body: MAX_BODY,
        ..PolicySettings::default()
    }
}
