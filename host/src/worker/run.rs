//! Runs one handler on one task and says how it ended. Whatever the handler does, only its own task suffers.

use std::sync::Arc;
use std::time::Duration;

use taskseal_core::{Refusal, TaskId};
use tokio::sync::mpsc;

use super::confirm::not_any_more;
use super::event::Event;
use super::in_flight::Fate;
use super::intake::Admitted;
use super::settle::{End, Ending, Handout};
use super::{Phase, Shared};
use crate::handler::{Failure, Output};
use crate::replay::TaskKey;
use crate::result::{Request, ResultError};
use crate::time::UnixMillis;

/// Runs the task and tells the settler how it ended.
pub(super) async fn run(
    shared: Arc<Shared>,
    admitted: Admitted,
    handout: Handout,
    endings: mpsc::Sender<Ending>,
) {
    let attempt = admitted.task.attempt;
    let Some(handler) = shared.parts.handlers.find(&admitted.task.task_type) else {
        // The policy has refused every type without a handler.
        let failure = Failure::GiveUp(Refusal::TypeNotHandled.to_string());
        let _ = endings.send(handout.ends(End::Failed { key: admitted.key, failure, retry_at: None })).await;
        return;
    };
    // What was confirmed may have waited since, for the settler or for a machine that stood still.
    if let Some(end) = not_any_more(&shared, &handout.place, &admitted.key) {
        let _ = endings.send(handout.ends(end)).await;
        return;
    }
    shared.observe(&Event::Started { id: handout.lease.id.clone(), attempt });
    let Admitted { task, key, digest, max_attempts, retention, expires_at } = admitted;
    let about = About { key, digest, retention, task_type: task.task_type.clone(), id: task.id };
    let limit = task.timeout;

    // A task of its own: a panic ends there.
    let mut running = tokio::spawn(async move { handler.run(task).await });
    handout.place.cancel_with(running.abort_handle());
    let result = match tokio::time::timeout(limit, &mut running).await {
        Ok(Ok(result)) => result,
        Ok(Err(join)) if join.is_cancelled() => {
            let lost = handout.place.fate() == Fate::Lost;
            let key = about.key;
            let end =
                if lost { End::Lost { key, begun: true } } else { cut_off(key, attempt < max_attempts) };
            let _ = endings.send(handout.ends(end)).await;
            return;
        }
        Ok(Err(_)) => Err(Failure::TryAgain("the handler panicked".to_owned())),
        Err(_) => {
            running.abort();
            let _ = running.await;
            Err(Failure::TryAgain(format!("not done within {} s", limit.as_secs())))
        }
    };

    let sealed = match result {
        Ok(output) => seal(&shared, &about, &handout, output).await,
        Err(failure) => Err(Unsealed::Failed(failure)),
    };
    let end = match sealed {
        Ok(outcome) => End::Succeeded { key: about.key, outcome, retention },
        Err(Unsealed::Lost) => End::Lost { key: about.key, begun: true },
        Err(Unsealed::Stopped) => cut_off(about.key, attempt < max_attempts),
        Err(Unsealed::Failed(failure)) => {
            let retry_at = matches!(failure, Failure::TryAgain(_))
                .then(|| UnixMillis::now().plus(shared.settings.backoff.delay(attempt)))
                .filter(|at| attempt < max_attempts && expires_at.is_none_or(|end| *at < end));
            End::Failed { key: about.key, failure, retry_at }
        }
    };
    let _ = endings.send(handout.ends(end)).await;
}

/// The end of a task whose handler had begun when the worker stopped. It may have done anything, so the attempt counts: no
/// task is started more often than its issuer allows, however often workers stop.
fn cut_off(key: TaskKey, attempts_left: bool) -> End {
    if attempts_left {
        return End::CutOff { key };
    }
    let failure = Failure::GiveUp("the worker stopped during its last attempt".to_owned());
    End::Failed { key, failure, retry_at: None }
}

/// What a result says about its task.
#[derive(Clone)]
struct About {
    key: TaskKey,
    digest: [u8; 32],
    retention: Duration,
    task_type: String,
    id: TaskId,
}

/// Nobody reads the result of a task that is not kept, so none is sealed.
async fn seal(
    shared: &Arc<Shared>,
    about: &About,
    handout: &Handout,
    output: Output,
) -> Result<Vec<u8>, Unsealed> {
    if about.retention.is_zero() {
        return Ok(Vec::new());
    }
    let audience = shared.settings.audience(&handout.queue);
    let job = Arc::new((about.clone(), audience, output));
    let mut waiting = None;
    // What the handler did is done: a key that cannot be used is waited for while the task is still ours to end.
    loop {
        let sealed = if shared.parts.results.may_block() {
            // The semaphore is never closed.
            let permit = shared.seals.acquire().await;
            if let Some(unsealed) = cut_short(handout.place.fate()) {
                return Err(unsealed);
            }
            let (worker, this) = (Arc::clone(shared), Arc::clone(&job));
            let sealed =
                tokio::task::spawn_blocking(move || seal_now(&worker, &this.0, &this.1, &this.2)).await;
            drop(permit);
            sealed
        } else {
            Ok(seal_now(shared, &job.0, &job.1, &job.2))
        };
        let Ok(sealed) = sealed else {
            let failure = Failure::TryAgain("sealing the result was cut off".to_owned());
            return Err(Unsealed::Failed(failure));
        };
        let kid = shared.parts.results.kid();
        let (delay, reason) = match sealed {
            Ok(outcome) => {
                if shared.result_key.works() {
                    shared.observe(&Event::KeyBack { kid });
                }
                return Ok(outcome);
            }
            Err(error) => match error.of_the_key() {
                None => return Err(unsealed(error)),
                Some(retry_after) => (retry_after.unwrap_or(KEY_RETRY), error.to_string()),
            },
        };
        waiting.get_or_insert_with(|| shared.result_key.fails());
        let id = handout.lease.id.clone();
        shared.observe(&Event::KeyUnavailable { id, doing: "seal the result", kid: Some(kid), reason });
        let stopped = shared.sleep_unless(Phase::Stopping, delay.max(SHORTEST_WAIT)).await;
        if let Some(unsealed) = cut_short(handout.place.fate()) {
            return Err(unsealed);
        }
        if stopped {
            return Err(Unsealed::Stopped);
        }
    }
}

/// Why a result is not waited for any more.
const fn cut_short(fate: Fate) -> Option<Unsealed> {
    match fate {
        Fate::Held => None,
        Fate::Lost => Some(Unsealed::Lost),
        Fate::Cancelled => Some(Unsealed::Stopped),
    }
}

/// Why there is no sealed result.
enum Unsealed {
    Failed(Failure),
    /// The lease was lost meanwhile.
    Lost,
    /// The worker stops before the key is back.
    Stopped,
}

/// How soon a key is tried again that does not say when it is worth it.
const KEY_RETRY: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

fn seal_now(shared: &Shared, about: &About, audience: &str, output: &Output) -> Result<Vec<u8>, ResultError> {
    let request = Request { task_type: &about.task_type, audience, id: about.id, digest: about.digest };
    shared.parts.results.seal(&request, about.retention, output)
}

fn unsealed(error: ResultError) -> Unsealed {
    Unsealed::Failed(Failure::GiveUp(format!("the result cannot be sealed: {error}")))
}
