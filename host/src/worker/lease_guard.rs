//! The lease of one task: whether the task may start, may continue, and is to be cancelled.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use super::lease_table::{Extended, LeaseId, LeaseState, LeaseTable};
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
    /// The lease is lost: this worker must not settle the task.
    LeaseLost,
    /// The worker stops, or the time that is left is too short: the task is given back.
    GiveBack,
}

impl LeaseGuard {
    /// Adds a lease, held until `until`, to the table.
    pub(super) fn new(table: &Arc<LeaseTable>, queue: &QueueName, lease: &Lease, until: UnixMillis) -> Self {
        Self { table: Arc::clone(table), id: table.insert(queue, lease, until) }
    }

    /// Records that the worker acquired the ledger entry of the task until `until`. From here on the heartbeat extends it.
    pub(super) fn acquired(&self, key: TaskKey, until: UnixMillis) {
        self.table.with_row(self.id, |row| row.entry = Some((key, until)));
    }

    /// Records that the ledger extended the entry until `until`.
    pub(super) fn entry_extended(&self, until: UnixMillis) {
        self.table.extended(self.id, Extended::LedgerEntry, until);
    }

    /// Checks that the task may start in this phase of the worker: the lease is held, and the ledger entry lasts for
    /// `margin`, which a handler needs to react to its cancellation.
    pub(super) fn still_runnable(&self, phase: Phase, margin: Duration) -> ControlFlow<Interruption> {
        self.still_held()?;
        if phase == Phase::Running && self.entry_lasts(UnixMillis::now().plus(margin)) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(Interruption::GiveBack)
        }
    }

    /// Checks that a task that has started may continue.
    pub(super) fn still_held(&self) -> ControlFlow<Interruption> {
        match self.state() {
            LeaseState::Held => ControlFlow::Continue(()),
            LeaseState::Lost => ControlFlow::Break(Interruption::LeaseLost),
            LeaseState::Cancelled => ControlFlow::Break(Interruption::GiveBack),
        }
    }

    /// Returns why the handler of the task was cancelled.
    pub(super) fn cancellation(&self) -> Interruption {
        self.still_held().break_value().unwrap_or(Interruption::GiveBack)
    }

    /// Cancels the handler when the lease is lost or the drain time ends, and at once if that has happened.
    pub(super) fn cancel_with(&self, abort: AbortHandle) {
        let held = self.table.with_row(self.id, |row| {
            let held = row.state == LeaseState::Held;
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
    pub(super) fn mark_lost(&self) -> bool {
        let before = self.table.with_row(self.id, |row| std::mem::replace(&mut row.state, LeaseState::Lost));
        before.is_some_and(|before| before != LeaseState::Lost)
    }

    /// Records that the task has an outcome. The lease is held until it is settled.
    pub(super) fn completed(&self) {
        self.table.with_row(self.id, |row| row.completed = true);
    }

    fn state(&self) -> LeaseState {
        self.table.with_row(self.id, |row| row.state).unwrap_or(LeaseState::Lost)
    }

    fn entry_lasts(&self, by: UnixMillis) -> bool {
        let until = self.table.with_row(self.id, |row| row.entry.as_ref().map(|(_, until)| *until));
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
