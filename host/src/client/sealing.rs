//! From a task to an envelope: what is claimed, under whose key, and what the queue is told of it.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::batch::MAX_BATCH;
use taskseal_core::{Audience, Claims, ContentType, Issuer, SealError, TaskId, TaskType};
use tokio::time::Instant;

use super::{ClientError, ClientSettings, Receipt};
use crate::broker::{NewTask, TaskRecord};
use crate::keys::{Draft, SealingKey, SignerFault};
use crate::queue::QueueName;
use crate::result::unix_seconds;
use crate::retry::MIN_DELAY;
use crate::task::{Task, queue_id};
use crate::time::UnixMillis;

/// Where tasks come from: who makes them, and the key that says so. Shared with the threads that sign.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) settings: ClientSettings,
    pub(super) key: SealingKey,
}

/// A sealed task on its way to a broker.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) receipt: Receipt,
    pub(super) task: NewTask,
}

/// A sealed task and what its producer keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedTask {
    /// Knows the result from any other.
    pub receipt: Receipt,
    /// The sealed bytes. Enqueued as often as need be by [`Client::enqueue_sealed`](super::Client::enqueue_sealed).
    pub envelope: Vec<u8>,
}

impl From<Sealed> for SealedTask {
    fn from(sealed: Sealed) -> Self {
        Self { receipt: sealed.receipt, envelope: sealed.task.record.envelope.into() }
    }
}

impl Origin {
    /// Most tasks under one signature.
    pub(super) fn batch(&self) -> usize {
        if self.key.signs() { self.settings.batch.clamp(1, MAX_BATCH) } else { 1 }
    }

    /// Seals tasks under one signature, off the async threads if that may wait for a token. Answers in their order. A
    /// token that is away is asked again for as long as patience lasts.
    pub(super) async fn seal(self: &Arc<Self>, tasks: Vec<Task>) -> Vec<Result<Sealed, ClientError>> {
        let (count, tasks) = (tasks.len(), Arc::<[Task]>::from(tasks));
        let deadline = Instant::now() + self.settings.patience;
        loop {
            let waiting = Arc::clone(&tasks);
            let sealed = match self.off_async_threads(move |origin| origin.seal_now(&waiting)).await {
                Ok(sealed) => sealed,
                Err(error) => return (0..count).map(|_| Err(error.clone().into())).collect(),
            };
            match sealed.iter().find_map(worth_a_wait) {
                Some(delay) if Instant::now() + delay < deadline => tokio::time::sleep(delay).await,
                _ => return sealed,
            }
        }
    }

    /// Runs `work` here, or on a thread that may block if the signer may. Once begun, it is carried to its end
    /// whatever becomes of the caller.
    pub(super) async fn off_async_threads<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, SealError<SignerFault>> {
        if !self.key.may_block() {
            return Ok(work(self));
        }
        let origin = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&origin)).await.map_err(|_| cut_off())
    }

    /// Seals tasks under one signature. A task that cannot be sealed hurts no other.
    pub(super) fn seal_now(&self, tasks: &[Task]) -> Vec<Result<Sealed, ClientError>> {
        let places: Vec<Place<'_>> = tasks.iter().map(|task| self.place(task)).collect();
        let claimed: Vec<Result<Claimed<'_>, ClientError>> =
            tasks.iter().zip(&places).map(|(task, place)| self.claim(task, place)).collect();
        let drafts: Vec<Draft<'_>> = claimed.iter().flatten().map(Claimed::draft).collect();
        let mut envelopes = self.key.seal_batch(&drafts).into_iter();
        let seal = |(claimed, place): (Result<Claimed<'_>, ClientError>, &Place<'_>)| {
            let claimed = claimed?;
            let envelope = envelopes.next().unwrap_or_else(|| Err(cut_off()))?;
            Ok(claimed.sealed(place.queue, envelope))
        };
        claimed.into_iter().zip(&places).map(seal).collect()
    }

    fn place<'t>(&'t self, task: &'t Task) -> Place<'t> {
        let queue = task.queue.as_ref().unwrap_or(&self.settings.queue);
        Place { queue, audience: format!("{}/{queue}", self.settings.deployment) }
    }

    fn claim<'t>(&'t self, task: &'t Task, place: &'t Place<'_>) -> Result<Claimed<'t>, ClientError> {
        let settings = &self.settings;
        let id = task.id.unwrap_or_else(|| TaskId::from_bytes(*uuid::Uuid::now_v7().as_bytes()));
        let now = unix_seconds();
        // Claims count whole seconds: never run before the time, so up to one second after it.
        let from = task.process_at.map(|at| at.0.saturating_add(999).div_euclid(1000));
        let from = from.and_then(|from| u64::try_from(from).ok()).filter(|from| *from > now);
        let lifetime = task.lifetime.unwrap_or(settings.lifetime);
        let timeout = whole_seconds(task.timeout.unwrap_or(settings.timeout));
        let retention = whole_seconds(task.retention.unwrap_or(settings.retention));
        let mut claims = Claims::new(
            Issuer::new(&settings.issuer)?,
            TaskType::new(&task.task_type)?,
            Audience::new(&place.audience)?,
            id,
        )
        .issued_at(now)
        .expires_at(from.unwrap_or(now).saturating_add(lifetime.as_secs().max(1)))
        .attempts(task.attempts.unwrap_or(settings.attempts))
        .timeout(timeout.max(1));
        claims.not_before = from;
        claims.retention = Some(retention).filter(|seconds| *seconds > 0);
        Ok(Claimed { claims, content_type: ContentType::new(&task.content_type)?, body: &task.body })
    }
}

/// Where a task goes.
struct Place<'t> {
    queue: &'t QueueName,
    audience: String,
}

/// A task with all that is claimed of it.
struct Claimed<'t> {
    claims: Claims<'t>,
    content_type: ContentType<'t>,
    body: &'t [u8],
}

impl Claimed<'_> {
    fn draft(&self) -> Draft<'_> {
        Draft { claims: &self.claims, content_type: self.content_type, body: self.body }
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
        Sealed { receipt, task: new_task(queue, claims, envelope) }
    }
}

/// What a queue and its tools are told about a sealed task: copies of what is sealed.
pub(super) fn new_task(queue: &QueueName, claims: &Claims<'_>, envelope: Vec<u8>) -> NewTask {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let record = TaskRecord {
        id: queue_id(claims),
        queue: queue.to_string(),
        task_type: claims.task_type.to_string(),
        envelope: envelope.into(),
        max_retries: claims.attempts.map(|attempts| attempts.saturating_sub(1).into()),
        timeout: claims.timeout.map(seconds),
        retention: claims.retention.map_or(Duration::ZERO, seconds),
    };
    let not_before = claims.not_before.and_then(|from| i64::try_from(from).ok()).map(UnixMillis::from_secs);
    NewTask { record, not_before }
}

/// How long to wait for a signer that is away.
fn worth_a_wait(sealed: &Result<Sealed, ClientError>) -> Option<Duration> {
    match sealed {
        Err(ClientError::Sealing(SealError::Signer(fault))) => {
            fault.retry_after().map(|delay| delay.max(MIN_DELAY))
        }
        _ => None,
    }
}

/// The thread that was to sign panicked, or the runtime is being shut down.
pub(super) fn cut_off() -> SealError<SignerFault> {
    SealError::Signer(SignerFault::new("signing was cut off"))
}

/// Seconds, a part of one counted as a whole.
fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
