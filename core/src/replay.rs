//! Replay: telling a first run, a legal redelivery, a replay and a conflict apart.
//!
//! Queues redeliver: a retry, a lost lease or an operator brings the same bytes again. What must not happen is
//! that a task which has run to its end runs again, or that two different envelopes share one id.

mod sequence;
mod slots;
mod window;

pub use self::sequence::{SequenceSlots, SequenceSource, SequenceWindow};
pub use self::slots::{ReplaySlot, ReplaySlots};
pub use self::window::ReplayWindow;

use crate::claims::Sequence;
use crate::kid::KeyId;
use crate::name::Issuer;
use crate::refusal::Refusal;
use crate::task_id::TaskId;

/// What a guard is told about a verified envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionRequest<'a> {
    /// Who made it; with the task id the key of a guard's memory.
    pub issuer: Issuer<'a>,
    /// Which task it is.
    pub task_id: TaskId,
    /// The key that sealed it.
    pub kid: KeyId,
    /// SHA-256 of the whole envelope.
    pub digest: [u8; 32],
    /// Boot epoch and counter, if the issuer has sealed them.
    pub sequence: Option<Sequence>,
    /// Most attempts the issuer allows.
    pub attempts: Option<u16>,
    /// Seconds from first sight after which it is not run any more; from issuers without a clock only.
    pub ttl: Option<u32>,
    /// Unix time in seconds after which the envelope is refused as expired anyway and may be forgotten;
    /// `None`: it never expires.
    pub forget_after: Option<u64>,
    /// Unix time in seconds at which it was verified, by the earliest reading of the clock.
    pub seen_at: u64,
}

impl<'a> AdmissionRequest<'a> {
    /// Creates a request with the fields that every envelope has, for a guard that is asked over some other interface.
    #[must_use]
    pub const fn new(
        issuer: Issuer<'a>,
        task_id: TaskId,
        kid: KeyId,
        digest: [u8; 32],
        seen_at: u64,
    ) -> Self {
        let (sequence, attempts, ttl, forget_after) = (None, None, None, None);
        Self { issuer, task_id, kid, digest, sequence, attempts, ttl, forget_after, seen_at }
    }
}

#[doc(hidden)]
pub use self::AdmissionRequest as Sighting;

/// Why a task may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Admission {
    /// Never seen before.
    FirstRun,
    /// Seen before, not finished: the queue delivers it again.
    Redelivery,
}

/// Why a task may not be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// Refused for good.
    Refused(Refusal),
    /// The guard has no answer now: it is full, or its store is out of reach.
    Unavailable,
}

/// Remembers what has run.
///
/// # Security
/// The memory must be out of the reach of whoever writes to the queue, must be written before the task runs,
/// and must outlive a restart for as long as envelopes live, or a replay after the restart runs.
pub trait ReplayGuard {
    /// Decides on a verified envelope and remembers it.
    ///
    /// # Errors
    /// [`NotAdmitted`]; the task must not be run.
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted>;
}

impl<G: ReplayGuard + ?Sized> ReplayGuard for &mut G {
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        (**self).admit(request)
    }
}

/// The decision that somebody else has already made and stored, for example for a whole batch at once.
///
/// # Security
/// The decision must be about the envelope that is admitted with it.
impl ReplayGuard for Admission {
    fn admit(&mut self, _: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        Ok(*self)
    }
}
