//! The states of a task between the stages of the worker, and how it leaves them.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use taskseal_core::claims::Claims;
use taskseal_core::{KeyId, Refusal, Unverified, Verified};
use tokio::sync::OwnedSemaphorePermit;

use super::decided_by::DecidedBy;
use super::lease_guard::{Interruption, LeaseGuard};
use super::slots::Slot;
use super::unsealed::UnsealedTask;
use crate::broker::{Lease, TaskRecord};
use crate::escape::Escaped;
use crate::handler::{Failure, OpenedTask};
use crate::keys::Keyring;
use crate::policy::Violation;
use crate::queue::QueueName;
use crate::replay::TaskKey;
use crate::time::UnixMillis;

/// What a stage decides about a task: it continues to the next stage, or its lease ends with an outcome.
pub(super) type StageDecision<T> = ControlFlow<Outcome, T>;

/// The decisions of a stage about a batch.
#[derive(Debug)]
pub(super) struct BatchDecision<T> {
    /// One decision for each task, in the order of the batch.
    pub(super) decisions: Vec<StageDecision<T>>,
    /// Whether the ledger responded. If not, no task runs, and fetching more tasks is of no use.
    pub(super) ledger_responded: bool,
}

/// A task that the queue leased to this worker. Nothing in its record is verified.
#[derive(Debug)]
pub(super) struct LeasedTask {
    pub(super) queue: QueueName,
    pub(super) lease: Lease,
    pub(super) record: TaskRecord,
    pub(super) guard: LeaseGuard,
    /// Released when the task is settled.
    pub(super) _slot: Slot,
    /// The permit for the only task that runs while the result key fails.
    pub(super) trial: Option<OwnedSemaphorePermit>,
}

impl LeasedTask {
    /// Attaches an outcome.
    pub(super) fn complete(self, outcome: Outcome) -> Completion {
        self.guard.completed();
        Completion { task: self, outcome }
    }
}

/// A task whose signature, issuer's rights and metadata are valid.
#[allow(clippy::large_enum_variant, reason = "nearly all are the large one")]
pub(super) enum VerifiedTask<'a> {
    /// It may run.
    Current(Verified<'a>),
    /// It may not run, but may have succeeded before.
    Expired(ExpiredTask),
    /// It is not sealed, and the mode of its type lets it run.
    Unsealed(UnsealedTask<'a>),
}

/// A verified task that was fetched after its expiry.
#[derive(Debug)]
pub(super) struct ExpiredTask {
    pub(super) key: TaskKey,
    /// SHA-256 of the envelope.
    pub(super) digest: [u8; 32],
    pub(super) retention: Duration,
    pub(super) refusal: RefusalDetails,
}

/// A task whose ledger entry this worker has acquired.
pub(super) struct AdmittedTask<'a> {
    pub(super) form: TaskForm<'a>,
    pub(super) run: AdmittedRun,
}

/// A task that a handler may run.
#[allow(clippy::large_enum_variant, reason = "nearly all are the large one")]
pub(super) enum TaskForm<'a> {
    Sealed(Verified<'a>),
    Unsealed(UnsealedTask<'a>),
}

/// What the ledger has granted.
pub(super) struct AdmittedRun {
    pub(super) key: TaskKey,
    pub(super) attempt: u32,
    pub(super) max_attempts: u32,
    /// Whether the ledger must record that the handler begins.
    pub(super) must_begin: bool,
    /// The permit of a task that may be the cause of lost workers.
    pub(super) suspect: Option<OwnedSemaphorePermit>,
}

/// An admitted task with its body decrypted.
#[derive(Debug)]
pub(super) struct DecryptedTask {
    pub(super) task: OpenedTask,
    pub(super) key: TaskKey,
    /// SHA-256 of the envelope.
    pub(super) digest: [u8; 32],
    pub(super) max_attempts: u32,
    /// As [`AdmittedRun::must_begin`].
    pub(super) must_begin: bool,
    pub(super) retention: Duration,
    pub(super) expires_at: Option<UnixMillis>,
    pub(super) decided_by: DecidedBy,
    /// As [`AdmittedRun::suspect`].
    pub(super) suspect: Option<OwnedSemaphorePermit>,
}

/// Returns whether a task that expires at `expires_at` must not start at `now`. [`verify`](super::verify) then refuses it.
pub(super) fn has_expired(expires_at: Option<UnixMillis>, skew: Duration, now: UnixMillis) -> bool {
    expires_at.is_some_and(|expires_at| now >= expires_at.plus(skew))
}

/// A task to settle.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) task: LeasedTask,
    pub(super) outcome: Outcome,
}

/// How the lease of a task ends. `acquired` is the ledger entry that the worker holds, if any.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The handler succeeded.
    Succeeded { key: TaskKey, result: Vec<u8>, retention: Duration },
    /// The handler of an unsealed task succeeded. The ledger keeps no record of that.
    SucceededUnsealed { key: TaskKey, result: Vec<u8>, retention: Duration },
    /// An earlier run succeeded, and the queue did not record it.
    SucceededBefore { key: TaskKey, result: Vec<u8>, retention: Duration },
    /// The attempt failed. The task is retried at `retry_at`, or archived.
    Failed { key: TaskKey, failure: Failure, retry_at: Option<UnixMillis> },
    /// The task is refused permanently.
    Refused { refusal: RefusalDetails, acquired: Option<TaskKey> },
    /// The task is refused until time or another configuration makes it acceptable. It is tried again at `at`.
    Postponed { at: UnixMillis, refusal: RefusalDetails, acquired: Option<TaskKey> },
    /// The task is valid from `at` on.
    NotYetValid { at: UnixMillis, refusal: RefusalDetails },
    /// The task cannot run before `at`.
    Deferred { at: UnixMillis, acquired: Option<TaskKey> },
    /// The task did not run and is the next one in its queue again.
    GivenBack { acquired: Option<TaskKey> },
    /// The worker stopped while the handler ran. The task is the next one in its queue again; the attempt counts.
    Interrupted { key: TaskKey },
    /// The lock is lost, and there is nothing to record or to settle. The attempt counts if the handler had started.
    LockLost { key: TaskKey, started: bool },
}

impl Outcome {
    /// Returns the outcome of a task that must not start.
    pub(super) fn not_started(interruption: Interruption, key: TaskKey) -> Self {
        match interruption {
            Interruption::LockLost => Self::LockLost { key, started: false },
            Interruption::GiveBack => Self::GivenBack { acquired: Some(key) },
        }
    }
}

/// A refusal and what an operator needs to understand it.
#[derive(Clone, Debug)]
pub(super) struct RefusalDetails {
    pub(super) refusal: Refusal,
    pub(super) kid: Option<KeyId>,
    /// Whether the keyset contains the key.
    pub(super) kid_known: bool,
    /// Whether the keyset contains it as a destroyed one, with which nothing can be verified.
    pub(super) kid_destroyed: bool,
    /// Verified only if the refusal follows the verification of the signature.
    pub(super) claimed: Option<ClaimedSender>,
    /// The word of the queue's metadata that differs from the seal.
    pub(super) mismatch: Option<Mismatch>,
    /// What the policy file requires of tasks of this type.
    pub(super) violation: Option<Violation>,
    /// Whether the ledger cannot know if the task ran, because it was created later.
    pub(super) older_than_ledger: bool,
    /// Whether the quarantine has stored the task.
    pub(super) quarantined: bool,
}

/// Returns how long the result of a task is kept.
pub(super) fn retention(claims: &Claims<'_>) -> Duration {
    Duration::from_secs(claims.retention.unwrap_or(0).into())
}

/// The issuer and the type of a task, according to its envelope.
#[derive(Clone, Debug)]
pub(super) struct ClaimedSender {
    pub(super) issuer: String,
    pub(super) task_type: String,
}

impl RefusalDetails {
    /// Describes the refusal of an envelope, or of bytes that are not an envelope.
    pub(super) fn new(refusal: Refusal, envelope: Option<&Unverified<'_>>, keyring: &Keyring) -> Self {
        let kid = envelope.map(Unverified::kid);
        Self {
            refusal,
            kid,
            kid_known: kid.is_some_and(|kid| keyring.record(kid).is_some()),
            kid_destroyed: kid.is_some_and(|kid| keyring.is_destroyed(kid)),
            claimed: envelope.map(|envelope| envelope.danger_claims_unverified().into()),
            mismatch: None,
            violation: None,
            older_than_ledger: false,
            quarantined: false,
        }
    }

    /// Describes the refusal of a task that is not sealed.
    pub(super) const fn unsealed(refusal: Refusal) -> Self {
        Self {
            refusal,
            kid: None,
            kid_known: false,
            kid_destroyed: false,
            claimed: None,
            mismatch: None,
            violation: None,
            older_than_ledger: false,
            quarantined: false,
        }
    }

    /// Describes the refusal of a verified task.
    pub(super) fn after_verification(refusal: Refusal, verified: &Verified<'_>) -> Self {
        Self {
            refusal,
            kid: Some(verified.kid()),
            kid_known: true,
            kid_destroyed: false,
            claimed: Some(verified.claims().into()),
            mismatch: None,
            violation: None,
            older_than_ledger: false,
            quarantined: false,
        }
    }

    /// Returns a sentence for an operator.
    pub(super) fn detail(&self) -> String {
        let reason = match (&self.mismatch, &self.violation) {
            (Some(mismatch), _) => format!("{}: {mismatch}", self.refusal),
            (None, Some(violation)) => format!("{}: {violation}", self.refusal),
            (None, None) if self.older_than_ledger => {
                format!("{}: issued before this ledger was created", self.refusal)
            }
            (None, None) if self.kid_destroyed => {
                format!("{}: the keyset has it as destroyed", self.refusal)
            }
            (None, None) => self.refusal.to_string(),
        };
        match (&self.claimed, self.kid) {
            (Some(claimed), Some(kid)) => {
                let ClaimedSender { issuer, task_type } = claimed;
                format!("{reason}; the envelope states type {task_type}, issuer {issuer} and kid {kid}")
            }
            _ => reason,
        }
    }
}

/// A word of the queue's metadata that differs from the seal.
#[derive(Clone, Debug)]
pub(super) struct Mismatch {
    /// Which word: id, type or queue.
    pub(super) word: &'static str,
    /// What the queue states.
    pub(super) stated: String,
    /// What the seal states.
    pub(super) sealed: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { word, stated, sealed } = self;
        let (stated, sealed) = (Escaped::new(stated), Escaped::new(sealed));
        write!(f, "the queue states {word} \"{stated}\", the seal \"{sealed}\"")
    }
}

impl From<&Claims<'_>> for ClaimedSender {
    fn from(claims: &Claims<'_>) -> Self {
        Self { issuer: claims.issuer.to_string(), task_type: claims.task_type.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_starts_until_its_expiry_and_the_skew_have_passed() {
        let (at, skew) = (Some(UnixMillis(10_000)), Duration::from_secs(60));
        assert!(has_expired(at, skew, UnixMillis(70_000)));
        assert!(!has_expired(at, skew, UnixMillis(69_999)));
        assert!(!has_expired(None, skew, UnixMillis(i64::MAX)));
    }
}
