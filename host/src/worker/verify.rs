//! Stage 2: verifies the envelope of a leased task, and compares the queue's metadata with the signed claims.
//!
//! Decides by signature, rights of the key, audience, time and policy. Decrypts nothing.

use std::ops::ControlFlow::{self, Break, Continue};

use sha2::{Digest, Sha256};
use taskseal_core::claims::Claims;
use taskseal_core::{
    Audience, NameSet, OpenError, Policy, Refusal, Software, TimeWindow, Unverified, Verified,
};

use super::event::Event;
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::task_state::{
    ExpiredTask, LeasedTask, Mismatch, Outcome, RefusalDetails, StageDecision, VerifiedTask, retention,
};
use super::{detached, postpone, quotas, unsealed};
use crate::keys::Keyring;
use crate::policy::{RuleChoice, Violation};
use crate::replay::TaskKey;
use crate::task::queue_id;
use crate::time::{UnixMillis, unix_seconds};

/// Verifies a task that was sealed for `audience`. A task that is not sealed is decided by the mode of its type.
pub(super) fn verify<'a>(
    shared: &Shared,
    keys: &Snapshot,
    audience: &str,
    task: &'a LeasedTask,
) -> StageDecision<VerifiedTask<'a>> {
    let decision = match &task.record.detached {
        Some(_) => detached::decide(shared, keys, task, verify_sealed(shared, keys, audience, task)),
        None if unsealed::is_unsealed(&task.record.envelope) => unsealed::decide(shared, keys, task),
        None => verify_sealed(shared, keys, audience, task),
    };
    if let Break(Outcome::Refused { refusal, .. }) = &decision {
        count_refused(shared, keys, task, refusal);
    }
    decision
}

/// Counts a refusal of a type with a rule: its mode may become stricter once there are none. A sealed task counts for the type that
/// its envelope states, verified or not.
fn count_refused(shared: &Shared, keys: &Snapshot, task: &LeasedTask, refusal: &RefusalDetails) {
    let claimed = refusal.claimed.as_ref().map(|claimed| &claimed.task_type);
    let rules = keys.policy.rules();
    if let RuleChoice::Rule(rule) = rules.choose(claimed.unwrap_or(&task.record.task_type)) {
        shared.rollout.count_refused(&rule.pattern, refusal.refusal, UnixMillis::now());
    }
}

fn verify_sealed<'a>(
    shared: &Shared,
    keys: &Snapshot,
    audience: &str,
    task: &'a LeasedTask,
) -> StageDecision<VerifiedTask<'a>> {
    let keyring = &keys.keyring;
    let unverified = match task.record.parse() {
        Ok(unverified) => unverified,
        Err(error) => return refuse(error.refusal().unwrap_or(Refusal::Malformed), None, keyring),
    };
    let Ok(audience) = Audience::new(audience) else {
        return refuse(Refusal::WrongAudience, Some(&unverified), keyring);
    };
    let seconds = unix_seconds();
    let task_type = unverified.danger_claims_unverified().task_type;
    let handled = NameSet::new(&shared.handled_types);
    let policy = if unverified.is_detached() {
        detached::policy(shared, keys, task_type.as_str(), audience, handled)
    } else {
        keys.policy.for_task(task_type.as_str(), audience, handled)
    };
    let clock = &mut TimeWindow::exact(seconds);
    match unverified.verify_with(&Software, &mut &*keys.roots, keyring, &policy, clock) {
        Ok(verified) => match mismatch(task, verified.claims()) {
            None => check_rule(shared, keys, task, &policy, verified, seconds),
            Some(mismatch) => refuse_mismatch(mismatch, &unverified, keyring),
        },
        Err(error) => {
            not_in_force(shared, keyring, &task.lease.id, None)?;
            reject(shared, keys, task, &policy, &unverified, error, seconds)
        }
    }
}

/// Puts a task off that was not verified or decrypted while the signed keyset is not in force: then no key is found, and nothing is
/// known of the task. `acquired` is its ledger entry.
pub(super) fn not_in_force(
    shared: &Shared,
    keyring: &Keyring,
    id: &str,
    acquired: Option<&TaskKey>,
) -> ControlFlow<Outcome> {
    let Some((head, refusal)) =
        keyring.head().and_then(|head| Some((head, head.check(unix_seconds()).err()?)))
    else {
        return Continue(());
    };
    shared.observe(&Event::KeysetNotInForce { id: id.to_owned(), sequence: head.sequence, refusal });
    let at = UnixMillis::now().plus(shared.settings.key_retry);
    Break(Outcome::Deferred { at, acquired: acquired.cloned() })
}

/// Checks what the rule of the type requires of a verified task.
fn check_rule<'a>(
    shared: &Shared,
    keys: &Snapshot,
    task: &LeasedTask,
    policy: &Policy<'_>,
    verified: Verified<'a>,
    now: u64,
) -> StageDecision<VerifiedTask<'a>> {
    let claims = verified.claims();
    let checked = keys.policy.check(claims, verified.kid(), &task.queue, now);
    let Err(violation) = checked else {
        quotas::check(shared, keys, claims)?;
        return Continue(VerifiedTask::Current(verified));
    };
    let mut refusal = RefusalDetails::after_verification(violation.refusal, &verified);
    if refusal.refusal == Refusal::Expired {
        refusal.violation = Some(violation);
        return Continue(VerifiedTask::Expired(expired(claims, *verified.digest(), refusal)));
    }
    // One that never expires would wait for good, and nothing would be known of it.
    let reason = postpone::of_violation(&violation).filter(|_| claims.expires_at.is_some());
    let at = reason.and_then(|reason| postpone::schedule(shared, policy, claims, reason));
    refusal.violation = Some(violation);
    Break(match at {
        Some(at) => Outcome::Postponed { at, refusal, acquired: None },
        None => Outcome::Refused { refusal, acquired: None },
    })
}

/// Decides about a task whose verification failed with `error` at the Unix time `now`.
///
/// The refusals for reasons of time follow a valid signature: the claims can be relied on then.
fn reject<'a>(
    shared: &Shared,
    keys: &Snapshot,
    task: &LeasedTask,
    policy: &Policy<'_>,
    unverified: &Unverified<'_>,
    error: OpenError,
    now: u64,
) -> StageDecision<VerifiedTask<'a>> {
    let keyring = &keys.keyring;
    let claims = unverified.danger_claims_unverified();
    match error.refusal().unwrap_or(Refusal::Rejected) {
        Refusal::Expired => match mismatch(task, claims) {
            None => {
                let refusal = expired_refusal(keys, task, unverified, now);
                let digest = Sha256::digest(task.record.seal()).into();
                Continue(VerifiedTask::Expired(expired(claims, digest, refusal)))
            }
            Some(mismatch) => refuse_mismatch(mismatch, unverified, keyring),
        },
        Refusal::NotYetValid => {
            let from = i64::try_from(claims.not_before.unwrap_or(now)).unwrap_or(i64::MAX);
            let refusal = RefusalDetails::new(Refusal::NotYetValid, Some(unverified), keyring);
            Break(Outcome::NotYetValid { at: UnixMillis::from_secs(from), refusal })
        }
        refusal => {
            let mut refusal = RefusalDetails::new(refusal, Some(unverified), keyring);
            if refusal.refusal == Refusal::SuiteNotAllowed {
                refusal.violation = detached::violation(unverified);
            }
            let at = mismatch(task, claims).is_none().then(|| {
                let reason = postpone::reason(keys, policy, unverified, refusal.refusal, now)?;
                postpone::schedule(shared, policy, claims, reason)
            });
            Break(match at.flatten() {
                Some(at) => Outcome::Postponed { at, refusal, acquired: None },
                None => Outcome::Refused { refusal, acquired: None },
            })
        }
    }
}

/// Returns why a task whose signature is valid and that has expired is refused: if a rule of its type did not accept it until then,
/// that is the reason.
fn expired_refusal(
    keys: &Snapshot,
    task: &LeasedTask,
    envelope: &Unverified<'_>,
    now: u64,
) -> RefusalDetails {
    let checked = keys.policy.check(envelope.danger_claims_unverified(), envelope.kid(), &task.queue, now);
    let violation = checked.err().filter(Violation::is_of_deployment);
    let refusal = violation.as_ref().map_or(Refusal::Expired, |violation| violation.refusal);
    RefusalDetails { violation, ..RefusalDetails::new(refusal, Some(envelope), &keys.keyring) }
}

fn refuse<T>(refusal: Refusal, envelope: Option<&Unverified<'_>>, keyring: &Keyring) -> StageDecision<T> {
    let refusal = RefusalDetails::new(refusal, envelope, keyring);
    Break(Outcome::Refused { refusal, acquired: None })
}

fn refuse_mismatch<T>(mismatch: Mismatch, envelope: &Unverified<'_>, keyring: &Keyring) -> StageDecision<T> {
    let mut refusal = RefusalDetails::new(Refusal::MetadataMismatch, Some(envelope), keyring);
    refusal.mismatch = Some(mismatch);
    Break(Outcome::Refused { refusal, acquired: None })
}

/// Returns the first word of the queue's metadata that differs from the signed claims. Metadata that is only for tools and
/// statistics is not compared: the worker decides nothing by it.
fn mismatch(task: &LeasedTask, claims: &Claims<'_>) -> Option<Mismatch> {
    let LeasedTask { lease, record, queue, .. } = task;
    let id = queue_id(claims);
    // The queue is not sealed by itself: the audience is, which is compared with the queue that the task was taken from.
    let words = [
        ("id", &*lease.id, &*id),
        ("id", &record.id, &id),
        ("type", &record.task_type, claims.task_type.as_str()),
        ("queue", &record.queue, queue.as_str()),
    ];
    let (word, stated, sealed) = words.into_iter().find(|(_, stated, sealed)| stated != sealed)?;
    Some(Mismatch { word, stated: stated.to_owned(), sealed: sealed.to_owned() })
}

fn expired(claims: &Claims<'_>, digest: [u8; 32], refusal: RefusalDetails) -> ExpiredTask {
    ExpiredTask {
        key: TaskKey { issuer: claims.issuer.to_string(), task_id: *claims.task_id.as_bytes() },
        digest,
        retention: retention(claims),
        refusal,
    }
}
