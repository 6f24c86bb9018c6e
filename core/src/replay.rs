//! Replay protection: distinguishes first runs, legal redeliveries, replays and conflicts.
//!
//! Queues redeliver: after a retry, a lost lease or an intervention by an operator, the same bytes arrive again. A
//! completed task must not run again, and two different envelopes must not share one task id.

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

/// The facts about a verified envelope on which a replay guard decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionRequest<'a> {
    /// Issuer; together with the task id, it identifies the task.
    pub issuer: Issuer<'a>,
    /// Identifier of the task.
    pub task_id: TaskId,
    /// Kid of the key that sealed the envelope.
    pub kid: KeyId,
    /// SHA-256 of the whole envelope.
    pub digest: [u8; 32],
    /// Boot epoch and counter, if present.
    pub sequence: Option<Sequence>,
    /// Maximum number of attempts that the issuer allows.
    pub attempts: Option<u16>,
    /// Time to live in seconds from the first admission; from issuers without a clock only.
    pub ttl: Option<u32>,
    /// Unix time in seconds after which the envelope is refused as expired, so that it may be forgotten; `None` if it
    /// never expires.
    pub forget_after: Option<u64>,
    /// Unix time in seconds at which the envelope was verified: the earliest time in the window of the clock.
    pub seen_at: u64,
}

impl<'a> AdmissionRequest<'a> {
    /// Creates a request with the fields that every envelope has, for calls of a guard through another interface.
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

/// The reason for which a task may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Admission {
    /// The task was never admitted before.
    FirstRun,
    /// The task was admitted before and has not finished: the queue delivers it again.
    Redelivery,
}

/// The reason for which a task may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The task is refused permanently.
    Refused(Refusal),
    /// The guard cannot decide now: it is full, or its store is unavailable.
    Unavailable,
}

/// Decides whether a task may run, and stores which tasks have run.
///
/// # Security
/// The stored state must not be accessible to those who can write to the queue. It must be written before the task
/// runs, and must survive restarts for as long as envelopes are valid. Otherwise a replay after a restart runs.
pub trait ReplayGuard {
    /// Decides on a verified envelope and stores the decision.
    ///
    /// # Errors
    /// [`NotAdmitted`]; the task must not run.
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted>;
}

impl<G: ReplayGuard + ?Sized> ReplayGuard for &mut G {
    fn admit(&mut self, request: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        (**self).admit(request)
    }
}

/// A decision that was made and stored elsewhere, for example for several tasks in one transaction.
///
/// # Security
/// The decision must have been made for the envelope that is admitted with it.
impl ReplayGuard for Admission {
    fn admit(&mut self, _: &AdmissionRequest<'_>) -> Result<Admission, NotAdmitted> {
        Ok(*self)
    }
}
