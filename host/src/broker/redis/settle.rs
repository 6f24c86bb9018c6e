//! Ending leases.

use super::keys::Keys;
use super::scripts::Args;
use super::{CHUNK, CHUNK_BYTES, RedisBroker, millis, reply, scripts};
use crate::broker::{BrokerError, Lease, Settled, Settlement};
use crate::queue::QueueName;

impl RedisBroker {
    pub(super) async fn settle_all(
        &self,
        queue: &QueueName,
        ends: &[(Lease, Settlement)],
    ) -> Result<Vec<Settled>, BrokerError> {
        let keys = self.keys(queue);
        let mut out = Vec::with_capacity(ends.len());
        let mut rest = ends;
        while !rest.is_empty() {
            let mut args = self.waking(&keys, queue);
            let (mut count, mut size) = (0, 0);
            for (lease, end) in rest.iter().take(CHUNK) {
                size += push_end(&mut args, lease, end);
                count += 1;
                // Checked afterwards: one end too many is no harm, and encoding it twice would be waste.
                if size > CHUNK_BYTES {
                    break;
                }
            }
            let settled = self.settle_chunk(&keys, &args).await?;
            if settled.len() != count {
                return Err(reply::unexpected());
            }
            out.extend(settled);
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(out)
    }

    pub(super) async fn settle_chunk(
        &self,
        keys: &Keys,
        args: &Args<'_>,
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
        let answer = self.link.run(&scripts::SETTLE, &names, args).await?;
        reply::array(answer)?
            .iter()
            .map(|value| Ok(if reply::int(value)? == 1 { Settled::Done } else { Settled::LeaseLost }))
            .collect()
    }
}

pub(super) fn push_head<'a>(args: &mut Args<'a>, kind: &'a str, lease: &'a Lease) {
    args.push_text(kind);
    args.push_text(&lease.id);
    args.push_owned(lease.token.to_hex());
}

/// Adds one end as `settle.lua` reads it; tells about how many bytes it took.
fn push_end<'a>(args: &mut Args<'a>, lease: &'a Lease, end: &'a Settlement) -> usize {
    match end {
        Settlement::Done => {
            push_head(args, "done", lease);
            0
        }
        Settlement::Complete { message, result, retention } => {
            push_head(args, "complete", lease);
            let message = message.encode();
            let size = message.len() + result.len();
            args.push_owned(message);
            args.push_int(millis(*retention));
            args.push_bytes(result);
            size
        }
        Settlement::Retry { message, at, failed } => {
            push_head(args, "retry", lease);
            let message = message.encode();
            let size = message.len();
            args.push_owned(message);
            args.push_int(at.0);
            args.push_int(i64::from(*failed));
            size
        }
        Settlement::Archive { message } => {
            push_head(args, "archive", lease);
            let message = message.encode();
            let size = message.len();
            args.push_owned(message);
            size
        }
        Settlement::Requeue => {
            push_head(args, "requeue", lease);
            0
        }
    }
}
