//! Putting sealed tasks into a queue, for as long as patience lasts.

use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::Unverified;

use super::sealing::new_task;
use super::{ClientError, Receipt};
use crate::broker::{Broker, Enqueued, NewTask};
use crate::queue::QueueName;
use crate::worker::Backoff;

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
    let task = new_task(queue, claims, envelope.clone());
    let digest = Sha256::digest(&envelope).into();
    store(broker, patience, queue, &[task]).await?;
    Ok(Receipt { id, queue: queue.clone(), task_type, digest })
}

/// Stores a batch, again and again with the same envelopes until the broker answers: nothing is stored twice.
pub(super) async fn store(
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
