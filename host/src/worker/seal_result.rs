//! Stage 6: seals the result of a task, bound to its request. Waits while the key cannot be used, as long as it is
//! locked.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use taskseal_core::TaskId;

use super::event::Event;
use super::lease_guard::Interruption;
use super::phase::Phase;
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::task_state::LeasedTask;
use crate::handler::{Failure, Output};
use crate::keys::{KeyError, NoRecipient};
use crate::result::{Request, ResultError};
use crate::retry::MIN_DELAY;

/// What a result states about its task.
pub(super) struct ResultContext {
    pub(super) issuer: String,
    pub(super) task_type: String,
    pub(super) audience: String,
    pub(super) id: TaskId,
    /// SHA-256 of the envelope of the task.
    pub(super) digest: [u8; 32],
    pub(super) retention: Duration,
}

/// Delay before a key is tried again that names no delay.
const KEY_RETRY: Duration = Duration::from_secs(1);

/// Seals `output`. Returns no bytes if the result is not to be kept.
pub(super) async fn seal_result(
    shared: &Arc<Shared>,
    task: &LeasedTask,
    context: ResultContext,
    output: Output,
) -> ControlFlow<Interruption, Result<Vec<u8>, Failure>> {
    if context.retention.is_zero() {
        return Continue(Ok(Vec::new()));
    }
    let unsealed = Arc::new((context, output));
    let mut waiting = None;
    // The handler has succeeded: the task waits for a key that cannot be used, while this worker may settle it.
    loop {
        let error = match attempt(shared, task, &unsealed).await? {
            Ok(result) => {
                if shared.result_key.works() {
                    shared.observe(&Event::KeyBack { kid: shared.keys.snapshot().results.kid() });
                }
                return Continue(Ok(result));
            }
            Err(Unsealed::Failed(failure)) => return Continue(Err(failure)),
            Err(Unsealed::Refused(fault)) => {
                report(shared, fault, &task.lease.id, &unsealed.0.task_type, true);
                wait(shared, task, KEY_RETRY).await?;
                continue;
            }
            Err(Unsealed::Key(error)) => error,
        };
        waiting.get_or_insert_with(|| shared.result_key.fails());
        wait_for_key(shared, task, error).await?;
    }
}

/// Why an attempt to seal failed.
enum Unsealed {
    /// The key cannot be used now.
    Key(KeyOutage),
    /// A client could not read this result, or would refuse it, for which other results need not wait.
    Refused(ResultFault),
    /// The output cannot be sealed.
    Failed(Failure),
}

/// Why no client could use a result: the keyset decides, so another one may change that.
pub(super) enum ResultFault {
    /// The keyset has no key to encrypt it to.
    Recipient(NoRecipient),
    /// The keyset does not allow the result key to seal it.
    Key(KeyError),
}

impl ResultFault {
    /// Returns the fault, or any other error.
    pub(super) fn of(error: ResultError) -> Result<Self, ResultError> {
        match error {
            ResultError::Recipient(missing) => Ok(Self::Recipient(missing)),
            ResultError::Key(error) => Ok(Self::Key(error)),
            other => Err(other),
        }
    }
}

/// Reports that the result of a task must wait, or the task itself, if it has not run.
pub(super) fn report(shared: &Shared, fault: ResultFault, id: &str, task_type: &str, has_run: bool) {
    let id = id.to_owned();
    shared.observe(&match fault {
        ResultFault::Recipient(missing) => Event::RecipientMissing { id, missing, has_run },
        ResultFault::Key(error) => {
            let (kid, task_type) = (shared.keys.snapshot().results.kid(), task_type.to_owned());
            Event::ResultNotAllowed { id, kid, task_type, reason: error.to_string(), has_run }
        }
    });
}

/// A failure of the result key.
struct KeyOutage {
    retry_after: Duration,
    reason: String,
}

/// Seals once, on a thread that may block if the key may.
async fn attempt(
    shared: &Arc<Shared>,
    task: &LeasedTask,
    unsealed: &Arc<(ResultContext, Output)>,
) -> ControlFlow<Interruption, Result<Vec<u8>, Unsealed>> {
    let keys = shared.keys.snapshot();
    if !keys.results.may_block() {
        return Continue(seal_now(&keys, unsealed).map_err(Unsealed::from));
    }
    // The semaphore is never closed.
    let _permit = shared.seal_permits.acquire().await;
    task.guard.still_locked()?;
    let unsealed = Arc::clone(unsealed);
    let sealed = shared.run_blocking(move |_| seal_now(&keys, &unsealed)).await;
    let panicked = |_| Unsealed::Failed(Failure::TryAgain("sealing the result was interrupted".to_owned()));
    Continue(sealed.map_err(panicked).and_then(|sealed| sealed.map_err(Unsealed::from)))
}

fn seal_now(keys: &Snapshot, unsealed: &(ResultContext, Output)) -> Result<Vec<u8>, ResultError> {
    let (context, output) = unsealed;
    let ResultContext { issuer, task_type, audience, id, digest, retention } = context;
    let request = Request { task_type, audience, id: *id, digest: *digest };
    keys.results.seal(issuer, &request, *retention, output)
}

/// Reports the failure of the key and waits until another attempt is worthwhile.
async fn wait_for_key(shared: &Shared, task: &LeasedTask, error: KeyOutage) -> ControlFlow<Interruption> {
    let KeyOutage { retry_after, reason } = error;
    let (id, kid) = (task.lease.id.clone(), Some(shared.keys.snapshot().results.kid()));
    shared.observe(&Event::KeyUnavailable { id, doing: "seal the result", kid, reason });
    wait(shared, task, retry_after.max(MIN_DELAY)).await
}

/// Waits until another attempt is worthwhile, as long as this worker may settle the task.
async fn wait(shared: &Shared, task: &LeasedTask, delay: Duration) -> ControlFlow<Interruption> {
    let stopping = shared.lifecycle.sleep_unless(Phase::Stopping, delay).await;
    task.guard.still_locked()?;
    if stopping { Break(Interruption::GiveBack) } else { Continue(()) }
}

impl From<ResultError> for Unsealed {
    fn from(error: ResultError) -> Self {
        let error = match ResultFault::of(error) {
            Ok(fault) => return Self::Refused(fault),
            Err(other) => other,
        };
        match error.of_the_key() {
            Some(retry_after) => Self::Key(KeyOutage {
                retry_after: retry_after.unwrap_or(KEY_RETRY),
                reason: error.to_string(),
            }),
            None => Self::Failed(Failure::GiveUp(format!("the result cannot be sealed: {error}"))),
        }
    }
}
