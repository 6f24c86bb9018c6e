//! Between the stages 1 and 2: a task whose body is in clear beside a detached envelope is verified as a sealed one.
//!
//! Where the mode of its type lets unsealed tasks run, a task whose envelope does not verify runs as one of them, and its refusal is
//! counted and named: without the envelope it would run as well, and an attacker with write access to the queue can remove that.

use std::ops::ControlFlow::{Break, Continue};

use taskseal_core::{Audience, NameSet, Policy, Unverified};

use super::shared::Shared;
use super::snapshot::Snapshot;
use super::task_state::{LeasedTask, Outcome, StageDecision, VerifiedTask};
use super::unsealed;
use crate::policy::Violation;
use crate::time::UnixMillis;

/// Decides about a task with a detached envelope that was `verified`. What follows a valid signature stays refused: an expired task,
/// one that is not yet valid, and in the next stage a replay.
pub(super) fn decide<'a>(
    shared: &Shared,
    keys: &Snapshot,
    task: &'a LeasedTask,
    verified: StageDecision<VerifiedTask<'a>>,
) -> StageDecision<VerifiedTask<'a>> {
    let refusal = match &verified {
        Break(Outcome::Refused { refusal, .. } | Outcome::Postponed { refusal, .. }) => refusal.clone(),
        _ => return verified,
    };
    // A payload that may be an envelope is not the body of an unsealed task.
    if !unsealed::is_unsealed(&task.record.envelope) {
        return verified;
    }
    match unsealed::decide(shared, keys, task) {
        Continue(VerifiedTask::Unsealed(unsealed)) => {
            Continue(VerifiedTask::Unsealed(unsealed.with_refused_envelope(refusal)))
        }
        _ => verified,
    }
}

/// Returns what the core checks of a task with a clear body.
pub(super) fn policy<'a>(
    shared: &Shared,
    keys: &Snapshot,
    task_type: &str,
    audience: Audience<'a>,
    handled: NameSet<'a>,
) -> Policy<'a> {
    let now = UnixMillis::now();
    keys.policy.for_detached_task(task_type, audience, handled, |rule| {
        shared.rollout.effective(&rule.pattern, rule.mode_at(now))
    })
}

/// Returns what the type of an envelope requires, if its suite is refused because its body is in clear.
pub(super) fn violation(envelope: &Unverified<'_>) -> Option<Violation> {
    envelope
        .is_detached()
        .then(|| Violation::clear_body(envelope.danger_claims_unverified().task_type.as_str()))
}
