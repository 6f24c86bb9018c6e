//! What the queue and the observer learn about an outcome.

use std::time::Duration;

use crate::broker::{REFUSED, Settlement, TaskState};
use crate::time::UnixMillis;
use crate::worker::event::Event;
use crate::worker::task_state::{Completion, LeasedTask, Outcome};

/// Returns what the queue is to do. It learns that a task failed or was refused, and the code of a refusal. The reasons that
/// a handler gives stay on this host.
pub(super) fn settlement(outcome: &Outcome) -> Settlement {
    match outcome {
        Outcome::Succeeded { retention, .. }
        | Outcome::SucceededUnsealed { retention, .. }
        | Outcome::SucceededBefore { retention, .. }
            if retention.is_zero() =>
        {
            Settlement::Done
        }
        Outcome::Succeeded { result, retention, .. }
        | Outcome::SucceededUnsealed { result, retention, .. }
        | Outcome::SucceededBefore { result, retention, .. } => {
            Settlement::Complete { result: result.clone(), retention: *retention }
        }
        Outcome::Failed { retry_at: Some(at), .. } => Settlement::Retry {
            delay: delay_until(*at),
            failure: Some("taskseal: attempt failed".to_owned()),
        },
        Outcome::Failed { retry_at: None, .. } => archive("taskseal: given up"),
        Outcome::Refused { refusal, .. } => archive(&format!("{REFUSED}{}", refusal.refusal.code())),
        Outcome::NotYetValid { at, .. } | Outcome::Postponed { at, .. } | Outcome::Deferred { at, .. } => {
            Settlement::Retry { delay: delay_until(*at), failure: None }
        }
        // A task with a lost lock is removed before: this worker must not settle it.
        Outcome::GivenBack { .. } | Outcome::Interrupted { .. } | Outcome::LockLost { .. } => {
            Settlement::Requeue
        }
    }
}

/// Returns the time until `at`. The broker adds it to its own clock: that of this host may be wrong.
fn delay_until(at: UnixMillis) -> Duration {
    at.since(UnixMillis::now())
}

/// Returns whether a task in `state`, `None` if there is none, is as `settlement` leaves it.
pub(super) const fn matches(settlement: &Settlement, state: Option<TaskState>) -> bool {
    match settlement {
        Settlement::Done => state.is_none(),
        Settlement::Complete { .. } => matches!(state, Some(TaskState::Completed)),
        // It may be due by now.
        Settlement::Retry { .. } => matches!(state, Some(TaskState::Retry | TaskState::Pending)),
        Settlement::Archive { .. } => matches!(state, Some(TaskState::Archived)),
        Settlement::Requeue => matches!(state, Some(TaskState::Pending)),
    }
}

fn archive(reason: &str) -> Settlement {
    Settlement::Archive { reason: reason.to_owned() }
}

/// Returns the event to report once the queue has settled the task.
pub(super) fn event(completion: Completion) -> Event {
    let Completion { task: LeasedTask { lease, queue, .. }, outcome } = completion;
    let id = lease.id;
    match outcome {
        Outcome::Succeeded { .. } | Outcome::SucceededUnsealed { .. } => Event::Succeeded { id },
        Outcome::SucceededBefore { .. } => Event::SettledAgain { id },
        Outcome::Failed { failure, retry_at: Some(_), .. } => {
            Event::Retried { id, reason: failure.to_string() }
        }
        Outcome::Failed { failure, retry_at: None, .. } => {
            Event::Archived { id, reason: failure.to_string() }
        }
        Outcome::Refused { refusal, .. } | Outcome::NotYetValid { refusal, .. } => Event::Refused {
            id,
            queue,
            detail: refusal.detail(),
            refusal: refusal.refusal,
            quarantined: refusal.quarantined,
            kid: refusal.kid,
            issuer: refusal.claimed.map(|claimed| claimed.issuer),
        },
        Outcome::Postponed { refusal, at, .. } => {
            Event::Postponed { id, queue, detail: refusal.detail(), refusal: refusal.refusal, at }
        }
        Outcome::Deferred { .. }
        | Outcome::GivenBack { .. }
        | Outcome::Interrupted { .. }
        | Outcome::LockLost { .. } => Event::GivenBack { id },
    }
}
