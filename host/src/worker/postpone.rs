//! Decides which refused tasks are tried again: those that time, or another configuration of this worker, makes acceptable.
//!
//! A task whose issuer is verified is tried until it expires, or for a limited time if it never does. The envelope of an unknown key proves nothing, and any writer
//! of the queue can store one: its times only bound how long it is kept, within the longest lifetime that the policy allows,
//! and its delays are longer. All delays grow with the age of the task, so no counter is needed that the queue could change.

use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::claims::Claims;
use taskseal_core::{Policy, Refusal, Software, Suite, SuiteSet, TimeWindow, Unverified};

use super::shared::Shared;
use super::snapshot::Snapshot;
use crate::policy::Violation;
use crate::retry::Backoff;
use crate::time::UnixMillis;

#[cfg(test)]
mod tests;

/// The refusals that may be mended. Others are final.
pub(crate) const REFUSALS: [Refusal; 8] = [
    Refusal::SuiteNotAllowed,
    Refusal::UnknownKey,
    // By the rule of a type. The rights of a key are final.
    Refusal::IssuerNotAllowed,
    Refusal::TypeNotAllowed,
    Refusal::AudienceNotAllowed,
    Refusal::TypeNotHandled,
    Refusal::IssuedInFuture,
    Refusal::NoDecryptionKey,
];

/// How much longer the delays of a task are whose issuer is not verified.
const UNVERIFIED_FACTOR: u32 = 6;

/// What a refused task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// A time, in Unix seconds.
    Until(u64),
    /// Another keyset, policy or list of handlers.
    Deployment,
}

/// What a refused task waits for, and whether its claims are those of its issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    wait: Wait,
    is_verified: bool,
}

impl Reason {
    /// A task with a verified issuer that needs another configuration of this worker.
    pub(super) const DEPLOYMENT: Self = Self { wait: Wait::Deployment, is_verified: true };
    const UNVERIFIED: Self = Self { wait: Wait::Deployment, is_verified: false };

    const fn until(seconds: u64) -> Self {
        Self { wait: Wait::Until(seconds), is_verified: true }
    }
}

/// Returns what an envelope waits for that `policy` refused at the Unix time `now`. Returns `None` if neither time nor
/// another configuration makes it acceptable.
pub(super) fn reason(
    keys: &Snapshot,
    policy: &Policy<'_>,
    envelope: &Unverified<'_>,
    refusal: Refusal,
    now: u64,
) -> Option<Reason> {
    let skew = u64::from(policy.skew);
    match refusal {
        Refusal::IssuedInFuture => {
            let issued_at = envelope.danger_claims_unverified().issued_at?;
            Some(Reason::until(issued_at.saturating_sub(skew)))
        }
        Refusal::TypeNotHandled | Refusal::NotYetValid => Some(Reason::DEPLOYMENT),
        Refusal::SuiteNotAllowed => suite_reason(keys, policy, envelope, now),
        // A destroyed key never verifies anything again.
        Refusal::UnknownKey if keys.keyring.is_destroyed(envelope.kid()) => None,
        Refusal::UnknownKey => Some(Reason::UNVERIFIED),
        _ => None,
    }
}

/// Returns what a verified task waits for that the rule of its type does not accept. Returns `None` if no other policy makes it
/// acceptable.
pub(super) fn of_violation(violation: &Violation) -> Option<Reason> {
    violation.is_of_deployment().then_some(Reason::DEPLOYMENT)
}

/// Verifies an envelope as if the policy accepted its suite: that check comes before the signature.
fn suite_reason(keys: &Snapshot, policy: &Policy<'_>, envelope: &Unverified<'_>, now: u64) -> Option<Reason> {
    let mut wider = *policy;
    wider.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    wider.accept_batches = true;
    let clock = &mut TimeWindow::exact(now);
    match envelope.verify_with(&Software, &mut &*keys.roots, &keys.keyring, &wider, clock) {
        Ok(_) => Some(Reason::DEPLOYMENT),
        // The suite is accepted here, so this is another refusal.
        Err(error) => reason(keys, &wider, envelope, error.refusal()?, now),
    }
}

/// Returns when a task is tried again that waits for `reason`, or `None` if it is not kept any longer. One that never expires is kept
/// for the longest lifetime of others since this process put it off first: else a key could fill the queue for good.
pub(super) fn schedule(
    shared: &Shared,
    policy: &Policy<'_>,
    claims: &Claims<'_>,
    reason: Reason,
) -> Option<UnixMillis> {
    let now = UnixMillis::now();
    let at = retry_at(shared.settings.postpone, policy, claims, reason, now)?;
    if claims.expires_at.is_none() {
        shared.first_seen.age(first_seen_id(claims), now, Duration::from_secs(policy.max_lifetime))?;
    }
    Some(at)
}

/// Returns the id under which [`FirstSeen`](super::first_seen::FirstSeen) has a verified task. No other issuer can make the same one.
fn first_seen_id(claims: &Claims<'_>) -> [u8; 16] {
    let mut hash = Sha256::new_with_prefix(b"taskseal sealed");
    hash.update(claims.task_id.as_bytes());
    hash.update(claims.issuer.as_str());
    let mut short = [0; 16];
    short.iter_mut().zip(hash.finalize()).for_each(|(short, byte)| *short = byte);
    short
}

/// Returns when a task is tried again that waits for `reason`, or `None` if its claims do not allow it any longer.
fn retry_at(
    backoff: Backoff,
    policy: &Policy<'_>,
    claims: &Claims<'_>,
    reason: Reason,
    now: UnixMillis,
) -> Option<UnixMillis> {
    let seconds = u64::try_from(now.as_secs()).unwrap_or(0);
    if !is_kept(policy, claims, reason.is_verified, seconds) {
        return None;
    }
    let delay = match reason.wait {
        // Not later than the longest delay: the clock that is wrong may be that of this host.
        Wait::Until(at) => {
            let at = UnixMillis::from_secs(i64::try_from(at).unwrap_or(i64::MAX));
            at.since(now).clamp(backoff.first, backoff.longest.max(backoff.first))
        }
        Wait::Deployment => deployment_delay(backoff, claims, reason.is_verified, seconds),
    };
    Some(now.plus(delay))
}

/// Returns the delay of a task that waits for a deployment: about half its age if its issuer is verified.
fn deployment_delay(backoff: Backoff, claims: &Claims<'_>, is_verified: bool, now: u64) -> Duration {
    let age = runs_from(claims).map(|from| Duration::from_secs(now.saturating_sub(from)));
    if is_verified {
        return backoff.delay_after(age.map_or(backoff.longest, |age| age / 2));
    }
    let Backoff { first, longest } = backoff;
    let slower = Backoff {
        first: first.saturating_mul(UNVERIFIED_FACTOR),
        longest: longest.saturating_mul(UNVERIFIED_FACTOR),
    };
    slower.delay_after(age.unwrap_or(slower.longest))
}

/// Returns whether the claims allow that the task is kept: it has not expired, and does not live longer than the policy
/// allows. Claims that are not verified must name this queue as well, and an expiry that an acceptable task could have.
fn is_kept(policy: &Policy<'_>, claims: &Claims<'_>, is_verified: bool, now: u64) -> bool {
    let (Some(expires_at), Some(runs_from)) = (claims.expires_at, runs_from(claims)) else {
        return is_verified && policy.accept_clockless;
    };
    let skew = u64::from(policy.skew);
    let longest = policy.max_lifetime;
    let is_within = expires_at.saturating_sub(runs_from) <= longest && now < expires_at.saturating_add(skew);
    // A start in the future would keep the age, and with it the delay, at zero.
    let is_plausible = claims.audience == policy.audience
        && runs_from <= now.saturating_add(skew)
        && expires_at <= now.saturating_add(longest).saturating_add(skew);
    is_within && (is_verified || is_plausible)
}

/// Returns the Unix time in seconds from which a task may run. `None` for an issuer without a clock.
fn runs_from(claims: &Claims<'_>) -> Option<u64> {
    let issued_at = claims.issued_at?;
    Some(claims.not_before.map_or(issued_at, |from| from.max(issued_at)))
}
