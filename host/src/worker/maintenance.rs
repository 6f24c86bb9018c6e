//! Upkeep of the queues by every worker: recover, forward, tidy. Safe to run in many workers at once.

use std::sync::Arc;
use std::time::Duration;

use super::event::Event;
use super::{Phase, Shared};
use crate::broker::{BrokerError, Recovered, Tidied};
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// Most tasks moved by one call.
const BATCH: usize = 128;
/// Most tasks forgotten by one call: claims wait for it.
const SWEEP: usize = 1000;
/// How often lost leases are looked for: a lost task is pending again this long after its lease at the latest.
const RECOVER_EVERY: Duration = Duration::from_millis(250);
/// How often due tasks are looked for.
const FORWARD_EVERY: Duration = Duration::from_millis(500);
/// How often expired tasks are deleted.
const TIDY_EVERY: Duration = Duration::from_secs(8);

/// Brings back the tasks of lost workers until the worker stops.
pub(super) async fn recover(shared: Arc<Shared>) {
    loop {
        for queue in queues(&shared) {
            while recover_batch(&shared, &queue).await && goes_on(&shared) {}
        }
        if shared.sleep_unless(Phase::Stopping, RECOVER_EVERY).await {
            return;
        }
    }
}

/// Whether there may be more to recover.
async fn recover_batch(shared: &Shared, queue: &QueueName) -> bool {
    let recovered = shared.parts.broker.recover(queue, BATCH).await;
    let Some(Recovered { requeued, archived, dropped }) = seen(shared, "recover tasks", recovered) else {
        return false;
    };
    if !requeued.is_empty() {
        shared.observe(&Event::Recovered { count: requeued.len() });
    }
    if !archived.is_empty() {
        shared.observe(&Event::Poisonous { count: archived.len() });
    }
    if !dropped.is_empty() {
        shared.observe(&Event::Dropped { count: dropped.len() });
    }
    requeued.len() + archived.len() + dropped.len() >= BATCH
}

/// Moves due tasks to pending until the worker stops.
pub(super) async fn forward(shared: Arc<Shared>) {
    loop {
        for queue in queues(&shared) {
            let more = |moved: Option<usize>| moved.is_some_and(|moved| moved >= BATCH) && goes_on(&shared);
            while more(seen(&shared, "forward tasks", shared.parts.broker.forward(&queue, BATCH).await)) {}
        }
        if shared.sleep_unless(Phase::Stopping, FORWARD_EVERY).await {
            return;
        }
    }
}

/// Deletes what has expired, in the queues and in the ledger, until the worker stops.
pub(super) async fn tidy(shared: Arc<Shared>) {
    while !shared.sleep_unless(Phase::Stopping, TIDY_EVERY).await {
        for queue in queues(&shared) {
            let more = |tidied: Option<Tidied>| {
                tidied.is_some_and(|tidied| tidied.expired + tidied.repaired >= BATCH) && goes_on(&shared)
            };
            while more(seen(&shared, "tidy queues", shared.parts.broker.tidy(&queue, BATCH).await)) {}
        }
        while sweep(&shared).await && goes_on(&shared) {}
    }
}

/// Whether the ledger may have more to forget.
async fn sweep(shared: &Arc<Shared>) -> bool {
    let worker = Arc::clone(shared);
    let sweep = move || worker.parts.ledger.sweep(UnixMillis::now(), SWEEP);
    match tokio::task::spawn_blocking(sweep).await {
        Ok(Ok(swept)) => swept >= SWEEP,
        Ok(Err(error)) => {
            shared.observe(&Event::StateFailed { error: error.to_string() });
            false
        }
        Err(_) => false,
    }
}

/// However much there is to do, a worker that is to stop stops.
fn goes_on(shared: &Shared) -> bool {
    *shared.phase.borrow() < Phase::Stopping
}

fn queues(shared: &Shared) -> Vec<QueueName> {
    shared.settings.queues.iter().map(|queue| queue.name.clone()).collect()
}

fn seen<T>(shared: &Shared, doing: &'static str, answer: Result<T, BrokerError>) -> Option<T> {
    answer.map_err(|error| shared.observe(&Event::BrokerFailed { doing, error })).ok()
}
