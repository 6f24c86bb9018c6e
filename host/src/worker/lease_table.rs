//! The leases that this worker holds, for the heartbeat, which extends them and stops the tasks of lost ones.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::task::AbortHandle;

use crate::broker::Lease;
use crate::lock::lock;
use crate::queue::QueueName;
use crate::replay::TaskKey;
use crate::time::UnixMillis;

/// The id of a lease within one worker. Every delivery of a task has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LeaseId(u64);

/// The leases of one worker.
#[derive(Debug, Default)]
pub(super) struct LeaseTable {
    inner: Mutex<Leases>,
}

#[derive(Debug, Default)]
struct Leases {
    next: u64,
    rows: HashMap<LeaseId, LeaseRow>,
}

/// One lease, and the ledger entry of its task.
#[derive(Debug)]
pub(super) struct LeaseRow {
    queue: QueueName,
    lease: Lease,
    /// Time until which the lease is certainly held, by the clock of this host.
    lease_until: UnixMillis,
    /// The ledger entry that this worker has acquired, and the time until which it is certainly held. Its deadline is
    /// independent of the lease: the queue, which extends leases, cannot move it.
    pub(super) entry: Option<(TaskKey, UnixMillis)>,
    pub(super) state: LeaseState,
    /// The outcome is on its way to settlement, which learns from the queue whether the lease was lost.
    pub(super) completed: bool,
    pub(super) abort: Option<AbortHandle>,
}

/// What is known about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseState {
    /// This worker holds it.
    Held,
    /// It expired or was given to another worker: this worker must not settle the task.
    Lost,
    /// The worker is stopping: the task is cancelled and given back.
    Cancelled,
}

/// What the heartbeat extends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extended {
    Lease,
    LedgerEntry,
}

impl LeaseTable {
    fn lock(&self) -> MutexGuard<'_, Leases> {
        // A panic while the lock is held leaves the map consistent: every change is one insertion or removal.
        lock(&self.inner)
    }

    /// Adds a lease that is held until `until`.
    pub(super) fn insert(&self, queue: &QueueName, lease: &Lease, until: UnixMillis) -> LeaseId {
        let mut inner = self.lock();
        let id = LeaseId(inner.next);
        inner.next += 1;
        let row = LeaseRow {
            queue: queue.clone(),
            lease: lease.clone(),
            lease_until: until,
            entry: None,
            state: LeaseState::Held,
            completed: false,
            abort: None,
        };
        inner.rows.insert(id, row);
        id
    }

    /// Removes a lease: the heartbeat no longer extends it.
    pub(super) fn remove(&self, id: LeaseId) {
        self.lock().rows.remove(&id);
    }

    /// Calls `access` with a lease, unless it was removed.
    pub(super) fn with_row<T>(&self, id: LeaseId, access: impl FnOnce(&mut LeaseRow) -> T) -> Option<T> {
        self.lock().rows.get_mut(&id).map(access)
    }

    /// Returns whether every leased task is settled.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().rows.is_empty()
    }

    /// Returns the leases of one queue that are held.
    pub(super) fn leases(&self, queue: &QueueName) -> Vec<(LeaseId, Lease)> {
        let inner = self.lock();
        let held = inner.rows.iter().filter(|(_, row)| row.state == LeaseState::Held && row.queue == *queue);
        held.map(|(id, row)| (*id, row.lease.clone())).collect()
    }

    /// Returns the acquired ledger entries of all tasks that are not settled. Those with a lost lease are included: a
    /// handler that does not react to its cancellation still runs.
    pub(super) fn entries(&self) -> Vec<(LeaseId, TaskKey)> {
        let inner = self.lock();
        let entries = inner.rows.iter().filter_map(|(id, row)| Some((*id, row.entry.as_ref()?)));
        entries.map(|(id, (key, _))| (id, key.clone())).collect()
    }

    /// Returns whether this worker runs the task. The ledger could not distinguish a second run by the same worker.
    pub(super) fn is_in_flight(&self, key: &TaskKey) -> bool {
        let inner = self.lock();
        inner.rows.values().any(|row| row.entry.as_ref().is_some_and(|(acquired, _)| acquired == key))
    }

    /// Records that a lease or a ledger entry is held until `until`.
    pub(super) fn extended(&self, id: LeaseId, extended: Extended, until: UnixMillis) {
        self.with_row(id, |row| match (extended, &mut row.entry) {
            (Extended::Lease, _) => row.lease_until = until,
            (Extended::LedgerEntry, Some((_, entry_until))) => *entry_until = until,
            (Extended::LedgerEntry, None) => {}
        });
    }

    /// Returns the held leases that may expire by `by`, or whose ledger entry may.
    pub(super) fn expiring(&self, by: UnixMillis) -> Vec<LeaseId> {
        let inner = self.lock();
        let expires = |row: &LeaseRow| {
            let entry_until = row.entry.as_ref().map(|(_, until)| *until);
            row.lease_until <= by || entry_until.is_some_and(|until| until <= by)
        };
        let held = inner.rows.iter().filter(|(_, row)| row.state == LeaseState::Held && expires(row));
        held.map(|(id, _)| *id).collect()
    }

    /// Marks a lease as lost and cancels the handler of its task. Returns the id of the task, unless the loss was
    /// reported before or settlement is going to report it.
    pub(super) fn lose(&self, id: LeaseId) -> Option<String> {
        let lost = self.with_row(id, |row| {
            (row.state == LeaseState::Held && !row.completed).then(|| {
                row.cancel(LeaseState::Lost);
                row.lease.id.clone()
            })
        });
        lost.flatten()
    }

    /// Cancels the handlers of all tasks.
    pub(super) fn cancel_all(&self) {
        let mut inner = self.lock();
        let held = inner.rows.values_mut().filter(|row| row.state == LeaseState::Held);
        held.for_each(|row| row.cancel(LeaseState::Cancelled));
    }
}

impl LeaseRow {
    fn cancel(&mut self, state: LeaseState) {
        self.state = state;
        if let Some(abort) = self.abort.take() {
            abort.abort();
        }
    }
}
