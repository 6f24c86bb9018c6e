//! Putting sealed tasks into a queue, for as long as patience lasts.

use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::Unverified;

use super::sealing::new_task;
use super::{ClientError, Receipt};
use crate::broker::{Broker, BrokerError, Enqueued, NewTask};
use crate::queue::QueueName;
use crate::retry::{Retry, retry_until};

/// An envelope that is in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// The task.
    pub receipt: Receipt,
    /// Whether it was put there now. Otherwise the queue has had it before, and nothing was changed.
    pub is_new: bool,
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
) -> Result<Forwarded, ClientError> {
    let unverified = Unverified::parse(&envelope).map_err(ClientError::NotSealed)?;
    let claims = unverified.danger_claims_unverified();
    let (id, task_type) = (claims.task_id, claims.task_type.to_string());
    let task = new_task(queue, claims, envelope.clone());
    let queue_id = task.record.id.clone();
    let digest = Sha256::digest(&envelope).into();
    let stored = store(broker, patience, queue, &[task]).await?;
    let receipt = Receipt { id, queue: queue.clone(), queue_id, task_type, digest };
    Ok(Forwarded { receipt, is_new: stored == [Enqueued::New] })
}

/// Stores a batch, again and again with the same envelopes until the broker answers: nothing is stored twice. Answers what
/// became of each, none of them a conflict.
pub(super) async fn store(
    broker: &dyn Broker,
    patience: Duration,
    queue: &QueueName,
    batch: &[NewTask],
) -> Result<Vec<Enqueued>, ClientError> {
    let deadline = tokio::time::Instant::now() + patience;
    let retry = |error: &BrokerError| if error.is_transient() { Retry::BackOff } else { Retry::Never };
    let stored = retry_until(deadline, || broker.enqueue(queue, batch), retry).await?;
    let conflict = stored.iter().zip(batch).find(|(stored, _)| **stored == Enqueued::Conflict);
    match conflict {
        Some((_, task)) => Err(ClientError::Conflict(task.record.id.clone())),
        None => Ok(stored),
    }
}
