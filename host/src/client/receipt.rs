//! What a producer keeps of an enqueued task.

use std::time::Duration;

use taskseal_core::keyset::KeyRecord;
use taskseal_core::{
    Audience, KeyId, KeyLookup, MAX_BODY, NameSet, Refusal, Suite, SuiteSet, TaskId, TimeWindow,
};

use super::{Client, ClientError};
use crate::broker::TaskRecord;
use crate::keys::Keyring;
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
    /// [`ClientError::Request`] if what the queue holds is not an authentic task of this issuer and id for this queue;
    /// [`ClientError::CompromisedKey`] if it was sealed with a key that the keyset says is compromised.
    ///
    /// # Security
    /// A key that seals nothing since it was retired or disabled, or has ended, still proves who sealed the task. A compromised one does
    /// not: an attacker who has it may have replaced the task. A receipt that was kept when the task was enqueued needs no such proof.
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
        let unverified = record.parse().map_err(ClientError::Request)?;
        let audience = self.settings().audience(queue);
        let policy = anything_sealed().for_tasks(Audience::new(&audience)?, NameSet::ANY);
        // Whether the task may still run does not matter here, only whether it was sealed so: it is judged at the time of
        // its sealing.
        let claims = unverified.danger_claims_unverified();
        let sealed_at = claims.issued_at.unwrap_or_else(unix_seconds);
        let from = claims.not_before.unwrap_or(sealed_at);
        let mut clock = TimeWindow::exact(from.max(sealed_at));
        let keys = self.producer.keys.snapshot();
        let kid = unverified.kid();
        let lookup = AlsoDisabled(&keys.keyring);
        let verified = unverified.verify(&lookup, &policy, &mut clock).map_err(|error| {
            let is_compromised = error == Refusal::KeyNotValid.into() && keys.keyring.is_compromised(kid);
            if is_compromised { ClientError::CompromisedKey(kid) } else { ClientError::Request(error) }
        })?;
        let claims = verified.claims();
        if crate::task::queue_id(claims) != queue_id || claims.issuer.as_str() != self.settings().issuer {
            return Err(ClientError::Request(Refusal::WrongRequest.into()));
        }
        let (id, task_type, digest) = (claims.task_id, claims.task_type.to_string(), *verified.digest());
        Ok(Receipt { id, queue: queue.clone(), queue_id: queue_id.to_owned(), task_type, digest })
    }
}

/// The keys of a keyset, with those that are disabled: they run nothing, and still prove who sealed a task.
struct AlsoDisabled<'a>(&'a Keyring);

impl KeyLookup for AlsoDisabled<'_> {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        let mut record = self.0.find(kid)?;
        record.enabled |= self.0.is_disabled(kid);
        Some(record)
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
