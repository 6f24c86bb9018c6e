//! A replay guard in fixed memory, for a device that runs tasks itself.

use super::{Admission, AdmissionRequest, NotAdmitted, ReplayGuard, ReplaySlot, ReplaySlots};
use crate::name::Issuer;
use crate::task_id::TaskId;

/// Remembers the last `N` tasks that have not expired, 88 bytes each.
///
/// It never forgets a task that could still be accepted: when all places are taken by such tasks, new ones are
/// not admitted until one expires. Choose `N` as the most tasks that arrive within one lifetime.
///
/// # Security
/// The memory is lost on a restart. Unless tasks are sealed with lifetimes shorter than a boot, persist
/// [`ReplayWindow`] or accept that a task may run once more after each restart.
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
    /// An empty window.
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

    /// Marks a task as run to its end: whatever comes with its id from now on is a replay. Returns whether the
    /// task was known.
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
