//! The lease and the lock of one task: whether the task may start, may continue, and is to be cancelled.

use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::task::AbortHandle;

use super::lease_table::{LeaseId, LeaseTable, LockState};
use super::phase::Phase;
use crate::broker::Lease;
use crate::queue::QueueName;
use crate::replay::TaskKey;
use crate::time::UnixMillis;

/// A lease in the [`LeaseTable`]. The heartbeat extends it until the guard is dropped; then it expires, unless the task is
/// settled.
#[derive(Debug)]
pub(super) struct LeaseGuard {
    table: Arc<LeaseTable>,
    id: LeaseId,
}

/// Why a task must not start or continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The lock is lost: this worker must not record an outcome.
    LockLost,
    /// The worker stops, or the time that is left is too short: the task is given back.
    GiveBack,
}

impl LeaseGuard {
    /// Adds a lease to the table.
    pub(super) fn new(table: &Arc<LeaseTable>, queue: &QueueName, lease: &Lease) -> Self {
        Self { table: Arc::clone(table), id: table.insert(queue, lease) }
    }

    /// Records that the worker locked the task in the ledger until `until`. From here on the heartbeat extends the lock.
    pub(super) fn locked(&self, key: TaskKey, until: UnixMillis) {
        self.table.with_row(self.id, |row| row.lock = Some((key, until)));
    }

    /// Records that the ledger extended the lock until `until`.
    pub(super) fn lock_extended(&self, until: UnixMillis) {
        self.table.lock_extended(self.id, until);
    }

    /// Checks that the task may start in this phase of the worker: its lock lasts past `by`, by the clock of the ledger, so
    /// that a handler has time to react to its cancellation.
    pub(super) fn still_runnable(&self, phase: Phase, by: UnixMillis) -> ControlFlow<Interruption> {
        self.still_locked()?;
        if phase == Phase::Running && self.lock_lasts(by) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(Interruption::GiveBack)
        }
    }

    /// Checks that a task that has started may continue.
    pub(super) fn still_locked(&self) -> ControlFlow<Interruption> {
        match self.state() {
            LockState::Held => ControlFlow::Continue(()),
            LockState::Lost => ControlFlow::Break(Interruption::LockLost),
            LockState::Cancelled => ControlFlow::Break(Interruption::GiveBack),
        }
    }

    /// Returns why the handler of the task was cancelled.
    pub(super) fn cancellation(&self) -> Interruption {
        self.still_locked().break_value().unwrap_or(Interruption::GiveBack)
    }

    /// Cancels the handler when the lock is lost or the drain time ends, and at once if that has happened.
    pub(super) fn cancel_with(&self, abort: AbortHandle) {
        let held = self.table.with_row(self.id, |row| {
            let held = row.state == LockState::Held;
            if held {
                row.abort = Some(abort.clone());
            }
            held
        });
        if held != Some(true) {
            abort.abort();
        }
    }

    /// Marks the lease as lost. Returns whether it was not marked before.
    pub(super) fn mark_lease_lost(&self) -> bool {
        self.table.with_row(self.id, |row| !std::mem::replace(&mut row.lease_lost, true)).unwrap_or(false)
    }

    /// Marks the lock as lost. Returns whether it was not marked before.
    pub(super) fn mark_lock_lost(&self) -> bool {
        let before = self.table.with_row(self.id, |row| std::mem::replace(&mut row.state, LockState::Lost));
        before.is_some_and(|before| before != LockState::Lost)
    }

    /// Records that the task has an outcome. The lease and the lock are extended until it is settled.
    pub(super) fn completed(&self) {
        self.table.with_row(self.id, |row| row.completed = true);
    }

    /// Records that the ledger has recorded the outcome, and with that ended the lock. The next delivery of the task may reach
    /// this worker before the answer of the queue to this one.
    pub(super) fn unlocked(&self) {
        self.table.with_row(self.id, |row| row.lock = None);
    }

    fn state(&self) -> LockState {
        self.table.with_row(self.id, |row| row.state).unwrap_or(LockState::Lost)
    }

    fn lock_lasts(&self, by: UnixMillis) -> bool {
        let until = self.table.with_row(self.id, |row| row.lock.as_ref().map(|(_, until)| *until));
        until.flatten().is_some_and(|until| until > by)
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.table.remove(self.id);
    }
}

#[cfg(test)]
mod tests;
