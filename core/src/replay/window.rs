//! A replay guard in fixed memory, for a device that runs tasks itself.

use heapless::Vec;
use sha2::{Digest, Sha256};

use super::{Admission, NotAdmitted, ReplayGuard, Sighting};
use crate::name::Issuer;
use crate::refusal::Refusal;
use crate::task_id::TaskId;

/// Remembers the last `N` tasks that have not expired, 88 bytes each.
///
/// It never forgets a task that could still be accepted: when all places are taken by such tasks, new ones are
/// not admitted until one expires. Choose `N` as the most tasks that arrive within one lifetime.
///
/// # Security
/// The memory is lost on a restart. Unless tasks are sealed with lifetimes shorter than a boot, persist
/// [`ReplayWindow`] or accept that a task may run once more after each restart.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow<const N: usize> {
    entries: Vec<Entry, N>,
    /// Everything that expired before this time has been forgotten and is refused from then on, so that a
    /// clock stepping back brings nothing forgotten to life.
    floor: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// SHA-256 of issuer and task id.
    task: [u8; 32],
    /// SHA-256 of the envelope.
    digest: [u8; 32],
    forget_after: u64,
    /// Unix time in seconds from which on it is not run again: its time to live after first sight.
    dead_from: u64,
    attempts: u16,
    finished: bool,
}

impl<const N: usize> ReplayWindow<N> {
    /// An empty window.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new(), floor: 0 }
    }

    /// Whether the task is remembered.
    pub(super) fn knows(&self, sighting: &Sighting<'_>) -> bool {
        let task = task_key(sighting.issuer, sighting.task_id);
        self.entries.iter().any(|entry| entry.task == task)
    }

    /// Marks a task as run to its end: whatever comes with its id from now on is a replay. Returns whether the
    /// task was known.
    pub fn finish(&mut self, issuer: Issuer<'_>, task_id: TaskId) -> bool {
        let task = task_key(issuer, task_id);
        let entry = self.entries.iter_mut().find(|entry| entry.task == task);
        entry.map(|entry| entry.finished = true).is_some()
    }
}

impl<const N: usize> ReplayGuard for ReplayWindow<N> {
    fn admit(&mut self, sighting: &Sighting<'_>) -> Result<Admission, NotAdmitted> {
        let task = task_key(sighting.issuer, sighting.task_id);
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.task == task) {
            if entry.digest != sighting.digest {
                return Err(NotAdmitted::Refused(Refusal::Conflict));
            }
            if entry.finished {
                return Err(NotAdmitted::Refused(Refusal::Replayed));
            }
            if sighting.seen_at >= entry.dead_from {
                // For good, even if the clock steps back.
                entry.dead_from = 0;
                return Err(NotAdmitted::Refused(Refusal::Expired));
            }
            if sighting.attempts.is_some_and(|most| entry.attempts >= most) {
                return Err(NotAdmitted::Refused(Refusal::AttemptsExhausted));
            }
            entry.attempts = entry.attempts.saturating_add(1);
            return Ok(Admission::Redelivery);
        }
        if sighting.attempts == Some(0) {
            return Err(NotAdmitted::Refused(Refusal::AttemptsExhausted));
        }
        if self.entries.is_full() {
            self.entries.retain(|entry| entry.forget_after >= sighting.seen_at);
            self.floor = self.floor.max(sighting.seen_at);
        }
        let forget_after = sighting.forget_after.unwrap_or(u64::MAX);
        if forget_after < self.floor {
            return Err(NotAdmitted::Refused(Refusal::Expired));
        }
        let dead_from = sighting.ttl.map_or(u64::MAX, |ttl| sighting.seen_at.saturating_add(u64::from(ttl)));
        let digest = sighting.digest;
        let entry = Entry { task, digest, forget_after, dead_from, attempts: 1, finished: false };
        self.entries.push(entry).map(|()| Admission::FirstRun).map_err(|_| NotAdmitted::Unavailable)
    }
}

/// The task id has a fixed length, so no two pairs of id and issuer hash the same bytes.
fn task_key(issuer: Issuer<'_>, task_id: TaskId) -> [u8; 32] {
    Sha256::new().chain_update(task_id.as_bytes()).chain_update(issuer.as_str()).finalize().into()
}

#[cfg(test)]
mod tests;
