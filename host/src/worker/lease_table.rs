//! The leases and the locks of the ledger that this worker holds, for the heartbeat.
//!
//! Only the lock decides whether a handler runs. The lease belongs to the queue, which is not trusted and may be out of
//! reach: a task whose lease is lost runs to its end, the ledger records its outcome, and the next delivery settles it.

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

/// One lease, and the lock of its task.
#[derive(Debug)]
pub(super) struct LeaseRow {
    queue: QueueName,
    lease: Lease,
    /// The queue stated that another worker holds the lease, or none.
    pub(super) lease_lost: bool,
    /// The task that this worker has locked, and the time until which it certainly holds the lock, by the clock of the
    /// ledger. The queue cannot move this deadline.
    pub(super) lock: Option<(TaskKey, UnixMillis)>,
    pub(super) state: LockState,
    /// The outcome is on its way to settlement, which reports what was lost.
    pub(super) completed: bool,
    pub(super) abort: Option<AbortHandle>,
}

/// What is known about a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockState {
    /// This worker holds it, or has not acquired it yet.
    Held,
    /// It expired or another worker acquired it: this worker must not record an outcome.
    Lost,
    /// The worker is stopping: the task is cancelled and given back.
    Cancelled,
}

impl LeaseTable {
    fn lock(&self) -> MutexGuard<'_, Leases> {
        // A panic while the lock is held leaves the map consistent: every change is one insertion or removal.
        lock(&self.inner)
    }

    /// Adds a lease.
    pub(super) fn insert(&self, queue: &QueueName, lease: &Lease) -> LeaseId {
        let mut inner = self.lock();
        let id = LeaseId(inner.next);
        inner.next += 1;
        let row = LeaseRow {
            queue: queue.clone(),
            lease: lease.clone(),
            lease_lost: false,
            lock: None,
            state: LockState::Held,
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

    /// Returns the number of tasks of one queue that are not settled.
    pub(super) fn count(&self, queue: &QueueName) -> usize {
        self.lock().rows.values().filter(|row| row.queue == *queue).count()
    }

    /// Returns the leases of one queue that are worth extending.
    pub(super) fn leases(&self, queue: &QueueName) -> Vec<(LeaseId, Lease)> {
        let inner = self.lock();
        let held = inner.rows.iter().filter(|(_, row)| row.is_leased() && row.queue == *queue);
        held.map(|(id, row)| (*id, row.lease.clone())).collect()
    }

    /// Returns the locks of all tasks that are not settled. Cancelled tasks are included: a handler that does not react to
    /// its cancellation still runs.
    pub(super) fn locks(&self) -> Vec<(LeaseId, TaskKey)> {
        let inner = self.lock();
        let locks = inner.rows.iter().filter_map(|(id, row)| Some((*id, row.lock.as_ref()?)));
        locks.map(|(id, (key, _))| (id, key.clone())).collect()
    }

    /// Returns whether this worker runs the task. The ledger could not distinguish a second run by the same worker.
    pub(super) fn is_in_flight(&self, key: &TaskKey) -> bool {
        let inner = self.lock();
        inner.rows.values().any(|row| row.lock.as_ref().is_some_and(|(locked, _)| locked == key))
    }

    /// Records that the lock is held until `until`.
    pub(super) fn lock_extended(&self, id: LeaseId, until: UnixMillis) {
        self.with_row(id, |row| {
            if let Some((_, locked_until)) = &mut row.lock {
                *locked_until = until;
            }
        });
    }

    /// Returns the tasks whose lock may expire by `by`.
    pub(super) fn expiring(&self, by: UnixMillis) -> Vec<LeaseId> {
        let inner = self.lock();
        let expires = |row: &LeaseRow| row.lock.as_ref().is_some_and(|(_, until)| *until <= by);
        let held = inner.rows.iter().filter(|(_, row)| row.state == LockState::Held && expires(row));
        held.map(|(id, _)| *id).collect()
    }

    /// Records that the queue does not recognise a lease: it is no longer extended, and the task continues. Returns the id of
    /// the task, unless the loss was reported before or settlement is going to report it.
    pub(super) fn lose_lease(&self, id: LeaseId) -> Option<String> {
        let lost = self.with_row(id, |row| {
            let reported = std::mem::replace(&mut row.lease_lost, true) || row.completed;
            (!reported).then(|| row.lease.id.clone())
        });
        lost.flatten()
    }

    /// Marks a lock as lost and cancels the handler of its task. Returns the id of the task, unless the loss was reported
    /// before or settlement is going to report it.
    pub(super) fn lose_lock(&self, id: LeaseId) -> Option<String> {
        let lost = self.with_row(id, |row| {
            (row.state == LockState::Held && !row.completed).then(|| {
                row.cancel(LockState::Lost);
                row.lease.id.clone()
            })
        });
        lost.flatten()
    }

    /// Cancels the handlers of all tasks.
    pub(super) fn cancel_all(&self) {
        let mut inner = self.lock();
        let held = inner.rows.values_mut().filter(|row| row.state == LockState::Held);
        held.for_each(|row| row.cancel(LockState::Cancelled));
    }
}

impl LeaseRow {
    const fn is_leased(&self) -> bool {
        matches!(self.state, LockState::Held) && !self.lease_lost
    }

    fn cancel(&mut self, state: LockState) {
        self.state = state;
        if let Some(abort) = self.abort.take() {
            abort.abort();
        }
    }
}
