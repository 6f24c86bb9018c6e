//! Stage 5: runs the handler of a task. Whatever the handler does affects only its own task.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use taskseal_core::Refusal;
use tokio::sync::mpsc;

use super::begin;
use super::decided_by::DecidedBy;
use super::event::Event;
use super::lease_guard::{Interruption, LeaseGuard};
use super::phase::Phase;
use super::seal_result::{self, ResultContext};
use super::shared::Shared;
use super::task_state::{Completion, DecryptedTask, LeasedTask, Outcome, has_expired};
use crate::handler::run_guard::RunGuard;
use crate::handler::{Failure, Handler, OpenedTask, Output};
use crate::replay::TaskKey;
use crate::retry::Backoff;
use crate::time::UnixMillis;

/// Runs a task and sends its outcome to settlement.
pub(super) async fn execute(
    shared: &Arc<Shared>,
    task: LeasedTask,
    decrypted: DecryptedTask,
    completions: mpsc::Sender<Completion>,
) {
    let outcome = run(shared, &task, decrypted).await;
    let _ = completions.send(task.complete(outcome)).await;
}

async fn run(shared: &Arc<Shared>, leased: &LeasedTask, decrypted: DecryptedTask) -> Outcome {
    let DecryptedTask {
        task,
        key,
        digest,
        max_attempts,
        must_begin,
        retention,
        expires_at,
        decided_by,
        suspect: _suspect,
    } = decrypted;
    let is_sealed = task.sealed_by.is_some();
    let Some(handler) = shared.parts.handlers.find(&task.task_type) else {
        // The policy has refused every type without a handler.
        let failure = Failure::GiveUp(Refusal::TypeNotHandled.to_string());
        return Outcome::Failed { key, failure, retry_at: None };
    };
    // The task may have waited for settlement of others, or while the machine was suspended.
    if let Break(why) = shared.still_runnable(&leased.guard) {
        return Outcome::not_started(why, key);
    }
    // The next delivery refuses it, or settles it if it has succeeded before.
    if has_expired(expires_at, shared.settings.policy.skew, UnixMillis::now()) {
        return Outcome::GivenBack { acquired: Some(key) };
    }
    // Keyset and policy may have changed since the verification. The next delivery decides by the new ones.
    if !still_accepted(shared, leased, &task, &decided_by) {
        return Outcome::GivenBack { acquired: Some(key) };
    }
    if must_begin && let Break(outcome) = begin::begin(shared, leased, &key).await {
        return outcome;
    }
    let backoff = handler.backoff().unwrap_or(shared.settings.backoff);
    let attempt = HandlerRun { number: task.attempt, max_attempts, expires_at, backoff };
    shared.observe(&Event::Started { id: leased.lease.id.clone(), attempt: attempt.number });
    let context = ResultContext {
        issuer: task.issuer.clone(),
        task_type: task.task_type.clone(),
        audience: shared.settings.audience(&leased.queue),
        id: task.id,
        digest,
        retention,
    };
    let task_type = task.task_type.clone();
    let context = is_sealed.then_some(context);
    let outcome = match run_and_seal(shared, leased, handler, task, context).await {
        Continue(Ok(result)) if is_sealed => Outcome::Succeeded { key, result, retention },
        Continue(Ok(result)) => Outcome::SucceededUnsealed { key, result, retention },
        Continue(Err(Failure::NotStarted(reason))) => {
            return put_off(shared, leased, &task_type, key, reason);
        }
        Continue(Err(Failure::Terminated(_))) if stops_soon(shared).await => attempt.interrupted(key),
        Continue(Err(failure)) => attempt.failed(key, failure),
        Break(Interruption::LockLost) => Outcome::LockLost { key, started: true },
        Break(Interruption::GiveBack) => attempt.interrupted(key),
    };
    shared.start_failures.reset(&task_type);
    outcome
}

/// Returns whether the policy is the one that the task was verified by, and whether the keyset still allows the key of a sealed task to
/// seal it.
fn still_accepted(shared: &Shared, leased: &LeasedTask, task: &OpenedTask, decided_by: &DecidedBy) -> bool {
    let keys = shared.keys.snapshot();
    if !decided_by.holds(shared, &keys.policy, &task.task_type) {
        return false;
    }
    let Some(kid) = task.sealed_by else { return true };
    let audience = shared.settings.audience(&leased.queue);
    keys.keyring.accepts(kid, [&task.issuer, &task.task_type, &audience], shared.settings.policy.skew)
}

/// Puts off a task whose handler this host cannot start. Nothing has run, so no attempt is counted.
fn put_off(shared: &Shared, leased: &LeasedTask, task_type: &str, key: TaskKey, reason: String) -> Outcome {
    let failure = shared.start_failures.add(task_type, shared.settings.key_retry);
    if failure.is_reported() {
        let (id, task_type, count) = (leased.lease.id.clone(), task_type.to_owned(), failure.count);
        shared.observe(&Event::HandlerNotStarted { id, task_type, reason, count });
    }
    Outcome::Deferred { at: UnixMillis::now().plus(failure.delay), acquired: Some(key) }
}

/// Returns whether the worker begins to stop within a second: whatever stops a service may send the same signal to its
/// handlers, and they may end first.
async fn stops_soon(shared: &Shared) -> bool {
    shared.lifecycle.sleep_unless(Phase::Draining, Duration::from_secs(1)).await
}

/// Runs the handler, then seals its output. Without a context the task was not sealed: its producer expects the plain output.
async fn run_and_seal(
    shared: &Arc<Shared>,
    leased: &LeasedTask,
    handler: Arc<dyn Handler>,
    task: OpenedTask,
    context: Option<ResultContext>,
) -> ControlFlow<Interruption, Result<Vec<u8>, Failure>> {
    match (run_handler(handler, task, &leased.guard).await?, context) {
        (Ok(output), Some(context)) => seal_result::seal_result(shared, leased, context, output).await,
        (Ok(output), None) => Continue(Ok(output.body.to_vec())),
        (Err(failure), _) => Continue(Err(failure)),
    }
}

/// Runs the handler until it returns, its time limit has passed, or its task is cancelled.
async fn run_handler(
    handler: Arc<dyn Handler>,
    task: OpenedTask,
    guard: &LeaseGuard,
) -> ControlFlow<Interruption, Result<Output, Failure>> {
    let limit = if handler.keeps_time_limit() { Duration::MAX } else { task.timeout };
    let (run, end) = RunGuard::new();
    // A separate async task contains a panic of the handler.
    let mut running = tokio::spawn(run.scope(async move { handler.run(task).await }));
    guard.cancel_with(running.abort_handle());
    let result = match tokio::time::timeout(limit, &mut running).await {
        Ok(Ok(result)) => Continue(result),
        Ok(Err(error)) if error.is_cancelled() => Break(guard.cancellation()),
        Ok(Err(_)) => Continue(Err(Failure::TryAgain("the handler panicked".to_owned()))),
        Err(_) => {
            running.abort();
            let _ = running.await;
            Continue(Err(Failure::TryAgain(format!("not done within {} s", limit.as_secs()))))
        }
    };
    // The heartbeat holds the lock meanwhile: no other run begins beside what is left of this one.
    end.wait().await;
    result
}

/// An attempt that has started, and what limits the following ones.
struct HandlerRun {
    number: u32,
    max_attempts: u32,
    expires_at: Option<UnixMillis>,
    backoff: Backoff,
}

impl HandlerRun {
    fn is_last(&self) -> bool {
        self.number >= self.max_attempts
    }

    fn failed(&self, key: TaskKey, failure: Failure) -> Outcome {
        let retry_at = UnixMillis::now().plus(self.backoff.delay(self.number));
        let in_time = self.expires_at.is_none_or(|expires_at| retry_at < expires_at);
        let retries = !matches!(failure, Failure::GiveUp(_)) && !self.is_last() && in_time;
        Outcome::Failed { key, failure, retry_at: retries.then_some(retry_at) }
    }

    /// Returns the outcome of a task whose handler was running when the worker stopped. The handler may have had any
    /// effect, so the attempt counts: a task never starts more often than its issuer allows, however often workers stop.
    fn interrupted(&self, key: TaskKey) -> Outcome {
        if !self.is_last() {
            return Outcome::Interrupted { key };
        }
        let failure = Failure::GiveUp("the worker stopped during its last attempt".to_owned());
        Outcome::Failed { key, failure, retry_at: None }
    }
}
