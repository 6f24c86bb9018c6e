//! A replay guard for issuers without a clock. Their tasks do not expire, so the guard uses their sequence.

use sha2::{Digest, Sha256};

use super::{Admission, AdmissionRequest, NotAdmitted, ReplayGuard, ReplaySlots, ReplayWindow};
use crate::claims::Sequence;
use crate::kid::KeyId;
use crate::name::Issuer;
use crate::refusal::Refusal;
use crate::task_id::TaskId;

/// Width of the window of counters: a task may be less than this behind the newest of its issuer.
const WIDTH: u64 = 64;

/// A [`ReplayWindow`] of `N` tasks that also stores, for up to `SOURCES` pairs of issuer and key, the newest sequence
/// and which of the 64 counters up to it were admitted. Takes 40 bytes per source.
///
/// Tasks with times are left to the window. The window stores a task without times for `keep` seconds, within which the
/// queue may redeliver it, or until the slot of a finished task is needed. Its sequence is stored permanently, so a
/// copy is refused even when the window has forgotten the task. A counter that is more than 63 behind the newest of its
/// epoch, or that belongs to an earlier epoch, is refused as [`Refusal::OutOfSequence`].
///
/// On a verifier without a clock no time passes, so only [`finish`](Self::finish) frees a slot.
///
/// # Security
/// A broker that delivers the newest task first causes older tasks to be refused, which is equivalent to deleting them.
/// As for [`ReplayWindow`], the state must survive restarts.
#[derive(Clone, Debug)]
pub struct SequenceWindow<const SOURCES: usize, const N: usize> {
    window: ReplayWindow<N>,
    sources: [SequenceSource; SOURCES],
    known: usize,
    keep: u32,
}

/// Storage for the sequence of one issuer and key: 40 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub struct SequenceSource {
    /// First 16 bytes of the SHA-256 of kid and issuer.
    name: [u8; 16],
    newest: Sequence,
    /// Bit `n` represents the counter `newest - n`.
    seen: u64,
}

impl SequenceSource {
    /// Empty storage.
    pub const EMPTY: Self = Self { name: [0; 16], newest: Sequence { epoch: 0, counter: 0 }, seen: 0 };
}

impl Default for SequenceSource {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const SOURCES: usize, const N: usize> SequenceWindow<SOURCES, N> {
    /// Creates an empty window that stores tasks without times for `keep` seconds.
    #[must_use]
    pub const fn new(keep: u32) -> Self {
        Self { window: ReplayWindow::new(), sources: [SequenceSource::EMPTY; SOURCES], known: 0, keep }
    }

    /// Marks a task as finished. Returns whether the task was known.
    pub fn finish(&mut self, issuer: Issuer<'_>, task_id: TaskId) -> bool {
        self.window.finish(issuer, task_id)
    }
}

impl<const SOURCES: usize, const N: usize> ReplayGuard for SequenceWindow<SOURCES, N> {
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        let Self { window, sources, known, keep } = self;
        window.with(|window| {
            let mut slots = SequenceSlots::resume(window, sources, *known, *keep);
            let admission = slots.admit(request);
            *known = slots.known();
            admission
        })
    }
}

/// A [`SequenceWindow`] over borrowed memory.
#[derive(Debug)]
pub struct SequenceSlots<'s, 'm> {
    window: &'s mut ReplaySlots<'m>,
    sources: &'s mut [SequenceSource],
    /// Number of used sources, which come first.
    known: usize,
    keep: u32,
}

impl<'s, 'm> SequenceSlots<'s, 'm> {
    /// Resumes the window over this memory with the previous value of [`known`](Self::known); 0 for an empty window.
    #[must_use]
    pub fn resume(
        window: &'s mut ReplaySlots<'m>,
        sources: &'s mut [SequenceSource],
        known: usize,
        keep: u32,
    ) -> Self {
        let known = known.min(sources.len());
        Self { window, sources, known, keep }
    }

    /// Returns the number of stored sources.
    #[must_use]
    pub const fn known(&self) -> usize {
        self.known
    }

    /// Returns the source after the sequence is accepted, and its index.
    fn step(
        &self,
        request: &AdmissionRequest<'_>,
        sequence: Sequence,
    ) -> Result<(SequenceSource, usize), NotAdmitted> {
        let name = source_name(request.kid, request.issuer);
        let place = self.sources.iter().take(self.known).position(|source| source.name == name);
        let Some((place, source)) = place.and_then(|place| Some((place, self.sources.get(place)?))) else {
            return Ok((SequenceSource { name, newest: sequence, seen: 1 }, self.known));
        };
        let mut source = *source;
        if sequence > source.newest {
            let ahead = sequence.counter.saturating_sub(source.newest.counter);
            let same_epoch = sequence.epoch == source.newest.epoch && ahead < WIDTH;
            source.seen = if same_epoch { source.seen << ahead | 1 } else { 1 };
            source.newest = sequence;
            return Ok((source, place));
        }
        let behind = source.newest.counter.saturating_sub(sequence.counter);
        if sequence.epoch != source.newest.epoch || behind >= WIDTH {
            return Err(NotAdmitted::Refused(Refusal::OutOfSequence));
        }
        if source.seen & (1 << behind) != 0 {
            return Err(NotAdmitted::Refused(Refusal::Replayed));
        }
        source.seen |= 1 << behind;
        Ok((source, place))
    }
}

impl ReplayGuard for SequenceSlots<'_, '_> {
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        if !self.window.knows(request) {
            self.window.make_room(request.seen_at);
        }
        let (None, Some(sequence)) = (request.forget_after, request.sequence) else {
            return self.window.admit(request);
        };
        let forget_after = Some(request.seen_at.saturating_add(u64::from(self.keep)));
        let request = AdmissionRequest { forget_after, ..*request };
        if self.window.knows(&request) {
            return self.window.admit(&request);
        }
        let (source, place) = self.step(&request, sequence)?;
        let room = self.sources.get_mut(place).ok_or(NotAdmitted::Unavailable)?;
        let admission = self.window.admit(&request)?;
        self.window.last_is_sequenced();
        *room = source;
        self.known = self.known.max(place.saturating_add(1));
        Ok(admission)
    }
}

/// The kid has a fixed length, so no two pairs hash the same bytes.
fn source_name(kid: KeyId, issuer: Issuer<'_>) -> [u8; 16] {
    let hash = Sha256::new().chain_update(kid.as_bytes()).chain_update(issuer.as_str());
    let mut name = [0; 16];
    name.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    name
}

#[cfg(test)]
mod tests;
