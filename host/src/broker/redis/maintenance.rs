//! What workers do from time to time: extend leases, recover, forward and tidy.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::scripts::Args;
use super::{CHUNK, RedisBroker, millis, reply, scripts, to_i64};
use crate::broker::{BrokerError, Lease, Recovered, Tidied};
use crate::queue::QueueName;

impl RedisBroker {
    pub(super) async fn extend_all(
        &self,
        queue: &QueueName,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<bool>, BrokerError> {
        let keys = self.keys(queue);
        let mut held = Vec::with_capacity(leases.len());
        for chunk in leases.chunks(CHUNK) {
            let mut args = Args::default().text(&keys.base).int(millis(lease));
            for lease in chunk {
                args.push_text(&lease.id);
                args.push_owned(lease.token.to_hex());
            }
            let answer = self.connection.run(&scripts::EXTEND, &[&keys.lease], &args).await?;
            for value in reply::array(answer)? {
                held.push(reply::int(&value)? == 1);
            }
        }
        if held.len() == leases.len() { Ok(held) } else { Err(reply::unexpected()) }
    }

    pub(super) async fn recover_expired(
        &self,
        queue: &QueueName,
        limit: usize,
    ) -> Result<Recovered, BrokerError> {
        let keys = self.keys(queue);
        let names = [keys.lease.as_str(), &keys.active, &keys.pending];
        let mut out = Recovered::default();
        let mut left = limit;
        while left > 0 {
            let chunk = left.min(CHUNK);
            let args = self.announcing(&keys, queue).int(to_i64(chunk)).int(FOREIGN_LEASE_GRACE_SECS);
            let [requeued, dropped] =
                reply::tuple(self.connection.run(&scripts::RECOVER, &names, &args).await?)?;
            let (requeued, dropped) = (reply::ids(requeued)?, reply::ids(dropped)?);
            let taken = reply::at_most(requeued.len() + dropped.len(), chunk)?;
            out.requeued.extend(requeued.into_iter().rev());
            out.dropped.extend(dropped);
            if taken < chunk {
                break;
            }
            left -= taken;
        }
        Ok(out)
    }

    pub(super) async fn forward_due(&self, queue: &QueueName, limit: usize) -> Result<usize, BrokerError> {
        let keys = self.keys(queue);
        let names = if self.retry_first.fetch_xor(true, Ordering::Relaxed) {
            [keys.pending.as_str(), &keys.retry, &keys.scheduled]
        } else {
            [keys.pending.as_str(), &keys.scheduled, &keys.retry]
        };
        let mut total = 0;
        while total < limit {
            let chunk = (limit - total).min(CHUNK);
            let args = self.announcing(&keys, queue).int(to_i64(chunk));
            let [moved, taken] = reply::tuple(self.connection.run(&scripts::FORWARD, &names, &args).await?)?;
            let taken = reply::at_most(reply::count(&taken)?, chunk)?;
            total += reply::at_most(reply::count(&moved)?, taken)?;
            if taken < chunk {
                break;
            }
        }
        Ok(total)
    }

    pub(super) async fn tidy_queue(&self, queue: &QueueName, limit: usize) -> Result<Tidied, BrokerError> {
        let keys = self.keys(queue);
        let names = [keys.completed.as_str(), &keys.active, &keys.lease, &keys.archived, &keys.trimmed];
        let (tasks, age) = (i64::try_from(self.archive.tasks).unwrap_or(i64::MAX), millis(self.archive.age));
        let mut out = Tidied::default();
        let mut left = limit;
        while left > 0 {
            let chunk = left.min(CHUNK);
            let args = Args::default().text(&keys.base).int(to_i64(chunk)).int(tasks).int(age);
            let [expired, repaired, trimmed] =
                reply::tuple(self.connection.run(&scripts::TIDY, &names, &args).await?)?;
            let expired = reply::at_most(reply::count(&expired)?, chunk)?;
            let repaired = reply::at_most(reply::count(&repaired)?, chunk)?;
            out.expired += expired;
            let trimmed = reply::at_most(reply::count(&trimmed)?, chunk)?;
            out.repaired += repaired;
            out.trimmed += trimmed;
            if expired.max(repaired).max(trimmed) < chunk {
                break;
            }
            left -= chunk;
        }
        Ok(out)
    }
}

/// How long after its expiry a lease of a worker of another make is left alone: such workers use their own clock.
const FOREIGN_LEASE_GRACE_SECS: i64 = 30;
