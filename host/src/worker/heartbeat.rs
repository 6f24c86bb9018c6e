//! Extends the leases of running tasks, and stops the handlers of tasks whose lease is gone.

use std::collections::HashMap;
use std::sync::Arc;

use super::event::Event;
use super::in_flight::{Entry, Ticket};
use super::{Phase, Shared};
use crate::broker::Lease;
use crate::ledger::TaskKey;
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// Runs until the worker has stopped.
pub(super) async fn run(shared: Arc<Shared>) {
    // Three beats per lease: one may be lost, one may be late.
    let beat = shared.settings.lease / 3;
    while !shared.sleep_unless(Phase::Stopped, beat).await {
        extend_all(&shared).await;
    }
}

async fn extend_all(shared: &Arc<Shared>) {
    let mut by_queue: HashMap<QueueName, Vec<(Ticket, Entry)>> = HashMap::new();
    for (ticket, entry) in shared.in_flight.held() {
        by_queue.entry(entry.queue.clone()).or_default().push((ticket, entry));
    }
    for (queue, entries) in by_queue {
        extend(shared, &queue, entries).await;
    }
}

async fn extend(shared: &Arc<Shared>, queue: &QueueName, entries: Vec<(Ticket, Entry)>) {
    // Read before the call: the broker's lease ends later than what we count on.
    let until = UnixMillis::now().plus(shared.settings.lease);
    let leases: Vec<Lease> = entries.iter().map(|(_, entry)| entry.lease.clone()).collect();
    let held = match shared.parts.broker.extend(queue, &leases, shared.settings.lease).await {
        Ok(held) => held,
        Err(error) => {
            shared.observe(&Event::BrokerFailed { doing: "extend leases", error });
            let now = UnixMillis::now();
            entries.iter().filter(|(_, entry)| entry.until <= now).for_each(|(ticket, entry)| {
                lose(shared, *ticket, entry);
            });
            return;
        }
    };
    let mut claimed = Vec::new();
    for ((ticket, entry), held) in entries.iter().zip(held) {
        if held {
            claimed.extend(entry.key.clone().map(|key| (*ticket, entry, key)));
            if entry.key.is_none() {
                shared.in_flight.extended(*ticket, until);
            }
        } else {
            lose(shared, *ticket, entry);
        }
    }
    extend_claims(shared, claimed, until).await;
}

async fn extend_claims(shared: &Arc<Shared>, claimed: Vec<(Ticket, &Entry, TaskKey)>, until: UnixMillis) {
    if claimed.is_empty() {
        return;
    }
    let keys: Vec<TaskKey> = claimed.iter().map(|(_, _, key)| key.clone()).collect();
    let worker = Arc::clone(shared);
    let answer =
        tokio::task::spawn_blocking(move || worker.parts.ledger.extend(&worker.owner, &keys, until)).await;
    match answer {
        Ok(Ok(ours)) => {
            for ((ticket, entry, _), ours) in claimed.iter().zip(ours) {
                if ours {
                    shared.in_flight.extended(*ticket, until);
                } else {
                    lose(shared, *ticket, entry);
                }
            }
        }
        Ok(Err(error)) => shared.observe(&Event::StateFailed { error: error.to_string() }),
        Err(error) => shared.observe(&Event::StateFailed { error: error.to_string() }),
    }
}

fn lose(shared: &Shared, ticket: Ticket, entry: &Entry) {
    if shared.in_flight.lose(ticket) {
        shared.observe(&Event::LeaseLost { id: entry.lease.id.clone() });
    }
}
