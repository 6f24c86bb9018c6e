//! Leasing tasks.

use std::time::Duration;

use bytes::Bytes;

use super::asynq::Message;
use super::keys::Keys;
use super::scripts::Args;
use super::tokens::Tokens;
use super::{CHUNK, RedisBroker, millis, reply, scripts, settle, to_i64};
use crate::broker::{BrokerError, Corrupt, DequeueLimits, Dequeued, Lease, Leased};
use crate::queue::QueueName;

impl RedisBroker {
    pub(super) async fn dequeue_all(
        &self,
        queue: &QueueName,
        limits: DequeueLimits,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        self.subscriber.reset(queue);
        let mut out = Dequeued::default();
        let mut left = limits;
        while left.tasks > 0 {
            let is_first = left == limits;
            let chunk = DequeueLimits { tasks: left.tasks.min(CHUNK), ..left };
            let before = out.tasks.len() + out.corrupt.len();
            match self.dequeue_chunk(queue, chunk, lease, is_first, &mut out).await {
                Ok(bytes) => left.total_bytes = left.total_bytes.saturating_sub(bytes),
                Err(error) if is_first => return Err(error),
                // The caller must get the leases of earlier chunks, although a later one failed.
                Err(_) => break,
            }
            if out.tasks.len() + out.corrupt.len() < before + chunk.tasks {
                break;
            }
            left.tasks -= chunk.tasks;
        }
        Ok(out)
    }

    /// Leases tasks in one script call. Returns the size of their messages in bytes.
    async fn dequeue_chunk(
        &self,
        queue: &QueueName,
        limits: DequeueLimits,
        lease: Duration,
        is_first: bool,
        out: &mut Dequeued,
    ) -> Result<usize, BrokerError> {
        let keys = self.keys(queue);
        let tokens = Tokens::random(limits.tasks)?;
        let args = Args::default()
            .text(&keys.base)
            .int(to_i64(limits.tasks))
            .int(millis(lease))
            .text(&tokens.first_digits)
            .text(&tokens.last_digits)
            .int(to_i64(limits.task_bytes))
            .int(to_i64(limits.total_bytes))
            .int(i64::from(is_first))
            .int(to_i64(MAX_LOOKED));
        let names = [keys.pending.as_str(), &keys.paused, &keys.active, &keys.lease];
        let answer = self.connection.run(&scripts::DEQUEUE, &names, &args).await?;
        let [leased, messages, dropped] = reply::tuple(answer)?;
        let (leased, messages, dropped) =
            (reply::ids(leased)?, reply::array(messages)?, reply::ids(dropped)?);
        reply::at_most(leased.len(), limits.tasks)?;
        reply::at_most(dropped.len(), MAX_LOOKED)?;
        if leased.len() != messages.len() {
            return Err(reply::unexpected());
        }
        out.dropped.extend(dropped);

        let (mut bytes, mut corrupt) = (0, Vec::new());
        for ((id, message), number) in leased.into_iter().zip(messages).zip(0..) {
            // None: longer than the limit, so the script does not return it.
            let stored = reply::optional(message)?.map(Bytes::from);
            bytes += stored.as_ref().map_or(0, Bytes::len);
            let message = stored.as_ref().map(Message::decode_shared);
            let lease = Lease { id, token: tokens.nth(number), stored };
            match message {
                Some(Ok(message)) => out.tasks.push(Leased { lease, record: message.to_record() }),
                Some(Err(_)) | None => corrupt.push(lease),
            }
        }
        self.archive_corrupt(queue, &keys, corrupt, out).await;
        Ok(bytes)
    }

    async fn archive_corrupt(&self, queue: &QueueName, keys: &Keys, corrupt: Vec<Lease>, out: &mut Dequeued) {
        if corrupt.is_empty() {
            return;
        }
        let mut args = self.announcing(keys, queue);
        settle::push_leases(&mut args, corrupt.iter());
        let args = args.text("corrupt").int(to_i64(corrupt.len()));
        match self.settle_chunk(keys, &args, corrupt.len()).await {
            Ok(_) => out.corrupt.extend(corrupt.into_iter().map(|Lease { id, stored, .. }| Corrupt {
                id,
                is_too_large: stored.is_none(),
                bytes: stored.unwrap_or_default().into(),
            })),
            // They stay leased, expire and are leased again, so the valid tasks can be returned.
            Err(error) => tracing::warn!(%error, %queue, "cannot archive undecodable messages"),
        }
    }
}

/// Maximum number of ids that one script call looks at: ids without a task must not delay the tasks behind them, and a
/// script must not block Redis for long.
const MAX_LOOKED: usize = 1000;
