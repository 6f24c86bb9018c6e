//! Stage 2: verifies the envelope of a leased task, and compares the queue's metadata with the signed claims.
//!
//! Decides by signature, rights of the key, audience, time and policy. Decrypts nothing.

use std::ops::ControlFlow::{Break, Continue};

use sha2::{Digest, Sha256};
use taskseal_core::claims::Claims;
use taskseal_core::{Audience, NameSet, OpenError, Refusal, Software, TimeWindow, Unverified};

use super::shared::Shared;
use super::task_state::{
    ExpiredTask, LeasedTask, Outcome, RefusalDetails, StageDecision, VerifiedTask, retention,
};
use crate::keys::Keyring;
use crate::replay::TaskKey;
use crate::task::queue_id;
use crate::time::{UnixMillis, unix_seconds};

/// Verifies a task that was sealed for `audience`.
pub(super) fn verify<'a>(
    shared: &Shared,
    audience: &str,
    task: &'a LeasedTask,
) -> StageDecision<VerifiedTask<'a>> {
    let keyring = &shared.parts.keyring;
    let envelope = &task.record.envelope;
    let unverified = match Unverified::parse(envelope) {
        Ok(unverified) => unverified,
        Err(error) => return refuse(error.refusal().unwrap_or(Refusal::Malformed), None, keyring),
    };
    let Ok(audience) = Audience::new(audience) else {
        return refuse(Refusal::WrongAudience, Some(&unverified), keyring);
    };
    let seconds = unix_seconds();
    let policy = shared.settings.policy.for_tasks(audience, NameSet::new(&shared.handled_types));
    let clock = &mut TimeWindow::exact(seconds);
    let error = match unverified.verify_with(&Software, &mut &shared.roots, keyring, &policy, clock) {
        Ok(verified) if metadata_matches(task, verified.claims()) => {
            return Continue(VerifiedTask::Current(verified));
        }
        Ok(_) => return refuse(Refusal::MetadataMismatch, Some(&unverified), keyring),
        Err(error) => error,
    };
    reject(task, &unverified, error, keyring, seconds)
}

/// Decides about a task whose verification failed with `error` at the Unix time `now`.
///
/// The refusals for reasons of time follow a valid signature: the claims can be relied on then.
fn reject<'a>(
    task: &LeasedTask,
    unverified: &Unverified<'_>,
    error: OpenError,
    keyring: &Keyring,
    now: u64,
) -> StageDecision<VerifiedTask<'a>> {
    let claims = unverified.danger_claims_unverified();
    match error.refusal().unwrap_or(Refusal::Rejected) {
        Refusal::Expired if metadata_matches(task, claims) => {
            Continue(VerifiedTask::Expired(expired(unverified, &task.record.envelope, keyring)))
        }
        Refusal::Expired => refuse(Refusal::MetadataMismatch, Some(unverified), keyring),
        Refusal::NotYetValid => {
            let from = i64::try_from(claims.not_before.unwrap_or(now)).unwrap_or(i64::MAX);
            let refusal = RefusalDetails::new(Refusal::NotYetValid, Some(unverified), keyring);
            Break(Outcome::NotYetValid { at: UnixMillis::from_secs(from), refusal })
        }
        refusal => refuse(refusal, Some(unverified), keyring),
    }
}

fn refuse<T>(refusal: Refusal, envelope: Option<&Unverified<'_>>, keyring: &Keyring) -> StageDecision<T> {
    let refusal = RefusalDetails::new(refusal, envelope, keyring);
    Break(Outcome::Refused { refusal, acquired: None })
}

/// Returns whether the queue's metadata equals the signed claims. Metadata that is only for tools and statistics is not
/// compared: the worker decides nothing by it.
fn metadata_matches(task: &LeasedTask, claims: &Claims<'_>) -> bool {
    let LeasedTask { lease, record, queue, .. } = task;
    let id = queue_id(claims);
    lease.id == id
        && record.id == id
        && record.task_type == claims.task_type.as_str()
        && record.queue == queue.as_str()
}

fn expired(unverified: &Unverified<'_>, envelope: &[u8], keyring: &Keyring) -> ExpiredTask {
    let claims = unverified.danger_claims_unverified();
    ExpiredTask {
        key: TaskKey { issuer: claims.issuer.to_string(), task_id: *claims.task_id.as_bytes() },
        digest: Sha256::digest(envelope).into(),
        retention: retention(claims),
        refusal: RefusalDetails::new(Refusal::Expired, Some(unverified), keyring),
    }
}
