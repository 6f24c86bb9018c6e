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
use crate::ledger::TaskKey;
use crate::results::{Request, ResultError};
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
                if lost { End::Lost { key, begun: true } } else { End::GivenBack { claimed: Some(key) } };
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
        Err(Unsealed::Stopped) => End::GivenBack { claimed: Some(about.key) },
        Err(Unsealed::Failed(failure)) => {
            let retry_at = matches!(failure, Failure::TryAgain(_))
                .then(|| UnixMillis::now().plus(shared.settings.backoff.delay(attempt)))
                .filter(|at| attempt < max_attempts && expires_at.is_none_or(|end| *at < end));
            End::Failed { key: about.key, failure, retry_at }
        }
    };
    let _ = endings.send(handout.ends(end)).await;
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
    if !shared.parts.results.may_block() {
        return seal_now(shared, about, &audience, &output).map_err(unsealed);
    }
    let job = Arc::new((about.clone(), audience, output));
    // What the handler did is done: a token that is away is waited for while the task is still ours to end.
    loop {
        let (worker, this) = (Arc::clone(shared), Arc::clone(&job));
        let sealing = tokio::task::spawn_blocking(move || seal_now(&worker, &this.0, &this.1, &this.2));
        let Ok(sealed) = sealing.await else {
            let failure = Failure::TryAgain("sealing the result was cut off".to_owned());
            return Err(Unsealed::Failed(failure));
        };
        let delay = match sealed {
            Ok(outcome) => return Ok(outcome),
            Err(error) => match error.retry_after() {
                None => return Err(unsealed(error)),
                Some(delay) => delay,
            },
        };
        shared.observe(&Event::KeyUnavailable { id: handout.lease.id.clone(), doing: "seal the result" });
        let stopped = shared.sleep_unless(Phase::Stopping, delay.max(SHORTEST_WAIT)).await;
        match handout.place.fate() {
            Fate::Held if !stopped => {}
            Fate::Lost => return Err(Unsealed::Lost),
            _ => return Err(Unsealed::Stopped),
        }
    }
}

/// Why there is no sealed result.
enum Unsealed {
    Failed(Failure),
    /// The lease was lost meanwhile.
    Lost,
    /// The worker stops before the token is back: the task is to be run again.
    Stopped,
}

const SHORTEST_WAIT: Duration = Duration::from_millis(10);

fn seal_now(shared: &Shared, about: &About, audience: &str, output: &Output) -> Result<Vec<u8>, ResultError> {
    let request = Request { task_type: &about.task_type, audience, id: about.id, digest: about.digest };
    shared.parts.results.seal(&request, about.retention, output)
}

fn unsealed(error: ResultError) -> Unsealed {
    Unsealed::Failed(Failure::GiveUp(format!("the result cannot be sealed: {error}")))
}
