//! Extends the leases and the locks of running tasks, and cancels the handlers of tasks whose lock cannot be kept.
//!
//! A lock is extended from the moment the ledger grants it until the task is settled: while a token decrypts, while the
//! handler runs, and while the result waits for a signature; even if the lease is lost. Whatever the queue does, no second
//! run starts beside one that has not ended, and no handler is cancelled. A handler is cancelled before its lock can expire.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::event::Event;
use super::lease_table::LeaseId;
use super::phase::Phase;
use super::shared::Shared;
use crate::broker::Lease;
use crate::queue::QueueName;
use crate::replay::TaskKey;
use crate::runtime::{boxed, spawn_thread};
use crate::time::UnixMillis;

/// Runs until the worker has stopped. A queue or a ledger that does not respond delays neither the other queues nor the
/// check for locks that expire.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut loops = JoinSet::new();
    for queue in shared.settings.queues.clone() {
        loops.spawn(boxed(extend_leases(Arc::clone(&shared), queue.name)));
    }
    loops.spawn(boxed(extend_locks(Arc::clone(&shared))));
    loops.spawn(boxed(cancel_expiring(Arc::clone(&shared))));
    loops.join_all().await;
}

/// Returns the time between two heartbeats. Of three in each lease, one may be lost and one may be late.
fn interval(shared: &Shared) -> Duration {
    shared.settings.lease / 3
}

async fn extend_leases(shared: Arc<Shared>, queue: QueueName) {
    while !shared.lifecycle.sleep_unless(Phase::Stopped, interval(&shared)).await {
        let (ids, leases): (Vec<LeaseId>, Vec<Lease>) = shared.leases.leases(&queue).into_iter().unzip();
        if leases.is_empty() {
            continue;
        }
        match shared.parts.broker.extend(&queue, &leases, shared.settings.lease).await {
            Ok(held) => {
                let lost = ids.iter().zip(held).filter(|(_, held)| !held);
                lost.for_each(|(id, _)| lose_lease(&shared, *id));
            }
            Err(error) => shared.observe(&Event::BrokerFailed { doing: "extend leases", error }),
        }
    }
}

async fn extend_locks(shared: Arc<Shared>) {
    while !shared.lifecycle.sleep_unless(Phase::Stopped, interval(&shared)).await {
        let (ids, keys): (Vec<LeaseId>, Vec<TaskKey>) = shared.leases.locks().into_iter().unzip();
        if keys.is_empty() {
            continue;
        }
        let worker = Arc::clone(&shared);
        match on_new_thread(move || worker.extend_locks(&keys)).await {
            Ok(Ok((held, until))) => record(&shared, &ids, &held, until),
            Ok(Err(error)) => shared.state_failed(&error),
            Err(error) => shared.state_failed(&error),
        }
    }
}

/// Runs `work` on a new thread: handlers and slow keys may occupy all threads of the runtime that may block.
async fn on_new_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    spawn_thread("taskseal-ledger", move || {
        let _ = sender.send(work());
    })?;
    receiver.await.map_err(|_| io::Error::other("the thread that extends locks panicked"))
}

/// Records which locks are held until `until`, and cancels the tasks of the others.
fn record(shared: &Shared, ids: &[LeaseId], held: &[bool], until: UnixMillis) {
    for (id, held) in ids.iter().zip(held) {
        if *held { shared.leases.lock_extended(*id, until) } else { lose_lock(shared, *id) }
    }
}

/// Cancels handlers while there is enough time for them to react.
async fn cancel_expiring(shared: Arc<Shared>) {
    let margin = shared.margin();
    while !shared.lifecycle.sleep_unless(Phase::Stopped, margin / 2).await {
        for id in shared.leases.expiring(shared.parts.ledger.now().plus(margin)) {
            lose_lock(&shared, id);
        }
    }
}

fn lose_lease(shared: &Shared, id: LeaseId) {
    if let Some(id) = shared.leases.lose_lease(id) {
        shared.observe(&Event::LeaseLost { id });
    }
}

fn lose_lock(shared: &Shared, id: LeaseId) {
    if let Some(id) = shared.leases.lose_lock(id) {
        shared.observe(&Event::LockLost { id });
    }
}
