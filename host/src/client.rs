//! The client: seals tasks, puts them into a queue, and opens their results.

mod combine;
mod delivery;
mod error;
mod opening;
mod sealing;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use taskseal_core::{Audience, MAX_BODY, Policy, Refusal, Suite, SuiteSet, TaskId, TimeWindow, Unverified};

pub use self::delivery::{Forwarded, enqueue_sealed};
pub use self::error::ClientError;
pub use self::sealing::SealedTask;
pub use self::settings::ClientSettings;

use self::combine::Combiner;
use self::delivery::store;
use self::opening::Found;
use self::sealing::{Origin, Sealed};
use crate::broker::{Broker, NewTask, TaskState};
use crate::keys::{Keyring, SealingKey};
use crate::queue::QueueName;
use crate::result::{TaskResult, unix_seconds};
use crate::task::Task;

/// Seals tasks and enqueues them.
pub struct Client {
    origin: Arc<Origin>,
    combiner: Arc<Combiner>,
    broker: Arc<dyn Broker>,
    keyring: Keyring,
}

/// What a producer keeps of a task that was enqueued: enough to know its result from any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Task id.
    pub id: TaskId,
    /// Queue it went to.
    pub queue: QueueName,
    /// What that queue calls it: its reference, if one was sealed, else its id.
    pub queue_id: String,
    /// Task type.
    pub task_type: String,
    /// SHA-256 of its envelope.
    pub digest: [u8; 32],
}

/// Most tasks handed to the broker in one call.
const STORED_AT_ONCE: usize = 128;

impl Client {
    /// A client that seals with `key`; `keyring` verifies and decrypts results.
    #[must_use]
    pub fn new(settings: ClientSettings, broker: Arc<dyn Broker>, key: SealingKey, keyring: Keyring) -> Self {
        Self { origin: Arc::new(Origin { settings, key }), combiner: Arc::default(), broker, keyring }
    }

    /// Seals a task and enqueues it.
    ///
    /// With [`ClientSettings::batch`] above 1, callers that come while a signature is being made share the next one.
    ///
    /// # Errors
    /// [`ClientError`]. After [`ClientError::Broker`] the task may have been stored, and sealing it again would make
    /// another envelope, which is a conflict: who must know for sure takes [`seal`](Self::seal) and
    /// [`enqueue_sealed`](Self::enqueue_sealed), which may be repeated.
    pub async fn enqueue(&self, task: Task) -> Result<Receipt, ClientError> {
        let Sealed { receipt, task } = self.seal_one(task).await?;
        self.store(&receipt.queue, &[task]).await?;
        Ok(receipt)
    }

    /// Seals tasks, up to [`ClientSettings::batch`] under one signature, and enqueues them in batches. The receipts stand
    /// in the order of `tasks`.
    ///
    /// A broker that does not answer is asked again with the same envelopes until it does or the client's patience ends: no
    /// task is stored twice.
    ///
    /// # Errors
    /// [`ClientError`] of the first task that fails; tasks before it may have been stored. Where each task is to have an
    /// answer of its own, use [`seal_all`](Self::seal_all) and [`enqueue_sealed`](Self::enqueue_sealed).
    pub async fn enqueue_all(&self, tasks: Vec<Task>) -> Result<Vec<Receipt>, ClientError> {
        let mut receipts = Vec::with_capacity(tasks.len());
        let mut by_queue: BTreeMap<QueueName, Vec<NewTask>> = BTreeMap::new();
        let mut tasks = tasks.into_iter();
        loop {
            let under_one_signature: Vec<Task> = tasks.by_ref().take(self.origin.batch()).collect();
            if under_one_signature.is_empty() {
                break;
            }
            for sealed in self.origin.seal(under_one_signature).await {
                let Sealed { receipt, task } = sealed?;
                let waiting = by_queue.entry(receipt.queue.clone()).or_default();
                waiting.push(task);
                if waiting.len() == STORED_AT_ONCE {
                    let batch = std::mem::take(waiting);
                    self.store(&receipt.queue, &batch).await?;
                }
                receipts.push(receipt);
            }
        }
        for (queue, batch) in by_queue {
            if !batch.is_empty() {
                self.store(&queue, &batch).await?;
            }
        }
        Ok(receipts)
    }

    /// Seals a task without enqueuing it, as [`enqueue`](Self::enqueue) does.
    ///
    /// # Errors
    /// [`ClientError::Name`] or [`ClientError::Sealing`].
    pub async fn seal(&self, task: Task) -> Result<SealedTask, ClientError> {
        self.seal_one(task).await.map(SealedTask::from)
    }

    /// Seals tasks without enqueuing them, up to [`ClientSettings::batch`] under one signature. The answers stand in the
    /// order of `tasks`; a task that cannot be sealed hurts no other, a signature that fails only those it was to cover.
    pub async fn seal_all(&self, tasks: Vec<Task>) -> Vec<Result<SealedTask, ClientError>> {
        let mut answers = Vec::with_capacity(tasks.len());
        let mut tasks = tasks.into_iter();
        loop {
            let under_one_signature: Vec<Task> = tasks.by_ref().take(self.origin.batch()).collect();
            if under_one_signature.is_empty() {
                return answers;
            }
            let sealed = self.origin.seal(under_one_signature).await;
            answers.extend(sealed.into_iter().map(|sealed| sealed.map(SealedTask::from)));
        }
    }

    /// Enqueues an envelope that was sealed before or elsewhere. May be repeated: the same envelope is stored once. Its
    /// signature, and whether this client's keyset lets it into `queue`, is for the caller to verify; the worker does in any
    /// case.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enqueue_sealed(&self, queue: &QueueName, envelope: Vec<u8>) -> Result<Receipt, ClientError> {
        let forwarded = enqueue_sealed(&*self.broker, self.settings().patience, queue, envelope).await?;
        Ok(forwarded.receipt)
    }

    async fn seal_one(&self, task: Task) -> Result<Sealed, ClientError> {
        if self.origin.batch() > 1 {
            return self.combiner.seal(task, &self.origin).await;
        }
        let mut sealed = self.origin.seal(vec![task]).await;
        sealed.pop().unwrap_or(Err(ClientError::Lost))
    }

    async fn store(&self, queue: &QueueName, batch: &[NewTask]) -> Result<(), ClientError> {
        store(&*self.broker, self.settings().patience, queue, batch).await.map(drop)
    }

    fn settings(&self) -> &ClientSettings {
        &self.origin.settings
    }

    /// The result of a task, once there is one. `None`: not finished, or not kept.
    ///
    /// A token that is to decrypt it and is away is asked again for as long as the client's patience lasts.
    ///
    /// # Errors
    /// [`ClientError::Result`] if what the queue holds is not the result of this very request, or with
    /// [`OpenError::KeyUnavailable`](taskseal_core::OpenError::KeyUnavailable) if the key that opens it cannot be used.
    pub async fn result(&self, receipt: &Receipt) -> Result<Option<TaskResult>, ClientError> {
        let found = self.broker.find(&receipt.queue, &receipt.queue_id).await?;
        let Some(envelope) =
            found.filter(|info| info.state == TaskState::Completed).and_then(|info| info.result)
        else {
            return Ok(None);
        };
        let audience = format!("{}/{}", self.settings().deployment, receipt.queue);
        let policy = self.settings().result_policy();
        let found = Found { envelope, receipt: receipt.clone(), audience, policy };
        found.open(&self.keyring, self.settings().patience).await.map(Some)
    }

    /// The receipt of a task of this client by what the queue holds under its id, for a producer that has kept only the id.
    /// `None`: the queue has no such task.
    ///
    /// # Errors
    /// [`ClientError::Result`] if what the queue holds is no authentic task of this issuer and id for this queue.
    pub async fn receipt(&self, queue: &QueueName, id: TaskId) -> Result<Option<Receipt>, ClientError> {
        let found = self.broker.find(queue, &id.to_string()).await?;
        let Some(record) = found.and_then(|info| info.record) else { return Ok(None) };
        let unverified = Unverified::parse(&record.envelope).map_err(ClientError::Result)?;
        let audience = format!("{}/{queue}", self.settings().deployment);
        let mut policy = Policy::for_tasks(Audience::new(&audience)?);
        policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
        policy.accept_batches = true;
        policy.max_body = MAX_BODY;
        policy.max_lifetime = u64::MAX;
        // Whether it may still be run is not asked, only whether it was sealed as it stands there: at its own time.
        let sealed_at = unverified.danger_claims_unverified().issued_at.unwrap_or_else(unix_seconds);
        let from = unverified.danger_claims_unverified().not_before.unwrap_or(sealed_at);
        let mut clock = TimeWindow::exact(from.max(sealed_at));
        let verified = unverified.verify(&self.keyring, &policy, &mut clock).map_err(ClientError::Result)?;
        let claims = verified.claims();
        if claims.task_id != id || claims.issuer.as_str() != self.settings().issuer {
            return Err(ClientError::Result(Refusal::WrongRequest.into()));
        }
        let (task_type, digest) = (claims.task_type.to_string(), *verified.digest());
        Ok(Some(Receipt { id, queue: queue.clone(), queue_id: id.to_string(), task_type, digest }))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", self.settings()).finish_non_exhaustive()
    }
}
