//! Maintenance of the queues: recover, forward, tidy. Every worker does it; several may do it at once.

use std::sync::Arc;
use std::time::Duration;

use super::event::Event;
use super::phase::Phase;
use super::quarantine;
use super::shared::Shared;
use crate::broker::{BrokerError, Recovered, Tidied};
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// Maximum number of tasks moved by one call.
const BATCH: usize = 128;
/// Maximum number of tasks that the ledger forgets in one call. Other calls of the ledger wait for it.
const SWEEP: usize = 1000;
/// Delay between searches for expired leases. A task of a lost worker is pending again this long after its lease expired,
/// at the latest.
const RECOVER_EVERY: Duration = Duration::from_millis(250);
/// Delay between searches for due tasks.
const FORWARD_EVERY: Duration = Duration::from_millis(500);
/// Delay between two calls that store what was counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// Delay between deletions of expired tasks.
const TIDY_EVERY: Duration = Duration::from_secs(8);

/// Recovers the tasks of lost workers until the worker stops.
pub(super) async fn recover(shared: Arc<Shared>) {
    loop {
        for queue in queues(&shared) {
            while recover_batch(&shared, &queue).await && continues(&shared) {}
        }
        if shared.lifecycle.sleep_unless(Phase::Stopping, RECOVER_EVERY).await {
            return;
        }
    }
}

/// Recovers one batch. Returns whether there may be more to recover.
async fn recover_batch(shared: &Shared, queue: &QueueName) -> bool {
    let recovered = shared.parts.broker.recover(queue, BATCH).await;
    let Some(Recovered { requeued, dropped }) = answer(shared, "recover tasks", recovered) else {
        return false;
    };
    if !requeued.is_empty() {
        shared.observe(&Event::Recovered { count: requeued.len() });
    }
    if !dropped.is_empty() {
        shared.observe(&Event::Dropped { count: dropped.len() });
    }
    requeued.len() + dropped.len() >= BATCH
}

/// Moves due tasks to pending until the worker stops.
pub(super) async fn forward(shared: Arc<Shared>) {
    loop {
        for queue in queues(&shared) {
            let more = |moved: Option<usize>| moved.is_some_and(|moved| moved >= BATCH) && continues(&shared);
            while more(answer(&shared, "forward tasks", shared.parts.broker.forward(&queue, BATCH).await)) {}
        }
        if shared.lifecycle.sleep_unless(Phase::Stopping, FORWARD_EVERY).await {
            return;
        }
    }
}

/// Deletes expired tasks from the queues and the ledger, and measures the quarantine, until the worker stops. The first
/// turn of the queues is at once: a worker in the mode "once" may end before the first delay.
pub(super) async fn tidy(shared: Arc<Shared>) {
    quarantine::measure(&shared).await;
    loop {
        for queue in queues(&shared) {
            tidy_queue(&shared, queue).await;
        }
        if shared.lifecycle.sleep_unless(Phase::Stopping, TIDY_EVERY).await {
            return;
        }
        while sweep(&shared).await && continues(&shared) {}
        quarantine::measure(&shared).await;
    }
}

/// Stores what was counted of sealed and unsealed tasks, until the worker stops.
pub(super) async fn count(shared: Arc<Shared>) {
    while !shared.lifecycle.sleep_unless(Phase::Stopping, COUNT_EVERY).await {
        store_counts(&shared).await;
    }
}

/// Stores what was counted since the last call, and the modes that hold now: one becomes stricter at its end date.
pub(super) async fn store_counts(shared: &Arc<Shared>) {
    let store = |shared: &Shared| {
        shared.rollout.flush()?;
        shared.rollout.refresh()?;
        // A looser mode is not recorded, and does not hold: see `Rollout::effective`.
        shared.rollout.tighten(shared.keys.snapshot().policy.rules().modes_at(UnixMillis::now()))
    };
    if let Ok(Err(error)) = shared.run_blocking(store).await {
        shared.state_failed(&error);
    }
}

/// Deletes expired tasks of one queue. Reports all that left the archive as one event.
async fn tidy_queue(shared: &Shared, queue: QueueName) {
    let mut count = 0;
    loop {
        let tidied = shared.parts.broker.tidy(&queue, BATCH).await;
        let Some(Tidied { expired, repaired, trimmed }) = answer(shared, "tidy queues", tidied) else {
            break;
        };
        count += trimmed;
        if expired.max(repaired).max(trimmed) < BATCH || !continues(shared) {
            break;
        }
    }
    if count > 0 {
        shared.observe(&Event::ArchiveTrimmed { queue, count });
    }
}

/// Has the ledger forget one batch of expired tasks. Returns whether there may be more.
async fn sweep(shared: &Arc<Shared>) -> bool {
    match shared.run_blocking(|shared| shared.parts.ledger.sweep(UnixMillis::now(), SWEEP)).await {
        Ok(Ok(swept)) => swept >= SWEEP,
        Ok(Err(error)) => {
            shared.state_failed(&error);
            false
        }
        Err(_) => false,
    }
}

/// Returns whether maintenance continues: a worker stops, however much there is to do.
fn continues(shared: &Shared) -> bool {
    shared.lifecycle.phase() < Phase::Stopping
}

fn queues(shared: &Shared) -> Vec<QueueName> {
    shared.settings.queues.iter().map(|queue| queue.name.clone()).collect()
}

/// Returns the answer of the broker, or reports its failure.
fn answer<T>(shared: &Shared, doing: &'static str, result: Result<T, BrokerError>) -> Option<T> {
    result.map_err(|error| shared.observe(&Event::BrokerFailed { doing, error })).ok()
}
