//! Ending leases.

use bytes::Bytes;
use redis::Value;

use super::asynq::Message;
use super::keys::Keys;
use super::scripts::Args;
use super::{CHUNK, CHUNK_BYTES, RedisBroker, millis, reply, scripts, to_i64};
use crate::broker::{BrokerError, Lease, Settled, Settlement};
use crate::queue::QueueName;
use crate::time::UnixMillis;

impl RedisBroker {
    pub(super) async fn settle_all(
        &self,
        queue: &QueueName,
        ends: &[(Lease, Settlement)],
    ) -> Result<Vec<Settled>, BrokerError> {
        let keys = self.keys(queue);
        let now = UnixMillis::now();
        let mut out = Vec::with_capacity(ends.len());
        let mut rest = ends;
        while !rest.is_empty() {
            let chunk = first_chunk(rest);
            let mut args = self.announcing(&keys, queue);
            push_leases(&mut args, chunk.iter().map(|(lease, _)| lease));
            for run in chunk.chunk_by(|(_, one), (_, next)| kind(one) == kind(next)) {
                args.push_text(run.first().map_or("", |(_, end)| kind(end)));
                args.push_int(to_i64(run.len()));
                run.iter().for_each(|(lease, end)| push_end(&mut args, lease, end, now));
            }
            out.extend(self.settle_chunk(&keys, &args, chunk.len()).await?);
            rest = rest.get(chunk.len()..).unwrap_or_default();
        }
        Ok(out)
    }

    pub(super) async fn settle_chunk(
        &self,
        keys: &Keys,
        args: &Args<'_>,
        count: usize,
    ) -> Result<Vec<Settled>, BrokerError> {
        let names = [
            keys.active.as_str(),
            &keys.lease,
            &keys.pending,
            &keys.retry,
            &keys.archived,
            &keys.completed,
            &keys.processed,
            &keys.failed,
        ];
        let answer = self.connection.run(&scripts::SETTLE, &names, args).await?;
        if answer == Value::Int(to_i64(count)) {
            return Ok(vec![Settled::Done; count]);
        }
        let answers = reply::array(answer)?;
        if answers.len() != count {
            return Err(reply::unexpected());
        }
        answers
            .iter()
            .map(|value| Ok(if reply::int(value)? == 1 { Settled::Done } else { Settled::LeaseLost }))
            .collect()
    }
}

/// Adds leases as `settle.lua` reads them: their number, all ids, all tokens.
pub(super) fn push_leases<'a>(args: &mut Args<'a>, leases: impl ExactSizeIterator<Item = &'a Lease> + Clone) {
    args.push_int(to_i64(leases.len()));
    leases.clone().for_each(|lease| args.push_text(&lease.id));
    leases.for_each(|lease| args.push_owned(lease.token.to_hex()));
}

/// Returns the first ends, as many as fit in one call.
fn first_chunk(ends: &[(Lease, Settlement)]) -> &[(Lease, Settlement)] {
    let mut left = CHUNK_BYTES;
    let mut count = 0;
    for (lease, end) in ends.iter().take(CHUNK) {
        let size = size(lease, end);
        if count > 0 && size > left {
            break;
        }
        left = left.saturating_sub(size);
        count += 1;
    }
    ends.get(..count).unwrap_or_default()
}

/// Returns the word of `settle.lua` for a settlement.
const fn kind(end: &Settlement) -> &'static str {
    match end {
        Settlement::Done => "done",
        Settlement::Complete { .. } => "complete",
        Settlement::Retry { .. } => "retry",
        Settlement::Archive { .. } => "archive",
        Settlement::Requeue => "requeue",
    }
}

/// Returns about how many bytes [`push_end`] adds; what is not counted is small.
fn size(lease: &Lease, end: &Settlement) -> usize {
    let stored = lease.stored.as_ref().map_or(0, Bytes::len);
    match end {
        Settlement::Complete { result, .. } => stored + result.len(),
        Settlement::Retry { .. } => stored,
        Settlement::Archive { reason } => reason.len(),
        Settlement::Done | Settlement::Requeue => 0,
    }
}

/// Adds what `settle.lua` reads of one end of a run.
fn push_end<'a>(args: &mut Args<'a>, lease: &Lease, end: &'a Settlement, now: UnixMillis) {
    match end {
        Settlement::Complete { result, retention } => {
            args.push_owned(settled_message(lease, end, now));
            args.push_int(millis(*retention));
            args.push_bytes(result);
        }
        Settlement::Retry { delay, failure } => {
            args.push_owned(settled_message(lease, end, now));
            args.push_int(millis(*delay));
            args.push_int(i64::from(failure.is_some()));
        }
        Settlement::Archive { .. } => args.push_owned(appended_fields(lease, end, now)),
        Settlement::Done | Settlement::Requeue => {}
    }
}

/// Returns the leased message with the fields set that say how the lease ended; those of other workers and tools stay.
/// Empty for a lease without a stored message: the script then leaves the message in Redis as it is.
fn settled_message(lease: &Lease, end: &Settlement, now: UnixMillis) -> Vec<u8> {
    match lease.stored.as_ref().map(Message::decode_shared) {
        Some(Ok(mut message)) => {
            message.settle(end, now);
            message.encode()
        }
        Some(Err(_)) | None => Vec::new(),
    }
}

/// Returns the encoded fields that say how the lease ended. Appended to a message they replace its own: of a repeated
/// field the last one counts. So an archived message, which may be long, is not sent back. Empty for a lease without a
/// stored message.
fn appended_fields(lease: &Lease, end: &Settlement, now: UnixMillis) -> Vec<u8> {
    if lease.stored.is_none() {
        return Vec::new();
    }
    let mut fields = Message::default();
    fields.settle(end, now);
    fields.encode()
}
