//! Leasing tasks.

use std::time::Duration;

use bytes::Bytes;

use super::asynq::Message;
use super::keys::Keys;
use super::scripts::Args;
use super::tokens::Tokens;
use super::{CHUNK, RedisBroker, millis, reply, scripts, settle, to_i64};
use crate::broker::{BrokerError, Corrupt, Dequeued, Lease, Leased};
use crate::queue::QueueName;

impl RedisBroker {
    pub(super) async fn dequeue_all(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        self.subscriber.reset(queue);
        let mut out = Dequeued::default();
        let mut left = limit;
        while left > 0 {
            let chunk = left.min(CHUNK);
            match self.dequeue_chunk(queue, chunk, lease, &mut out).await {
                Ok(taken) if taken < chunk => break,
                Ok(taken) => left -= taken,
                Err(error) if left == limit => return Err(error),
                // The caller must get the leases of earlier chunks, although a later one failed.
                Err(_) => break,
            }
        }
        Ok(out)
    }

    /// Leases up to `limit` tasks in one script call. Returns how many ids it took off the list.
    async fn dequeue_chunk(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        out: &mut Dequeued,
    ) -> Result<usize, BrokerError> {
        let keys = self.keys(queue);
        let tokens = Tokens::random(limit)?;
        let args = Args::default()
            .text(&keys.base)
            .int(to_i64(limit))
            .int(millis(lease))
            .text(&tokens.first_digits)
            .text(&tokens.last_digits);
        let names = [keys.pending.as_str(), &keys.paused, &keys.active, &keys.lease];
        let answer = self.connection.run(&scripts::DEQUEUE, &names, &args).await?;
        let [leased, messages, dropped] = reply::tuple(answer)?;
        let (leased, messages, dropped) =
            (reply::ids(leased)?, reply::array(messages)?, reply::ids(dropped)?);
        if leased.len() != messages.len() {
            return Err(reply::unexpected());
        }
        let taken = leased.len() + dropped.len();
        out.dropped.extend(dropped);

        let mut corrupt = Vec::new();
        for ((id, message), number) in leased.into_iter().zip(messages).zip(0..) {
            // None: longer than any message, so the script does not return it.
            let stored = reply::optional(message)?.map(Bytes::from);
            let message = stored.as_ref().map(Message::decode_shared);
            let lease = Lease { id, token: tokens.nth(number), stored };
            match message {
                Some(Ok(message)) => out.tasks.push(Leased { lease, record: message.to_record() }),
                Some(Err(_)) | None => corrupt.push(lease),
            }
        }
        self.archive_corrupt(queue, &keys, corrupt, out).await;
        Ok(taken)
    }

    async fn archive_corrupt(&self, queue: &QueueName, keys: &Keys, corrupt: Vec<Lease>, out: &mut Dequeued) {
        if corrupt.is_empty() {
            return;
        }
        let mut args = self.announcing(keys, queue);
        settle::push_leases(&mut args, corrupt.iter());
        let args = args.text("corrupt").int(to_i64(corrupt.len()));
        match self.settle_chunk(keys, &args, corrupt.len()).await {
            Ok(_) => out.corrupt.extend(
                corrupt
                    .into_iter()
                    .map(|Lease { id, stored, .. }| Corrupt { id, bytes: stored.unwrap_or_default().into() }),
            ),
            // They stay leased, expire and are leased again, so the valid tasks can be returned.
            Err(error) => tracing::warn!(%error, %queue, "cannot archive undecodable messages"),
        }
    }
}
