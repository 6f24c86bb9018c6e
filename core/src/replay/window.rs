//! A replay guard in fixed memory, for a device that runs tasks itself.

use super::{Admission, AdmissionRequest, NotAdmitted, ReplayGuard, ReplaySlot, ReplaySlots};
use crate::name::Issuer;
use crate::task_id::TaskId;

/// A window of the last `N` tasks that have not expired, 88 bytes each.
///
/// The window never forgets a task that could still be accepted: if such tasks use all slots, no new task is admitted
/// until one expires. Choose `N` as the maximum number of tasks that arrive within one lifetime.
///
/// # Security
/// The state is lost on a restart. Unless the lifetimes of tasks are shorter than the boot time, persist the
/// [`ReplayWindow`], or accept that a task may run once more after each restart.
#[derive(Clone, Debug)]
pub struct ReplayWindow<const N: usize> {
    slots: [ReplaySlot; N],
    used: usize,
    floor: u64,
}

impl<const N: usize> Default for ReplayWindow<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> ReplayWindow<N> {
    /// Creates an empty window.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: [ReplaySlot::EMPTY; N], used: 0, floor: 0 }
    }

    pub(super) fn with<T>(&mut self, work: impl FnOnce(&mut ReplaySlots<'_>) -> T) -> T {
        let mut slots = ReplaySlots::resume(&mut self.slots, self.used, self.floor);
        let result = work(&mut slots);
        (self.used, self.floor) = (slots.len(), slots.floor());
        result
    }

    /// Marks a task as finished: further envelopes with its id are replays. Returns whether the task was known.
    pub fn finish(&mut self, issuer: Issuer<'_>, task_id: TaskId) -> bool {
        self.with(|slots| slots.finish(issuer, task_id))
    }
}

impl<const N: usize> ReplayGuard for ReplayWindow<N> {
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        self.with(|slots| slots.admit(request))
    }
}

#[cfg(test)]
mod tests;
