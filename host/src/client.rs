//! The client: seals tasks, enqueues them and opens their results.

mod announce;
mod enqueue;
mod error;
mod keys;
mod open;
mod open_result;
mod receipt;
mod receipt_text;
mod reload;
mod seal;
pub(crate) mod settings;
mod sign_batcher;
mod wait;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::enqueue::{Forwarded, enqueue_sealed};
pub use self::error::ClientError;
pub use self::receipt::Receipt;
pub use self::seal::SealedTask;
pub use self::settings::ClientSettings;
pub use self::wait::WaitOutcome;

use self::enqueue::{enqueue_parsed, store};
use self::keys::ClientKeys;
use self::reload::KeyReload;
use self::seal::{Producer, Sealed};
use self::sign_batcher::SignBatcher;
use crate::broker::{Broker, NewTask, TaskState};
use crate::keys::{Keyring, Live, SealingKey};
use crate::queue::QueueName;
use crate::result::TaskResult;
use crate::runtime::{BoxFuture, boxed};
use crate::task::Task;
use crate::time::unix_seconds;

/// Seals tasks and enqueues them.
pub struct Client {
    producer: Arc<Producer>,
    batcher: Arc<SignBatcher>,
    broker: Arc<dyn Broker>,
}

/// Maximum number of tasks that one call to the broker stores.
const STORE_BATCH: usize = 128;

impl Client {
    /// Creates a client that seals with `key`. The keys of `keyring` verify and decrypt results.
    #[must_use]
    pub fn new(settings: ClientSettings, broker: Arc<dyn Broker>, key: SealingKey, keyring: Keyring) -> Self {
        Self::with_keys(settings, broker, ClientKeys { keyring, sealing: Ok(key) }, None)
    }

    fn with_keys(
        settings: ClientSettings,
        broker: Arc<dyn Broker>,
        keys: ClientKeys,
        reload: Option<KeyReload>,
    ) -> Self {
        let producer = Producer {
            settings,
            keys: Live::new(keys),
            reload,
            broker: Arc::downgrade(&broker),
            started_at: unix_seconds(),
        };
        Self { producer: Arc::new(producer), batcher: Arc::default(), broker }
    }

    /// Has this client load its keyset and keys again, in the background. Without this call they are loaded when their files
    /// change, and at the intervals of `[keys]`, while the client is used on a runtime.
    ///
    /// The keys of a client that was not opened from a configuration stay the same.
    pub fn reload_keys(&self) {
        self.producer.watch_keys();
        if let Some(reload) = &self.producer.reload {
            reload.request();
        }
    }

    /// Checks that this client has a key that may seal tasks now. Each call that seals checks it too.
    ///
    /// # Errors
    /// [`ClientError::Key`].
    pub fn check_sealing_key(&self) -> Result<(), ClientError> {
        self.producer.keys.snapshot().sealing()?;
        Ok(())
    }

    /// Seals a task and enqueues it.
    ///
    /// With [`ClientSettings::sign_batch`] above 1, calls that arrive while a signature is made share the next one.
    ///
    /// # Errors
    /// [`ClientError`]. After [`ClientError::Broker`] the task may have been stored. Enqueuing it again with the same id
    /// makes another envelope, which is a conflict; [`seal`](Self::seal) once and repeat
    /// [`enqueue_sealed`](Self::enqueue_sealed) to be certain.
    pub async fn enqueue(&self, task: Task) -> Result<Receipt, ClientError> {
        let Sealed { receipt, task } = self.seal_one(task).await?;
        self.store(&receipt.queue, &[task]).await?;
        Ok(receipt)
    }

    /// Seals tasks, up to [`ClientSettings::sign_batch`] under one signature, and enqueues them in batches.
    /// Returns the receipts in the order of `tasks`.
    ///
    /// An unavailable broker is retried with the same envelopes, so that no task is stored twice, until
    /// [`ClientSettings::retry_for`] has passed.
    ///
    /// # Errors
    /// [`ClientError`] of the first task that fails; tasks before it may have been stored, except after
    /// [`ClientError::Recipient`]. For one result a task, use
    /// [`seal_all`](Self::seal_all) and [`enqueue_sealed`](Self::enqueue_sealed).
    pub async fn enqueue_all(&self, tasks: Vec<Task>) -> Result<Vec<Receipt>, ClientError> {
        self.seal_and_store(tasks).await
    }

    fn seal_and_store(&self, tasks: Vec<Task>) -> BoxFuture<'_, Result<Vec<Receipt>, ClientError>> {
        boxed(async move {
            self.producer.check_recipients(&tasks)?;
            let mut receipts = Vec::with_capacity(tasks.len());
            let mut by_queue: BTreeMap<QueueName, Vec<NewTask>> = BTreeMap::new();
            let mut tasks = tasks.into_iter();
            loop {
                let under_one_signature: Vec<Task> =
                    tasks.by_ref().take(self.producer.sign_batch()).collect();
                if under_one_signature.is_empty() {
                    break;
                }
                for sealed in self.producer.seal(under_one_signature).await {
                    let Sealed { receipt, task } = sealed?;
                    let waiting = by_queue.entry(receipt.queue.clone()).or_default();
                    waiting.push(task);
                    if waiting.len() == STORE_BATCH {
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
        })
    }

    /// Seals a task without enqueuing it, as [`enqueue`](Self::enqueue) does.
    ///
    /// # Errors
    /// [`ClientError::Name`], [`ClientError::Key`], [`ClientError::Recipient`] or [`ClientError::Sealing`].
    pub async fn seal(&self, task: Task) -> Result<SealedTask, ClientError> {
        self.seal_one(task).await.map(SealedTask::from)
    }

    /// Seals tasks without enqueuing them, up to [`ClientSettings::sign_batch`] under one signature.
    /// Returns the results in the order of `tasks`. A task that cannot be sealed does not affect the others; a signature
    /// that fails affects the tasks under it.
    pub async fn seal_all(&self, tasks: Vec<Task>) -> Vec<Result<SealedTask, ClientError>> {
        let mut answers = Vec::with_capacity(tasks.len());
        let mut tasks = tasks.into_iter();
        loop {
            let under_one_signature: Vec<Task> = tasks.by_ref().take(self.producer.sign_batch()).collect();
            if under_one_signature.is_empty() {
                return answers;
            }
            let sealed = self.producer.seal(under_one_signature).await;
            answers.extend(sealed.into_iter().map(|sealed| sealed.map(SealedTask::from)));
        }
    }

    /// Enqueues an envelope that was sealed before or elsewhere. May be repeated: the same envelope is stored once.
    ///
    /// # Security
    /// The signature is not verified here. The worker verifies it and its claims for `queue`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enqueue_sealed(&self, queue: &QueueName, envelope: Vec<u8>) -> Result<Receipt, ClientError> {
        let forwarded = enqueue_sealed(&*self.broker, self.settings().retry_for, queue, envelope).await?;
        Ok(forwarded.receipt)
    }

    /// Enqueues a [detached](Task::detached) envelope and its body, which stays in clear. May be repeated.
    ///
    /// # Security
    /// As [`enqueue_sealed`](Self::enqueue_sealed).
    ///
    /// # Errors
    /// [`ClientError`]; [`BrokerError::Refused`](crate::broker::BrokerError::Refused) if the broker is not Redis.
    pub async fn enqueue_detached(
        &self,
        queue: &QueueName,
        envelope: Vec<u8>,
        body: Vec<u8>,
    ) -> Result<Receipt, ClientError> {
        let (broker, retry_for) = (&*self.broker, self.settings().retry_for);
        let forwarded = enqueue_parsed(broker, retry_for, queue, envelope, Some(body)).await?;
        Ok(forwarded.receipt)
    }

    fn seal_one(&self, task: Task) -> BoxFuture<'_, Result<Sealed, ClientError>> {
        if self.producer.sign_batch() > 1 {
            return boxed(self.batcher.seal(task, &self.producer));
        }
        boxed(async move {
            let mut sealed = self.producer.seal(vec![task]).await;
            sealed.pop().unwrap_or(Err(ClientError::Lost))
        })
    }

    async fn store(&self, queue: &QueueName, batch: &[NewTask]) -> Result<(), ClientError> {
        store(&*self.broker, self.settings().retry_for, queue, batch).await.map(drop)
    }

    fn settings(&self) -> &ClientSettings {
        &self.producer.settings
    }

    /// Returns the result of a task. `None` if the task has not finished, failed or was refused, or its result is not kept:
    /// [`wait`](Self::wait) tells them apart.
    ///
    /// An unavailable token is retried until [`ClientSettings::retry_for`] has passed.
    ///
    /// # Errors
    /// [`ClientError::Result`] if what the queue holds is not the result of this request, or with
    /// [`OpenError::KeyUnavailable`](taskseal_core::OpenError::KeyUnavailable) if its decryption key is unavailable.
    pub async fn result(&self, receipt: &Receipt) -> Result<Option<TaskResult>, ClientError> {
        let found = self.broker.find(&receipt.queue, &receipt.queue_id).await?;
        let Some(envelope) =
            found.filter(|info| info.state == TaskState::Completed).and_then(|info| info.result)
        else {
            return Ok(None);
        };
        self.open_result(receipt, envelope).await.map(Some)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", self.settings()).finish_non_exhaustive()
    }
}
