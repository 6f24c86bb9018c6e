//! The tasks this worker holds leases on, so that the heartbeat can extend them and cancel what it lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::broker::Lease;
use crate::ledger::TaskKey;
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// Names one hand-out of a task within this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// The leases of one worker.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    inner: Mutex<Inner>,
}

/// A lease's place among them. Given up when dropped, whatever became of its task: a lease that nobody answers for any
/// more must run out.
#[derive(Debug)]
pub(super) struct Place {
    in_flight: Arc<InFlight>,
    ticket: Ticket,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    entries: HashMap<Ticket, Entry>,
}

/// One lease.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) queue: QueueName,
    pub(super) lease: Lease,
    /// Set once the ledger has granted a claim.
    pub(super) key: Option<TaskKey>,
    /// Until when the task is surely ours by this host's clock.
    pub(super) until: UnixMillis,
    fate: Fate,
    /// Its end is with the settler, who will hear of a lost lease from the queue.
    ended: bool,
    abort: Option<AbortHandle>,
}

/// What is known about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Held,
    /// Given to somebody else or run out: nothing may be settled.
    Lost,
    /// The worker stops: the task is to be given back.
    Cancelled,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while holding the lock leaves the map whole: every change is a single insertion or removal.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(self: &Arc<Self>, queue: &QueueName, lease: &Lease, until: UnixMillis) -> Place {
        let mut inner = self.lock();
        let ticket = Ticket(inner.next);
        inner.next += 1;
        let entry = Entry {
            queue: queue.clone(),
            lease: lease.clone(),
            key: None,
            until,
            fate: Fate::Held,
            ended: false,
            abort: None,
        };
        inner.entries.insert(ticket, entry);
        Place { in_flight: Arc::clone(self), ticket }
    }

    /// Whether nothing is leased that has not been settled.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    pub(super) fn held(&self) -> Vec<(Ticket, Entry)> {
        let inner = self.lock();
        let held = inner.entries.iter().filter(|(_, entry)| entry.fate == Fate::Held);
        held.map(|(ticket, entry)| (*ticket, entry.clone())).collect()
    }

    pub(super) fn extended(&self, ticket: Ticket, until: UnixMillis) {
        if let Some(entry) = self.lock().entries.get_mut(&ticket) {
            entry.until = until;
        }
    }

    /// Stops the handler of a task whose lease is gone; answers whether one was running that had not been told yet.
    pub(super) fn lose(&self, ticket: Ticket) -> bool {
        match self.lock().entries.get_mut(&ticket) {
            Some(entry) if entry.fate == Fate::Held && !entry.ended => {
                entry.end(Fate::Lost);
                true
            }
            _ => false,
        }
    }

    pub(super) fn cancel_all(&self) {
        self.lock().entries.values_mut().filter(|entry| entry.fate == Fate::Held).for_each(|entry| {
            entry.end(Fate::Cancelled);
        });
    }
}

impl Place {
    pub(super) fn claimed(&self, key: TaskKey) {
        if let Some(entry) = self.in_flight.lock().entries.get_mut(&self.ticket) {
            entry.key = Some(key);
        }
    }

    /// Lets a lost lease or the end of the drain stop the handler; at once if that has happened already.
    pub(super) fn cancel_with(&self, abort: AbortHandle) {
        match self.in_flight.lock().entries.get_mut(&self.ticket) {
            Some(entry) if entry.fate == Fate::Held => entry.abort = Some(abort),
            _ => abort.abort(),
        }
    }

    pub(super) fn fate(&self) -> Fate {
        self.in_flight.lock().entries.get(&self.ticket).map_or(Fate::Lost, |entry| entry.fate)
    }

    /// The handler, if there was one, has ended; the lease is kept until it is settled.
    pub(super) fn ended(&self) {
        if let Some(entry) = self.in_flight.lock().entries.get_mut(&self.ticket) {
            entry.ended = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.in_flight.lock().entries.remove(&self.ticket);
    }
}

impl Entry {
    fn end(&mut self, fate: Fate) {
        self.fate = fate;
        if let Some(abort) = self.abort.take() {
            abort.abort();
        }
    }
}
