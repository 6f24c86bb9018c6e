//! The tasks this worker holds leases on, so that the heartbeat can extend them and cancel what it lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::broker::Lease;
use crate::queue::QueueName;
use crate::replay::TaskKey;
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
#[derive(Debug)]
struct Entry {
    queue: QueueName,
    lease: Lease,
    /// Until when the lease is surely ours by this host's clock.
    lease_until: UnixMillis,
    /// The claim that the ledger has granted, and until when it is surely ours. It has an end of its own: the queue, which
    /// extends leases, has no say in it.
    claim: Option<(TaskKey, UnixMillis)>,
    fate: Fate,
    /// Its end is with the settler, who will hear of a lost lease from the queue.
    ended: bool,
    abort: Option<AbortHandle>,
}

/// What the heartbeat keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Lease,
    Claim,
}

/// What is known about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Held,
    /// Given to somebody else or run out: nothing may be settled.
    Lost,
    /// The worker stops: the task is cut off.
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
            lease_until: until,
            claim: None,
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

    /// Leases of one queue that are still held.
    pub(super) fn leases(&self, queue: &QueueName) -> Vec<(Ticket, Lease)> {
        let inner = self.lock();
        let held =
            inner.entries.iter().filter(|(_, entry)| entry.fate == Fate::Held && entry.queue == *queue);
        held.map(|(ticket, entry)| (*ticket, entry.lease.clone())).collect()
    }

    /// Claims of all tasks that have not been settled, those included whose lease is lost: a handler that does not let go
    /// still runs.
    pub(super) fn claims(&self) -> Vec<(Ticket, TaskKey)> {
        let inner = self.lock();
        let claimed =
            inner.entries.iter().filter_map(|(ticket, entry)| Some((*ticket, entry.claim.as_ref()?)));
        claimed.map(|(ticket, (key, _))| (ticket, key.clone())).collect()
    }

    /// Whether a run of this task by this worker has not been settled. Its claim and that of a second run would look alike
    /// to the ledger.
    pub(super) fn has_claim(&self, key: &TaskKey) -> bool {
        let inner = self.lock();
        inner.entries.values().any(|entry| entry.claim.as_ref().is_some_and(|(claimed, _)| claimed == key))
    }

    pub(super) fn extended(&self, ticket: Ticket, held: Held, until: UnixMillis) {
        if let Some(entry) = self.lock().entries.get_mut(&ticket) {
            match (held, &mut entry.claim) {
                (Held::Lease, _) => entry.lease_until = until,
                (Held::Claim, Some((_, claim_until))) => *claim_until = until,
                (Held::Claim, None) => {}
            }
        }
    }

    /// Tasks whose lease or claim is not sure to last until `by`.
    pub(super) fn running_out(&self, by: UnixMillis) -> Vec<Ticket> {
        let inner = self.lock();
        let runs_out = |entry: &Entry| {
            let claim_until = entry.claim.as_ref().map(|(_, until)| *until);
            entry.lease_until <= by || claim_until.is_some_and(|until| until <= by)
        };
        let held = inner.entries.iter().filter(|(_, entry)| entry.fate == Fate::Held && runs_out(entry));
        held.map(|(ticket, _)| *ticket).collect()
    }

    /// Stops the handler of a task that cannot be kept; its id, if one was running that had not been told yet.
    pub(super) fn lose(&self, ticket: Ticket) -> Option<String> {
        match self.lock().entries.get_mut(&ticket) {
            Some(entry) if entry.fate == Fate::Held && !entry.ended => {
                entry.end(Fate::Lost);
                Some(entry.lease.id.clone())
            }
            _ => None,
        }
    }

    pub(super) fn cancel_all(&self) {
        self.lock().entries.values_mut().filter(|entry| entry.fate == Fate::Held).for_each(|entry| {
            entry.end(Fate::Cancelled);
        });
    }
}

impl Place {
    /// The ledger has granted the claim until then. From here on it is extended until the lease's end is settled.
    pub(super) fn claimed(&self, key: TaskKey, until: UnixMillis) {
        if let Some(entry) = self.in_flight.lock().entries.get_mut(&self.ticket) {
            entry.claim = Some((key, until));
        }
    }

    /// The ledger has said once more whose the claim is, and moved its end.
    pub(super) fn extended(&self, until: UnixMillis) {
        self.in_flight.extended(self.ticket, Held::Claim, until);
    }

    /// Whether the claim is sure to last until `by`.
    pub(super) fn claim_lasts(&self, by: UnixMillis) -> bool {
        let inner = self.in_flight.lock();
        let claim = inner.entries.get(&self.ticket).and_then(|entry| entry.claim.as_ref());
        claim.is_some_and(|(_, until)| *until > by)
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

    /// The queue or the ledger says that it is somebody else's by now. Whether that is news.
    pub(super) fn lost(&self) -> bool {
        let mut inner = self.in_flight.lock();
        let entry = inner.entries.get_mut(&self.ticket);
        entry.is_some_and(|entry| std::mem::replace(&mut entry.fate, Fate::Lost) != Fate::Lost)
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
