//! Stage 3: acquires the ledger entries of verified tasks, which tells first runs and legal redeliveries from replays and
//! conflicts.
//!
//! An expired task never runs. The ledger is asked about it all the same: if it has succeeded and the queue did not record
//! that, it is settled now. Otherwise it would look like a task that never ran.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use taskseal_core::{Refusal, Verified};

use super::shared::Shared;
use super::task_state::{
    AdmittedRun, AdmittedTask, BatchDecision, ExpiredTask, LeasedTask, Outcome, RefusalDetails,
    StageDecision, TaskForm, VerifiedTask, retention,
};
use crate::replay::judge::{MAX_CRASHES, is_final};
use crate::replay::{Decision, LedgerRefusal, ReplayQuery, TaskKey};
use crate::time::UnixMillis;

/// Acquires the ledger entries of all verified tasks of a batch in one call.
pub(super) fn admit<'a>(
    shared: &Shared,
    verified: Vec<StageDecision<VerifiedTask<'a>>>,
    tasks: &[LeasedTask],
) -> BatchDecision<AdmittedTask<'a>> {
    let skip = |decision: StageDecision<VerifiedTask<'a>>| skip_if_in_flight(shared, decision?);
    let verified: Vec<_> = verified.into_iter().map(skip).collect();
    let to_query = verified.iter().filter_map(|decision| match decision {
        Continue(task) => Some(query(shared, task)),
        Break(_) => None,
    });
    let queries: Vec<ReplayQuery> = to_query.collect();
    let now = shared.parts.ledger.now();
    let until = now.plus(shared.settings.lease);
    let answers = acquire(shared, &queries, now, until);
    let ledger_responded = answers.is_some();
    let mut answers = queries.into_iter().zip(answers.unwrap_or_default());
    let decide = |(decision, task): (StageDecision<VerifiedTask<'a>>, &LeasedTask)| {
        let verified = decision?;
        // Fail closed: no task runs without an answer of the ledger.
        let Some((query, answer)) = answers.next() else {
            return Break(Outcome::GivenBack { acquired: None });
        };
        let admitted = decide(shared, verified, &query, answer, now)?;
        task.guard.locked(admitted.run.key.clone(), until);
        Continue(admitted)
    };
    let decisions = verified.into_iter().zip(tasks).map(decide).collect();
    BatchDecision { decisions, ledger_responded }
}

/// Returns the answers of the ledger, or `None` if it failed.
fn acquire(
    shared: &Shared,
    queries: &[ReplayQuery],
    now: UnixMillis,
    until: UnixMillis,
) -> Option<Vec<Decision>> {
    if queries.is_empty() {
        return Some(Vec::new());
    }
    let answers = shared.parts.ledger.acquire(&shared.owner, now, until, queries);
    answers.map_err(|error| shared.state_failed(&error)).ok()
}

/// Defers a task that this worker is still running: the ledger, which knows the worker by its name, would take the second
/// run for the first one.
fn skip_if_in_flight<'a>(shared: &Shared, task: VerifiedTask<'a>) -> StageDecision<VerifiedTask<'a>> {
    if !shared.leases.is_in_flight(&query(shared, &task).key()) {
        return Continue(task);
    }
    let at = UnixMillis::now().plus(shared.settings.lease);
    Break(Outcome::Deferred { at, acquired: None })
}

fn query(shared: &Shared, task: &VerifiedTask<'_>) -> ReplayQuery {
    match task {
        VerifiedTask::Current(verified) => current_query(verified, shared.settings.default_attempts),
        VerifiedTask::Expired(expired) => expired_query(expired),
        VerifiedTask::Unsealed(unsealed) => unsealed.query(shared),
    }
}

fn current_query(verified: &Verified<'_>, default_attempts: u16) -> ReplayQuery {
    let query = verified.admission_request();
    let forget_after = query.forget_after.and_then(|seconds| i64::try_from(seconds).ok());
    let issued_at = verified.claims().issued_at.and_then(|seconds| i64::try_from(seconds).ok());
    ReplayQuery {
        issuer: query.issuer.as_str().to_owned(),
        task_id: *query.task_id.as_bytes(),
        digest: query.digest,
        issued_at: issued_at.map(UnixMillis::from_secs),
        expires_at: UnixMillis::from_secs(forget_after.unwrap_or(i64::MAX)),
        max_attempts: u32::from(query.attempts.unwrap_or(default_attempts)),
        ttl: query.ttl.map(|seconds| Duration::from_secs(seconds.into())),
    }
}

/// Returns a query that acquires nothing: `max_attempts: 0` makes the ledger look the task up without admitting it.
fn expired_query(expired: &ExpiredTask) -> ReplayQuery {
    ReplayQuery {
        issuer: expired.key.issuer.clone(),
        task_id: expired.key.task_id,
        digest: expired.digest,
        issued_at: None,
        expires_at: UnixMillis(i64::MAX),
        max_attempts: 0,
        ttl: None,
    }
}

fn decide<'a>(
    shared: &Shared,
    task: VerifiedTask<'a>,
    query: &ReplayQuery,
    answer: Decision,
    now: UnixMillis,
) -> StageDecision<AdmittedTask<'a>> {
    match task {
        VerifiedTask::Current(verified) => {
            decide_current(shared, TaskForm::Sealed(verified), query, answer, now)
        }
        VerifiedTask::Unsealed(unsealed) => {
            decide_current(shared, TaskForm::Unsealed(unsealed), query, answer, now)
        }
        VerifiedTask::Expired(expired) => Break(expired_outcome(expired, answer, now)),
    }
}

fn decide_current<'a>(
    shared: &Shared,
    form: TaskForm<'a>,
    query: &ReplayQuery,
    answer: Decision,
    now: UnixMillis,
) -> StageDecision<AdmittedTask<'a>> {
    let key = query.key();
    let (attempt, crashes) = match answer {
        Decision::FirstRun => (1, 0),
        Decision::Redelivery { attempt, crashes } => (attempt, crashes),
        Decision::Finished { outcome: result } => {
            let retention = match &form {
                TaskForm::Sealed(verified) => retention(verified.claims()),
                TaskForm::Unsealed(_) => Duration::ZERO,
            };
            return Break(Outcome::SucceededBefore { key, result, retention });
        }
        Decision::InProgress { until } => return Break(after_lock(until, now)),
        Decision::Refused(refusal) => {
            let older_than_ledger = refusal == LedgerRefusal::OlderThanLedger;
            let details = match &form {
                TaskForm::Sealed(verified) => {
                    RefusalDetails::after_verification(to_refusal(refusal), verified)
                }
                TaskForm::Unsealed(_) => RefusalDetails::unsealed(to_refusal(refusal)),
            };
            let refusal = RefusalDetails { older_than_ledger, ..details };
            return Break(Outcome::Refused { refusal, acquired: None });
        }
    };
    let is_suspect = crashes + 1 >= MAX_CRASHES;
    let permit = is_suspect.then(|| Arc::clone(&shared.suspects).try_acquire_owned());
    let Ok(suspect) = permit.transpose() else { return Break(after_suspect(shared, key)) };
    let max_attempts = query.max_attempts;
    let must_begin = is_final(attempt, crashes, max_attempts);
    let run = AdmittedRun { key, attempt, max_attempts, must_begin, suspect };
    Continue(AdmittedTask { form, run })
}

fn expired_outcome(expired: ExpiredTask, answer: Decision, now: UnixMillis) -> Outcome {
    let ExpiredTask { key, retention, refusal, .. } = expired;
    match answer {
        Decision::Finished { outcome: result } => Outcome::SucceededBefore { key, result, retention },
        // That run began before the expiry.
        Decision::InProgress { until } => after_lock(until, now),
        _ => Outcome::Refused { refusal, acquired: None },
    }
}

/// Defers a task that may be the cause of two lost workers while another such task is running. They run one at a time, so that
/// the third crash counts for the one that causes it and not for all that were lost together.
fn after_suspect(shared: &Shared, key: TaskKey) -> Outcome {
    Outcome::Deferred { at: UnixMillis::now().plus(shared.settings.key_retry), acquired: Some(key) }
}

/// Defers a task until the lock of another run may expire: at `until`, when the clock of the ledger shows `now`.
fn after_lock(until: UnixMillis, now: UnixMillis) -> Outcome {
    Outcome::Deferred { at: UnixMillis::now().plus(until.since(now)), acquired: None }
}

const fn to_refusal(refusal: LedgerRefusal) -> Refusal {
    match refusal {
        LedgerRefusal::Replayed | LedgerRefusal::OlderThanLedger => Refusal::Replayed,
        LedgerRefusal::Conflict => Refusal::Conflict,
        LedgerRefusal::AttemptsExhausted => Refusal::AttemptsExhausted,
        LedgerRefusal::Poisonous { .. } => Refusal::Poisonous,
        LedgerRefusal::Expired => Refusal::Expired,
    }
}
