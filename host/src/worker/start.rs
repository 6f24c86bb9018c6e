//! Between the stages 4 and 5: starts decrypted tasks in the order in which they were fetched, each when a handler is free.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use super::execute::execute;
use super::phase::Phase;
use super::shared::Shared;
use super::task_state::{Completion, DecryptedTask, LeasedTask, Outcome};
use crate::runtime::boxed;

/// A task that may start.
#[derive(Debug)]
pub(super) struct ReadyTask {
    pub(super) task: LeasedTask,
    pub(super) decrypted: Box<DecryptedTask>,
    /// When it was ready.
    pub(super) since: Instant,
}

/// Starts tasks until every sender is dropped. Returns when their handlers have ended.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut ready: mpsc::UnboundedReceiver<ReadyTask>,
    completions: mpsc::Sender<Completion>,
) {
    let mut running = JoinSet::new();
    while let Some(ReadyTask { task, decrypted, since }) = ready.recv().await {
        while running.try_join_next().is_some() {}
        let completions = completions.clone();
        match free_handler(&shared, &task, since).await {
            Some(handler) => {
                let shared = Arc::clone(&shared);
                running.spawn(boxed(async move {
                    let started = Instant::now();
                    execute(&shared, task, *decrypted, completions).await;
                    shared.slots.ran(started.elapsed());
                    drop(handler);
                }));
            }
            None => {
                let outcome = Outcome::GivenBack { acquired: Some(decrypted.key) };
                let _ = completions.send(task.complete(outcome)).await;
            }
        }
    }
    while running.join_next().await.is_some() {}
}

/// Waits for a free handler. Returns `None` if the task is not to run now: the worker drains, other tasks have occupied the
/// handlers for longer than a lease, or results cannot be sealed.
async fn free_handler(shared: &Shared, task: &LeasedTask, since: Instant) -> Option<OwnedSemaphorePermit> {
    let left: Duration = shared.settings.lease.saturating_sub(since.elapsed());
    let handler = tokio::select! {
        biased;
        handler = shared.slots.handler() => handler?,
        () = shared.lifecycle.entered(Phase::Draining) => return None,
        () = tokio::time::sleep(left) => return None,
    };
    (task.trial.is_some() || !shared.result_key.is_failing()).then_some(handler)
}
