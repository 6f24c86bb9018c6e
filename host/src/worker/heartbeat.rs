//! Keeps what running tasks hold: their leases in the queue and their claims in the ledger, each by itself, and stops the
//! handlers of tasks that can no longer be kept.
//!
//! A claim is kept from the moment the ledger grants it until the end of its task is settled: while a token that decrypts
//! keeps the task waiting, while its handler runs, and while its result waits for a signature; even when the lease is lost.
//! Whatever the queue does, no second run begins beside one that has not ended. A handler is stopped before its claim can
//! run out unnoticed.

use std::sync::{Arc, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::event::Event;
use super::in_flight::{Held, Ticket};
use super::{Phase, Shared};
use crate::broker::Lease;
use crate::queue::QueueName;
use crate::replay::{StateError, TaskKey};
use crate::time::UnixMillis;

/// Runs until the worker has stopped. A queue or a ledger that does not answer holds up neither the other queues nor the
/// watch over what runs out.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut loops = JoinSet::new();
    for queue in shared.settings.queues.clone() {
        loops.spawn(keep_leases(Arc::clone(&shared), queue.name));
    }
    loops.spawn(keep_claims(Arc::clone(&shared)));
    loops.spawn(watch(Arc::clone(&shared)));
    loops.join_all().await;
}

/// Three beats per lease: one may be lost, one may be late.
fn beat(shared: &Shared) -> Duration {
    shared.settings.lease / 3
}

/// What must be left of a lease or claim for a handler to begin or go on.
pub(super) fn margin(shared: &Shared) -> Duration {
    shared.settings.lease / 6
}

async fn keep_leases(shared: Arc<Shared>, queue: QueueName) {
    while !shared.sleep_unless(Phase::Stopped, beat(&shared)).await {
        let (tickets, leases): (Vec<Ticket>, Vec<Lease>) =
            shared.in_flight.leases(&queue).into_iter().unzip();
        if leases.is_empty() {
            continue;
        }
        // Read before the call: the broker's lease ends later than what we count on.
        let until = UnixMillis::now().plus(shared.settings.lease);
        match shared.parts.broker.extend(&queue, &leases, shared.settings.lease).await {
            Ok(held) => settle_beat(&shared, &tickets, &held, |ticket| {
                shared.in_flight.extended(ticket, Held::Lease, until);
            }),
            Err(error) => shared.observe(&Event::BrokerFailed { doing: "extend leases", error }),
        }
    }
}

async fn keep_claims(shared: Arc<Shared>) {
    while !shared.sleep_unless(Phase::Stopped, beat(&shared)).await {
        let (tickets, keys): (Vec<Ticket>, Vec<TaskKey>) = shared.in_flight.claims().into_iter().unzip();
        if keys.is_empty() {
            continue;
        }
        let worker = Arc::clone(&shared);
        match on_its_own_thread(move || extend_claims(&worker, &keys)).await {
            Ok(Ok((ours, until))) => settle_beat(&shared, &tickets, &ours, |ticket| {
                shared.in_flight.extended(ticket, Held::Claim, until);
            }),
            Ok(Err(error)) => shared.observe(&Event::StateFailed { error: error.to_string() }),
            Err(error) => shared.observe(&Event::StateFailed { error: error.to_string() }),
        }
    }
}

/// Blocks where nobody else can: handlers and slow keys may have taken every thread that the runtime has for that.
async fn on_its_own_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("taskseal-claims".to_owned()).spawn(move || {
        let _ = answer.send(work());
    })?;
    answered.await.map_err(|_| io::Error::other("extending claims was cut off"))
}

/// Asks the ledger which claims are still ours and extends them; answers until when. Blocks.
///
/// One call after the other: were an earlier one overtaken by a later one, the ledger's end would be before the one that this
/// worker counts on.
pub(super) fn extend_claims(
    shared: &Shared,
    keys: &[TaskKey],
) -> Result<(Vec<bool>, UnixMillis), StateError> {
    let _in_turn = shared.extending.lock().unwrap_or_else(PoisonError::into_inner);
    let until = UnixMillis::now().plus(shared.settings.lease);
    Ok((shared.parts.ledger.extend(&shared.owner, keys, until)?, until))
}

fn settle_beat(shared: &Shared, tickets: &[Ticket], kept: &[bool], extended: impl Fn(Ticket)) {
    for (ticket, kept) in tickets.iter().zip(kept) {
        if *kept { extended(*ticket) } else { lose(shared, *ticket) }
    }
}

/// Stops handlers while there is still time for them to let go.
async fn watch(shared: Arc<Shared>) {
    let margin = margin(&shared);
    while !shared.sleep_unless(Phase::Stopped, margin / 2).await {
        for ticket in shared.in_flight.running_out(UnixMillis::now().plus(margin)) {
            lose(&shared, ticket);
        }
    }
}

fn lose(shared: &Shared, ticket: Ticket) {
    if let Some(id) = shared.in_flight.lose(ticket) {
        shared.observe(&Event::LeaseLost { id });
    }
}
