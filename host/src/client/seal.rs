//! From a task to an envelope: its claims, its signature, and the copy of both that a queue stores.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::batch::MAX_BATCH;
use taskseal_core::name::Reference;
use taskseal_core::{Audience, Claims, ContentType, Issuer, SealError, TaskId, TaskType};
use tokio::time::Instant;

use super::keys::ClientKeys;
use super::reload::KeyReload;
use super::{ClientError, ClientSettings, Receipt};
use crate::broker::{Broker, NewTask, TaskRecord};
use crate::keys::{Draft, Live, SealingKey, SignerFault};
use crate::queue::QueueName;
use crate::retry::MIN_DELAY;
use crate::runtime::{BoxFuture, boxed, run_blocking};
use crate::task::{Task, queue_id};
use crate::time::{UnixMillis, unix_seconds};

/// The issuer of tasks and its keys, shared with the threads that sign.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) settings: ClientSettings,
    pub(super) keys: Live<ClientKeys>,
    /// Loads the keys again; `None` for keys that the application opened.
    pub(super) reload: Option<KeyReload>,
    /// Where it states what it works with.
    pub(super) broker: Weak<dyn Broker>,
    /// When it was created, in seconds of Unix time.
    pub(super) started_at: u64,
}

/// A sealed task on its way to a broker.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) receipt: Receipt,
    pub(super) task: NewTask,
}

/// A sealed task and the receipt that its producer keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedTask {
    /// Identifies the task and its result.
    pub receipt: Receipt,
    /// The envelope. [`Client::enqueue_sealed`](super::Client::enqueue_sealed) may enqueue it more than once.
    pub envelope: Vec<u8>,
    /// The body in clear, if the envelope is detached. [`Client::enqueue_detached`](super::Client::enqueue_detached) takes both.
    pub clear_body: Option<Vec<u8>>,
}

impl From<Sealed> for SealedTask {
    fn from(sealed: Sealed) -> Self {
        let TaskRecord { envelope, detached, .. } = sealed.task.record;
        match detached {
            None => Self { receipt: sealed.receipt, envelope: envelope.into(), clear_body: None },
            Some(detached) => {
                let (envelope, clear_body) = (detached.into(), Some(envelope.into()));
                Self { receipt: sealed.receipt, envelope, clear_body }
            }
        }
    }
}

impl Producer {
    /// Returns the maximum number of tasks under one signature.
    pub(super) fn sign_batch(&self) -> usize {
        if self.keys.snapshot().signs() { self.settings.sign_batch.clamp(1, MAX_BATCH) } else { 1 }
    }

    /// Seals tasks under one signature and returns them in order. Runs on a blocking thread if the signer may block. An
    /// unavailable token is retried until [`ClientSettings::retry_for`] has passed.
    pub(super) fn seal(
        self: &Arc<Self>,
        tasks: Vec<Task>,
    ) -> BoxFuture<'_, Vec<Result<Sealed, ClientError>>> {
        boxed(self.seal_with_retries(tasks))
    }

    async fn seal_with_retries(self: &Arc<Self>, tasks: Vec<Task>) -> Vec<Result<Sealed, ClientError>> {
        let tasks = Arc::<[Task]>::from(tasks);
        let deadline = Instant::now() + self.settings.retry_for;
        loop {
            let sealed = self.attempt(Arc::clone(&tasks)).await;
            let now = Instant::now();
            match sealed.iter().find_map(retry_delay) {
                // The last attempt is made at the deadline, also if the token asks for a longer pause.
                Some(delay) if now < deadline => tokio::time::sleep(delay.min(deadline - now)).await,
                _ => return sealed,
            }
        }
    }

    /// Seals tasks with the current keys on this thread, or on a blocking thread if the signer may block. Once started, it runs
    /// to its end even if the caller is dropped.
    async fn attempt(self: &Arc<Self>, tasks: Arc<[Task]>) -> Vec<Result<Sealed, ClientError>> {
        self.watch_keys();
        let (keys, count) = (self.keys.snapshot(), tasks.len());
        if !keys.may_block() {
            return self.seal_now(&keys, &tasks);
        }
        let producer = Arc::clone(self);
        let sealed = run_blocking(move || producer.seal_now(&keys, &tasks)).await;
        sealed.unwrap_or_else(|_| (0..count).map(|_| Err(cut_off().into())).collect())
    }

    /// Seals tasks under one signature with the key that the keyset allows now.
    fn seal_now(&self, keys: &ClientKeys, tasks: &[Task]) -> Vec<Result<Sealed, ClientError>> {
        match keys.sealing() {
            Ok(key) => self.seal_with(key, tasks),
            Err(error) => tasks.iter().map(|_| Err(error.clone().into())).collect(),
        }
    }

    /// Seals tasks under one signature. A task that cannot be sealed does not affect the others.
    fn seal_with(&self, key: &SealingKey, tasks: &[Task]) -> Vec<Result<Sealed, ClientError>> {
        let targets: Vec<Target<'_>> = tasks.iter().map(|task| self.target(task)).collect();
        let claimed: Vec<Result<Claimed<'_>, ClientError>> =
            tasks.iter().zip(&targets).map(|(task, target)| self.claims(task, target)).collect();
        let attached = claimed.iter().flatten().filter(|claimed| !claimed.is_detached);
        let drafts: Vec<Draft<'_>> = attached.map(Claimed::draft).collect();
        let mut envelopes = key.seal_batch(&drafts).into_iter();
        let seal = |(claimed, target): (Result<Claimed<'_>, ClientError>, &Target<'_>)| {
            let claimed = claimed?;
            if claimed.is_detached {
                let envelope =
                    key.seal_detached(&claimed.draft()).ok_or(ClientError::CannotSign(key.suite()))??;
                return Ok(claimed.sealed(target.queue, envelope));
            }
            let envelope = envelopes.next().unwrap_or_else(|| Err(cut_off().into()))?;
            Ok(claimed.sealed(target.queue, envelope))
        };
        claimed.into_iter().zip(&targets).map(seal).collect()
    }

    /// Checks that the tasks can be sealed and that there is a key to encrypt each to, before one of them is stored.
    pub(super) fn check_recipients(&self, tasks: &[Task]) -> Result<(), ClientError> {
        let keys = self.keys.snapshot();
        let key = keys.sealing()?;
        if key.chooses_recipients() {
            for task in tasks.iter().filter(|task| !task.is_detached) {
                let target = self.target(task);
                key.check_recipient(&self.claims(task, &target)?.draft())?;
            }
        }
        Ok(())
    }

    fn target<'t>(&'t self, task: &'t Task) -> Target<'t> {
        let queue = task.queue.as_ref().unwrap_or(&self.settings.queue);
        Target { queue, audience: self.settings.audience(queue) }
    }

    fn claims<'t>(&'t self, task: &'t Task, target: &'t Target<'_>) -> Result<Claimed<'t>, ClientError> {
        let settings = &self.settings;
        let id = task.id.unwrap_or_else(|| TaskId::from_bytes(*uuid::Uuid::now_v7().as_bytes()));
        let now = unix_seconds();
        // Claims count whole seconds. Rounded up, so that the task never runs too early.
        let from = task.process_at.map(|at| at.0.saturating_add(999).div_euclid(1000));
        let from = from.and_then(|from| u64::try_from(from).ok()).filter(|from| *from > now);
        let lifetime = task.lifetime.unwrap_or(settings.lifetime);
        let timeout = whole_seconds(task.timeout.unwrap_or(settings.timeout));
        let retention = whole_seconds(task.retention.unwrap_or(settings.retention));
        let mut claims = Claims::new(
            Issuer::new(&settings.issuer)?,
            TaskType::new(&task.task_type)?,
            Audience::new(&target.audience)?,
            id,
        )
        .issued_at(now)
        .expires_at(from.unwrap_or(now).saturating_add(lifetime.as_secs().max(1)))
        .attempts(task.attempts.unwrap_or(settings.attempts))
        .timeout(timeout.max(1));
        claims.not_before = from;
        claims.reference = task.reference.as_deref().map(Reference::new).transpose()?;
        claims.retention = Some(retention).filter(|seconds| *seconds > 0);
        let content_type = ContentType::new(&task.content_type)?;
        Ok(Claimed { claims, content_type, body: &task.body, is_detached: task.is_detached })
    }
}

/// The queue and audience of a task.
struct Target<'t> {
    queue: &'t QueueName,
    audience: String,
}

/// A task with its claims.
struct Claimed<'t> {
    claims: Claims<'t>,
    content_type: ContentType<'t>,
    body: &'t [u8],
    is_detached: bool,
}

impl Claimed<'_> {
    fn draft(&self) -> Draft<'_> {
        Draft::new(&self.claims, self.content_type, self.body)
    }

    fn sealed(&self, queue: &QueueName, envelope: Vec<u8>) -> Sealed {
        let claims = &self.claims;
        let receipt = Receipt {
            id: claims.task_id,
            queue: queue.clone(),
            queue_id: queue_id(claims),
            task_type: claims.task_type.to_string(),
            digest: Sha256::digest(&envelope).into(),
        };
        let body = self.is_detached.then(|| self.body.to_vec());
        Sealed { receipt, task: new_task(queue, claims, envelope, body) }
    }
}

/// Returns what the queue stores: the envelope and copies of claims, for tools. With `body`, the envelope is detached.
pub(super) fn new_task(
    queue: &QueueName,
    claims: &Claims<'_>,
    envelope: Vec<u8>,
    body: Option<Vec<u8>>,
) -> NewTask {
    let (envelope, detached) = match body {
        Some(body) => (body.into(), Some(envelope.into())),
        None => (envelope.into(), None),
    };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let record = TaskRecord {
        id: queue_id(claims),
        queue: queue.to_string(),
        task_type: claims.task_type.to_string(),
        envelope,
        detached,
        max_retries: claims.attempts.map(|attempts| attempts.saturating_sub(1).into()),
        timeout: claims.timeout.map(seconds),
        retention: claims.retention.map_or(Duration::ZERO, seconds),
    };
    let not_before = claims.not_before.and_then(|from| i64::try_from(from).ok()).map(UnixMillis::from_secs);
    NewTask { record, not_before }
}

/// Returns the delay after which an unavailable signer is worth another attempt.
fn retry_delay(sealed: &Result<Sealed, ClientError>) -> Option<Duration> {
    match sealed {
        Err(ClientError::Sealing(SealError::Signer(fault))) => {
            fault.retry_after().map(|delay| delay.max(MIN_DELAY))
        }
        _ => None,
    }
}

/// The signing thread panicked, or the runtime is shutting down.
pub(super) fn cut_off() -> SealError<SignerFault> {
    SealError::Signer(SignerFault::new("signing was cut off"))
}

/// Returns whole seconds, rounded up.
fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
