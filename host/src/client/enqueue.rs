//! Stores sealed tasks in a queue, with retries while the broker is unavailable.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::Unverified;
use tokio::time::Instant;

use super::seal::new_task;
use super::{Client, ClientError, Receipt, STORE_BATCH, SealedTask};
use crate::broker::{Broker, BrokerError, Enqueued, NewTask};
use crate::queue::QueueName;
use crate::retry::{Retry, retry_until};
use crate::runtime::{BoxFuture, boxed};

/// An envelope that was enqueued.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// Receipt of the task.
    pub receipt: Receipt,
    /// Whether this call stored it. `false` if the queue already had it; nothing was changed then.
    pub is_new: bool,
}

/// Enqueues an envelope that was sealed elsewhere. An unavailable broker is retried until `retry_for` has passed.
///
/// # Errors
/// [`ClientError::NotSealed`] if the bytes are not an envelope; other [`ClientError`]s of the broker.
#[doc(hidden)]
pub async fn enqueue_sealed(
    broker: &dyn Broker,
    retry_for: Duration,
    queue: &QueueName,
    envelope: Vec<u8>,
) -> Result<Forwarded, ClientError> {
    enqueue_parsed(broker, retry_for, queue, envelope, None).await
}

/// Enqueues a sealed task: an envelope, or a detached envelope and its body in clear.
pub(super) async fn enqueue_parsed(
    broker: &dyn Broker,
    retry_for: Duration,
    queue: &QueueName,
    envelope: Vec<u8>,
    body: Option<Vec<u8>>,
) -> Result<Forwarded, ClientError> {
    let (receipt, task) = parse(queue, envelope, body)?;
    let stored = store(broker, retry_for, queue, &[task]).await?;
    Ok(Forwarded { receipt, is_new: stored == [Enqueued::New] })
}

/// Returns the receipt of an envelope, and what the queue stores.
fn parse(
    queue: &QueueName,
    envelope: Vec<u8>,
    body: Option<Vec<u8>>,
) -> Result<(Receipt, NewTask), ClientError> {
    let unverified = parse_with(&envelope, body.as_deref())?;
    let claims = unverified.danger_claims_unverified();
    let (id, task_type) = (claims.task_id, claims.task_type.to_string());
    let task = new_task(queue, claims, envelope.clone(), body.clone());
    let queue_id = task.record.id.clone();
    let digest = Sha256::digest(&envelope).into();
    Ok((Receipt { id, queue: queue.clone(), queue_id, task_type, digest }, task))
}

/// Decodes an envelope; with a body, a detached one.
fn parse_with<'a>(envelope: &'a [u8], body: Option<&'a [u8]>) -> Result<Unverified<'a>, ClientError> {
    let parsed = match body {
        Some(body) => Unverified::parse_detached(envelope, body),
        None => Unverified::parse(envelope),
    };
    parsed.map_err(ClientError::NotSealed)
}

impl Client {
    /// Enqueues sealed tasks in batches, as [`enqueue_all`](Self::enqueue_all) does.
    ///
    /// # Errors
    /// As [`enqueue_all`](Self::enqueue_all).
    #[doc(hidden)]
    pub async fn enqueue_all_sealed(&self, tasks: Vec<SealedTask>) -> Result<(), ClientError> {
        self.store_all(tasks).await
    }

    fn store_all(&self, tasks: Vec<SealedTask>) -> BoxFuture<'_, Result<(), ClientError>> {
        boxed(async move {
            let mut by_queue: BTreeMap<QueueName, Vec<NewTask>> = BTreeMap::new();
            for SealedTask { receipt, envelope, clear_body } in tasks {
                let unverified = parse_with(&envelope, clear_body.as_deref())?;
                let claims = unverified.danger_claims_unverified();
                let task = new_task(&receipt.queue, claims, envelope.clone(), clear_body.clone());
                by_queue.entry(receipt.queue).or_default().push(task);
            }
            for (queue, tasks) in by_queue {
                for batch in tasks.chunks(STORE_BATCH) {
                    self.store(&queue, batch).await?;
                }
            }
            Ok(())
        })
    }
}

/// Stores a batch and returns the outcome of each task, none of them a conflict. Retries send the same envelopes, so that
/// no task is stored twice.
pub(super) fn store<'a>(
    broker: &'a dyn Broker,
    retry_for: Duration,
    queue: &'a QueueName,
    batch: &'a [NewTask],
) -> BoxFuture<'a, Result<Vec<Enqueued>, ClientError>> {
    boxed(async move {
        let deadline = Instant::now() + retry_for;
        let retry = |error: &BrokerError| if error.is_transient() { Retry::BackOff } else { Retry::Never };
        let stored = retry_until(deadline, || broker.enqueue(queue, batch), retry).await?;
        let conflict = stored.iter().zip(batch).find(|(stored, _)| **stored == Enqueued::Conflict);
        match conflict {
            Some((_, task)) => Err(ClientError::Conflict(task.record.id.clone())),
            None => Ok(stored),
        }
    })
}
