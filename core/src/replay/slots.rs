//! The storage of a replay window: borrowed slots.

use sha2::{Digest, Sha256};

use super::{Admission, AdmissionRequest, NotAdmitted, ReplayGuard};
use crate::name::Issuer;
use crate::refusal::Refusal;
use crate::task_id::TaskId;

/// Storage for one task: 88 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub struct ReplaySlot {
    /// SHA-256 of issuer and task id.
    task: [u8; 32],
    /// SHA-256 of the envelope.
    digest: [u8; 32],
    forget_after: u64,
    /// Unix time in seconds from which the task does not run again: its time to live after the first admission.
    dead_from: u64,
    attempts: u16,
    finished: bool,
    /// Whether the sequence is stored elsewhere, which refuses a copy after this slot is freed.
    sequenced: bool,
}

impl ReplaySlot {
    /// Empty storage.
    pub const EMPTY: Self = Self {
        task: [0; 32],
        digest: [0; 32],
        forget_after: 0,
        dead_from: 0,
        attempts: 0,
        finished: false,
        sequenced: false,
    };
}

impl Default for ReplaySlot {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A [`ReplayWindow`](super::ReplayWindow) over borrowed slots, whose number is known at run time only.
#[derive(Debug)]
pub struct ReplaySlots<'m> {
    slots: &'m mut [ReplaySlot],
    /// Number of used slots, which come first.
    used: usize,
    /// Tasks that expired before this time were forgotten and are refused, so that a clock that steps back does not
    /// make forgotten tasks acceptable.
    floor: u64,
}

impl<'m> ReplaySlots<'m> {
    /// Creates an empty window.
    #[must_use]
    pub const fn new(slots: &'m mut [ReplaySlot]) -> Self {
        Self { slots, used: 0, floor: 0 }
    }

    /// Resumes the window over these slots with the previous values of [`len`](Self::len) and [`floor`](Self::floor).
    #[must_use]
    pub fn resume(slots: &'m mut [ReplaySlot], len: usize, floor: u64) -> Self {
        let used = len.min(slots.len());
        Self { slots, used, floor }
    }

    /// Returns the number of stored tasks.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Returns whether no task is stored.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Returns the Unix time in seconds before which expired tasks were forgotten and are refused.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// Returns whether the task is stored.
    pub(super) fn knows(&self, request: &AdmissionRequest<'_>) -> bool {
        self.position(&task_key(request.issuer, request.task_id)).is_some()
    }

    /// Marks a task as finished: further envelopes with its id are replays. Returns whether the task was known.
    pub fn finish(&mut self, issuer: Issuer<'_>, task_id: TaskId) -> bool {
        let slot = self.find(&task_key(issuer, task_id));
        slot.map(|slot| slot.finished = true).is_some()
    }

    fn position(&self, task: &[u8; 32]) -> Option<usize> {
        self.slots.iter().take(self.used).position(|slot| slot.task == *task)
    }

    fn find(&mut self, task: &[u8; 32]) -> Option<&mut ReplaySlot> {
        self.slots.iter_mut().take(self.used).find(|slot| slot.task == *task)
    }

    /// If all slots are used, frees those of tasks that expired before `now`. If none has expired, frees that of the
    /// first finished task whose sequence is stored elsewhere, so that a window without a clock does not fill up.
    pub(super) fn make_room(&mut self, now: u64) {
        if self.used >= self.slots.len() {
            self.forget_before(now);
        }
        if self.used >= self.slots.len()
            && let Some(place) = self.slots.iter().position(|slot| slot.finished && slot.sequenced)
            && let Some(rest) = self.slots.get_mut(place..)
        {
            rest.rotate_left(1);
            self.used -= 1;
        }
    }

    /// Records that the sequence of the last admitted task is stored elsewhere.
    pub(super) fn last_is_sequenced(&mut self) {
        if let Some(slot) = self.used.checked_sub(1).and_then(|last| self.slots.get_mut(last)) {
            slot.sequenced = true;
        }
    }

    /// Frees the slots of tasks that expired before `time`.
    fn forget_before(&mut self, time: u64) {
        let mut kept = 0;
        for index in 0..self.used {
            let Some(slot) = self.slots.get(index).copied() else { break };
            if slot.forget_after >= time {
                if let Some(place) = self.slots.get_mut(kept) {
                    *place = slot;
                }
                kept += 1;
            }
        }
        self.used = kept;
        self.floor = self.floor.max(time);
    }
}

impl ReplayGuard for ReplaySlots<'_> {
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        let task = task_key(request.issuer, request.task_id);
        if let Some(slot) = self.find(&task) {
            if slot.digest != request.digest {
                return Err(NotAdmitted::Refused(Refusal::Conflict));
            }
            if slot.finished {
                return Err(NotAdmitted::Refused(Refusal::Replayed));
            }
            if request.seen_at >= slot.dead_from {
                // Permanently, even if the clock steps back.
                slot.dead_from = 0;
                return Err(NotAdmitted::Refused(Refusal::Expired));
            }
            if request.attempts.is_some_and(|most| slot.attempts >= most) {
                return Err(NotAdmitted::Refused(Refusal::AttemptsExhausted));
            }
            slot.attempts = slot.attempts.saturating_add(1);
            return Ok(Admission::Redelivery);
        }
        if request.attempts == Some(0) {
            return Err(NotAdmitted::Refused(Refusal::AttemptsExhausted));
        }
        if self.used >= self.slots.len() {
            self.forget_before(request.seen_at);
        }
        let forget_after = request.forget_after.unwrap_or(u64::MAX);
        if forget_after < self.floor {
            return Err(NotAdmitted::Refused(Refusal::Expired));
        }
        let dead_from = request.ttl.map_or(u64::MAX, |ttl| request.seen_at.saturating_add(u64::from(ttl)));
        let slot = self.slots.get_mut(self.used).ok_or(NotAdmitted::Unavailable)?;
        let digest = request.digest;
        *slot = ReplaySlot { task, digest, forget_after, dead_from, attempts: 1, ..ReplaySlot::EMPTY };
        self.used += 1;
        Ok(Admission::FirstRun)
    }
}

/// The task id has a fixed length, so no two pairs of id and issuer hash the same bytes.
fn task_key(issuer: Issuer<'_>, task_id: TaskId) -> [u8; 32] {
    Sha256::new().chain_update(task_id.as_bytes()).chain_update(issuer.as_str()).finalize().into()
}
