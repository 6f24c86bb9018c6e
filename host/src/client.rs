//! The client: seals tasks, puts them into a queue, and opens their results.

mod error;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, MAX_BODY, Policy, Refusal, Suite, SuiteSet, TaskId, TaskType,
    TimeWindow, Unverified,
};

pub use self::error::ClientError;

use crate::broker::{Broker, Enqueued, NewTask, TaskState};
use crate::keyring::{Keyring, SealingKey};
use crate::message::Message;
use crate::queue::QueueName;
use crate::results::{Request, TaskResult, open_result, unix_seconds};
use crate::task::Task;
use crate::time::UnixMillis;
use crate::worker::Backoff;

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
    /// Suites that results are accepted in.
    pub result_suites: SuiteSet,
    /// Most bytes of a result.
    pub max_result: usize,
    /// How long a broker that does not answer is tried again.
    pub patience: Duration,
}

impl ClientSettings {
    /// A lifetime of 1 hour, 25 attempts of at most 30 minutes, results kept for 1 hour, accepted signed and encrypted (SE,
    /// SP) up to 1 MiB, and 30 seconds of patience.
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
            result_suites: SuiteSet::SIGNED_AND_ENCRYPTED,
            max_result: 1 << 20,
            patience: Duration::from_secs(30),
        }
    }
}

/// Seals tasks and enqueues them.
pub struct Client {
    settings: ClientSettings,
    broker: Arc<dyn Broker>,
    key: SealingKey,
    keyring: Keyring,
}

/// What a producer keeps of a task that was enqueued: enough to know its result from any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Task id.
    pub id: TaskId,
    /// Queue it went to.
    pub queue: QueueName,
    /// Task type.
    pub task_type: String,
    /// SHA-256 of its envelope.
    pub digest: [u8; 32],
}

/// A sealed task on its way to a broker.
struct Sealed {
    receipt: Receipt,
    task: NewTask,
}

/// Most tasks enqueued by one call.
const BATCH: usize = 128;

impl Client {
    /// A client that seals with `key`; `keyring` verifies and decrypts results.
    #[must_use]
    pub fn new(settings: ClientSettings, broker: Arc<dyn Broker>, key: SealingKey, keyring: Keyring) -> Self {
        Self { settings, broker, key, keyring }
    }

    /// Seals a task and enqueues it.
    ///
    /// # Errors
    /// [`ClientError`]. After [`ClientError::Broker`] the task may have been stored; enqueue it again with the same
    /// [id](Task::id) and body only through [`enqueue_sealed`](Self::enqueue_sealed), since sealing it again is a conflict.
    pub async fn enqueue(&self, task: Task) -> Result<Receipt, ClientError> {
        let mut receipts = self.enqueue_all(vec![task]).await?;
        receipts.pop().ok_or(ClientError::Lost)
    }

    /// Seals tasks and enqueues them in batches. The receipts stand in the order of `tasks`.
    ///
    /// A broker that does not answer is asked again with the same envelopes until it does or the client's patience ends: no
    /// task is stored twice.
    ///
    /// # Errors
    /// [`ClientError`]; tasks of earlier batches may have been stored.
    pub async fn enqueue_all(&self, tasks: Vec<Task>) -> Result<Vec<Receipt>, ClientError> {
        let mut receipts = Vec::with_capacity(tasks.len());
        let mut by_queue: BTreeMap<QueueName, Vec<NewTask>> = BTreeMap::new();
        for task in tasks {
            let Sealed { receipt, task } = self.seal(&task)?;
            let waiting = by_queue.entry(receipt.queue.clone()).or_default();
            waiting.push(task);
            if waiting.len() == BATCH {
                let batch = std::mem::take(waiting);
                self.store(&receipt.queue, &batch).await?;
            }
            receipts.push(receipt);
        }
        for (queue, batch) in by_queue {
            if !batch.is_empty() {
                self.store(&queue, &batch).await?;
            }
        }
        Ok(receipts)
    }

    /// Enqueues an envelope that was sealed elsewhere. Its signature, and whether this client's keyset lets it into `queue`,
    /// is for the caller to verify; the worker does in any case.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enqueue_sealed(&self, queue: &QueueName, envelope: Vec<u8>) -> Result<Receipt, ClientError> {
        enqueue_sealed(&*self.broker, self.settings.patience, queue, envelope).await
    }

    fn seal(&self, task: &Task) -> Result<Sealed, ClientError> {
        let settings = &self.settings;
        let queue = task.queue.as_ref().unwrap_or(&settings.queue);
        let audience = format!("{}/{queue}", settings.deployment);
        let id = task.id.unwrap_or_else(|| TaskId::from_bytes(*uuid::Uuid::now_v7().as_bytes()));
        let now = unix_seconds();
        // Claims count whole seconds: never run before the time, so up to one second after it.
        let from = task.process_at.map(|at| at.0.saturating_add(999).div_euclid(1000));
        let from = from.and_then(|from| u64::try_from(from).ok()).filter(|from| *from > now);
        let lifetime = task.lifetime.unwrap_or(settings.lifetime);
        let timeout = whole_seconds(task.timeout.unwrap_or(settings.timeout));
        let retention = whole_seconds(task.retention.unwrap_or(settings.retention));
        let attempts = task.attempts.unwrap_or(settings.attempts);
        let mut claims = Claims::new(
            Issuer::new(&settings.issuer)?,
            TaskType::new(&task.task_type)?,
            Audience::new(&audience)?,
            id,
        )
        .issued_at(now)
        .expires_at(from.unwrap_or(now).saturating_add(lifetime.as_secs().max(1)))
        .attempts(attempts)
        .timeout(timeout.max(1));
        claims.not_before = from;
        claims.retention = Some(retention).filter(|seconds| *seconds > 0);
        let envelope = self.key.seal(&claims, ContentType::new(&task.content_type)?, &task.body)?;
        let message = message(&queue.clone(), &claims, envelope);
        let digest = Sha256::digest(&message.payload).into();
        let receipt = Receipt { id, queue: queue.clone(), task_type: task.task_type.clone(), digest };
        let process_at = from.and_then(|from| i64::try_from(from).ok()).map(UnixMillis::from_secs);
        Ok(Sealed { receipt, task: NewTask { message, process_at } })
    }

    async fn store(&self, queue: &QueueName, batch: &[NewTask]) -> Result<(), ClientError> {
        store(&*self.broker, self.settings.patience, queue, batch).await
    }

    /// The result of a task, once there is one. `None`: not finished, or not kept.
    ///
    /// # Errors
    /// [`ClientError::Result`] if what the queue holds is not the result of this very request.
    pub async fn result(&self, receipt: &Receipt) -> Result<Option<TaskResult>, ClientError> {
        let found = self.broker.find(&receipt.queue, &receipt.id.to_string()).await?;
        let Some(envelope) =
            found.filter(|info| info.state == TaskState::Completed).and_then(|info| info.result)
        else {
            return Ok(None);
        };
        let audience = format!("{}/{}", self.settings.deployment, receipt.queue);
        let request = Request {
            task_type: &receipt.task_type,
            audience: &audience,
            id: receipt.id,
            digest: receipt.digest,
        };
        let (suites, most) = (self.settings.result_suites, self.settings.max_result);
        open_result(&envelope, &request, suites, most, &self.keyring).map(Some).map_err(ClientError::Result)
    }

    /// The receipt of a task of this client by what the queue holds under its id, for a producer that has kept only the id.
    /// `None`: the queue has no such task.
    ///
    /// # Errors
    /// [`ClientError::Result`] if what the queue holds is no authentic task of this issuer and id for this queue.
    pub async fn receipt(&self, queue: &QueueName, id: TaskId) -> Result<Option<Receipt>, ClientError> {
        let found = self.broker.find(queue, &id.to_string()).await?;
        let Some(message) = found.and_then(|info| info.message) else { return Ok(None) };
        let unverified = Unverified::parse(&message.payload).map_err(ClientError::Result)?;
        let audience = format!("{}/{queue}", self.settings.deployment);
        let mut policy = Policy::for_tasks(Audience::new(&audience)?);
        policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
        policy.max_body = MAX_BODY;
        policy.max_lifetime = u64::MAX;
        // Whether it may still be run is not asked, only whether it was sealed as it stands there: at its own time.
        let sealed_at = unverified.danger_claims_unverified().issued_at.unwrap_or_else(unix_seconds);
        let from = unverified.danger_claims_unverified().not_before.unwrap_or(sealed_at);
        let mut clock = TimeWindow::exact(from.max(sealed_at));
        let verified = unverified.verify(&self.keyring, &policy, &mut clock).map_err(ClientError::Result)?;
        let claims = verified.claims();
        if claims.task_id != id || claims.issuer.as_str() != self.settings.issuer {
            return Err(ClientError::Result(Refusal::WrongRequest.into()));
        }
        let (task_type, digest) = (claims.task_type.to_string(), *verified.digest());
        Ok(Some(Receipt { id, queue: queue.clone(), task_type, digest }))
    }
}

/// Enqueues an envelope that was sealed elsewhere, trying for as long as `patience` lasts.
///
/// # Errors
/// [`ClientError::NotSealed`] if it is no envelope; [`ClientError`].
pub async fn enqueue_sealed(
    broker: &dyn Broker,
    patience: Duration,
    queue: &QueueName,
    envelope: Vec<u8>,
) -> Result<Receipt, ClientError> {
    let unverified = Unverified::parse(&envelope).map_err(ClientError::NotSealed)?;
    let claims = unverified.danger_claims_unverified();
    let (id, task_type) = (claims.task_id, claims.task_type.to_string());
    let process_at = claims.not_before.and_then(|from| i64::try_from(from).ok()).map(UnixMillis::from_secs);
    let message = message(queue, claims, envelope.clone());
    let digest = Sha256::digest(&envelope).into();
    store(broker, patience, queue, &[NewTask { message, process_at }]).await?;
    Ok(Receipt { id, queue: queue.clone(), task_type, digest })
}

/// What a queue and its tools are told about a sealed task: copies of what is sealed.
fn message(queue: &QueueName, claims: &Claims<'_>, envelope: Vec<u8>) -> Message {
    Message {
        task_type: claims.task_type.to_string(),
        payload: envelope,
        id: claims.reference.map_or_else(|| claims.task_id.to_string(), |reference| reference.to_string()),
        queue: queue.to_string(),
        retry: claims
            .attempts
            .map_or(25, |attempts| i32::from(attempts.saturating_sub(1).min(i16::MAX as u16))),
        // A message must have a time limit or a deadline for Go workers to take it.
        timeout: claims.timeout.map_or(1800, i64::from),
        retention: claims.retention.map_or(0, i64::from),
        ..Message::default()
    }
}

async fn store(
    broker: &dyn Broker,
    patience: Duration,
    queue: &QueueName,
    batch: &[NewTask],
) -> Result<(), ClientError> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut failures = 0;
    let stored = loop {
        match broker.enqueue(queue, batch).await {
            Ok(stored) => break stored,
            Err(error) if !error.is_transient() => return Err(error.into()),
            Err(error) => {
                failures += 1;
                let delay = Backoff::RECONNECT.delay(failures);
                if tokio::time::Instant::now() + delay >= deadline {
                    return Err(error.into());
                }
                tokio::time::sleep(delay).await;
            }
        }
    };
    let conflict = stored.iter().zip(batch).find(|(stored, _)| **stored == Enqueued::Conflict);
    conflict.map_or(Ok(()), |(_, task)| Err(ClientError::Conflict(task.message.id.clone())))
}

/// Seconds, a part of one counted as a whole.
fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}
