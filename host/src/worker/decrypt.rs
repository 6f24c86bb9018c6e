//! Stage 4: decrypts the bodies of admitted tasks.
//!
//! A key in a token or a service may block for longer than a lease lasts. The heartbeat extends the ledger entry meanwhile,
//! and the ledger confirms it before the handler starts.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use taskseal_core::replay::Admission;
use taskseal_core::{Claims, NameSet, OpenError, Refusal, Verified};
use zeroize::Zeroizing;

use super::decided_by::DecidedBy;
use super::event::Event;
use super::lease_guard::LeaseGuard;
use super::seal_result::{self, ResultFault};
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::task_state::{
    AdmittedRun, AdmittedTask, DecryptedTask, LeasedTask, Outcome, RefusalDetails, StageDecision, TaskForm,
    retention,
};
use super::{postpone, quotas, verify};
use crate::handler::OpenedTask;
use crate::policy::{Mode, RuleChoice};
use crate::queue::QueueName;
use crate::replay::TaskKey;
use crate::rollout::SealForm;
use crate::time::UnixMillis;

/// Decrypts a task that was fetched from `queue`. May block.
pub(super) fn decrypt(
    shared: &Shared,
    keys: &Snapshot,
    queue: &QueueName,
    admitted: AdmittedTask<'_>,
) -> StageDecision<Box<DecryptedTask>> {
    let AdmittedTask { form, run } = admitted;
    let verified = match form {
        TaskForm::Sealed(verified) => verified,
        TaskForm::Unsealed(unsealed) => return Continue(Box::new(unsealed.open(shared, &keys.policy, run))),
    };
    check_result(shared, keys, verified.claims(), &run)?;
    let body = decrypt_body(shared, keys, &verified, &run)?;
    // Attempts to decrypt with a key that is unavailable are not starts.
    quotas::take(shared, keys, verified.claims(), &run.key)?;
    let AdmittedRun { key, attempt, max_attempts, must_begin, suspect } = run;
    let claims = verified.claims();
    count_sealed(shared, keys, queue, &verified, attempt);
    let limit = shared.settings.max_timeout;
    let decided_by = DecidedBy::sealed(shared, &keys.policy, claims.task_type.as_str());
    let task = OpenedTask {
        id: claims.task_id,
        sealed_by: Some(verified.kid()),
        issuer: claims.issuer.to_string(),
        task_type: claims.task_type.to_string(),
        queue: queue.clone(),
        content_type: verified.content_type().to_string(),
        attempt,
        timeout: claims.timeout.map_or(limit, |seconds| Duration::from_secs(seconds.into())).min(limit),
        body,
    };
    let expires_at = keys.policy.ends_at(claims).and_then(|seconds| i64::try_from(seconds).ok());
    Continue(Box::new(DecryptedTask {
        task,
        key,
        digest: *verified.digest(),
        max_attempts,
        must_begin,
        retention: retention(claims),
        expires_at: expires_at.map(UnixMillis::from_secs),
        decided_by,
        suspect,
    }))
}

/// Counts a task of a type with a rule: its mode may become stricter once all are sealed.
fn count_sealed(shared: &Shared, keys: &Snapshot, queue: &QueueName, task: &Verified<'_>, attempt: u32) {
    let now = UnixMillis::now();
    if let RuleChoice::Rule(rule) = keys.policy.rules().choose(task.claims().task_type.as_str())
        && rule.mode_at(now) != Mode::Off
    {
        let form = if task.is_detached() { SealForm::Detached } else { SealForm::Sealed };
        shared.rollout.count_sealed(queue, &rule.pattern, form, attempt, now);
    }
}

/// Puts off a task whose result no client could use: it could be encrypted to no key, or the keyset does not allow the result key to
/// seal it.
fn check_result(
    shared: &Shared,
    keys: &Snapshot,
    claims: &Claims<'_>,
    run: &AdmittedRun,
) -> ControlFlow<Outcome> {
    if retention(claims).is_zero() {
        return Continue(());
    }
    let Some(fault) = keys.results.check_request(claims).err().and_then(|error| ResultFault::of(error).ok())
    else {
        return Continue(());
    };
    seal_result::report(shared, fault, &claims.task_id.to_string(), claims.task_type.as_str(), false);
    let at =
        retry_at(shared, keys, claims).unwrap_or_else(|| UnixMillis::now().plus(shared.settings.key_retry));
    Break(Outcome::Deferred { at, acquired: Some(run.key.clone()) })
}

/// Returns when a task is tried again that waits for another configuration, or `None` if it is not kept for so long.
fn retry_at(shared: &Shared, keys: &Snapshot, claims: &Claims<'_>) -> Option<UnixMillis> {
    let handled = NameSet::new(&shared.handled_types);
    let policy = keys.policy.for_task(claims.task_type.as_str(), claims.audience, handled);
    postpone::schedule(shared, &policy, claims, postpone::Reason::DEPLOYMENT)
}

fn decrypt_body(
    shared: &Shared,
    snapshot: &Snapshot,
    verified: &Verified<'_>,
    run: &AdmittedRun,
) -> StageDecision<Zeroizing<Vec<u8>>> {
    let AdmittedRun { key, attempt, .. } = run;
    let mut buffer = Zeroizing::new(vec![0; verified.body_len()]);
    let mut admission = if *attempt == 1 { Admission::FirstRun } else { Admission::Redelivery };
    let keyring = &snapshot.keyring;
    let mut keys = keyring.opening();
    let opened = verified
        .admit(&mut admission)
        .and_then(|admitted| admitted.open(&mut keys, &mut buffer))
        .map(|opened| Zeroizing::new(opened.body().to_vec()))
        .map_err(|error| keys.verdict(error));
    match opened {
        Ok(body) => Continue(body),
        Err(OpenError::Refused(refusal)) => {
            // It may have expired since the verification.
            verify::not_in_force(shared, keyring, &verified.claims().task_id.to_string(), Some(key))?;
            Break(refused(shared, snapshot, verified, key, refusal))
        }
        Err(_) => {
            let (kid, reason) = keys.fault();
            let id = verified.claims().task_id.to_string();
            shared.observe(&Event::KeyUnavailable { id, doing: "decrypt", kid, reason });
            let at = UnixMillis::now().plus(shared.settings.key_retry);
            Break(Outcome::Deferred { at, acquired: Some(key.clone()) })
        }
    }
}

/// Decides about an admitted task that cannot be decrypted. Without its decryption key it waits for a worker that has it.
fn refused(
    shared: &Shared,
    keys: &Snapshot,
    verified: &Verified<'_>,
    key: &TaskKey,
    refusal: Refusal,
) -> Outcome {
    let details = RefusalDetails::after_verification(refusal, verified);
    let acquired = Some(key.clone());
    if refusal != Refusal::NoDecryptionKey {
        return Outcome::Refused { refusal: details, acquired };
    }
    match retry_at(shared, keys, verified.claims()) {
        Some(at) => Outcome::Postponed { at, refusal: details, acquired },
        None => Outcome::Refused { refusal: details, acquired },
    }
}

/// Asks the ledger, in one call, whether this worker still holds the entries of the tasks that are to run, and extends
/// them. Gives back tasks with a lost entry, and all tasks if the ledger fails. Returns whether it responded.
///
/// Without keys that may block no time has passed since the entries were acquired. The ledger is not asked then: another
/// write to disk for each batch would yield the same answer.
pub(super) fn confirm(
    shared: &Shared,
    keys: &Snapshot,
    decisions: &mut [StageDecision<Box<DecryptedTask>>],
    tasks: &[LeasedTask],
) -> bool {
    if !keys.keyring.may_block() {
        return true;
    }
    let decrypted = decisions.iter().filter_map(|decision| match decision {
        Continue(decrypted) => Some(decrypted.key.clone()),
        Break(_) => None,
    });
    let keys: Vec<TaskKey> = decrypted.collect();
    if keys.is_empty() {
        return true;
    }
    let answer = shared.extend_locks(&keys).map_err(|error| shared.state_failed(&error));
    let responded = answer.is_ok();
    let (held, until) = answer.unwrap_or((Vec::new(), UnixMillis::now()));
    let to_run = decisions.iter_mut().zip(tasks).filter(|(decision, _)| decision.is_continue());
    let held = held.into_iter().chain(std::iter::repeat(false));
    for (((decision, task), key), held) in to_run.zip(keys).zip(held) {
        confirm_one(decision, &task.guard, key, held.then_some(until));
    }
    responded
}

/// Records that the ledger entry `key` is held until `until`, or gives the task back.
fn confirm_one(
    decision: &mut StageDecision<Box<DecryptedTask>>,
    guard: &LeaseGuard,
    key: TaskKey,
    until: Option<UnixMillis>,
) {
    match until {
        Some(until) => guard.lock_extended(until),
        None => *decision = Break(Outcome::GivenBack { acquired: Some(key) }),
    }
}
