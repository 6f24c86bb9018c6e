//! Between the stages 4 and 5: has the ledger record that a handler begins, if the loss of this worker would end its task.
//!
//! Such a task may wait for a handler when the worker is killed. It has not run then, and must not lose its last attempt.

use std::ops::ControlFlow::{self, Break};
use std::sync::{Arc, Mutex};

use tokio::sync::{Mutex as AsyncMutex, oneshot};

use super::event::Event;
use super::shared::Shared;
use super::task_state::{LeasedTask, Outcome};
use crate::lock::lock;
use crate::replay::TaskKey;

/// Handlers that wait for the ledger. One call records all that have come up during the call before.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    waiting: Mutex<Vec<(TaskKey, oneshot::Sender<bool>)>>,
    turn: AsyncMutex<()>,
}

/// Records that the handler of `key` begins. Returns the outcome of the task if it must not.
pub(super) async fn begin(shared: &Arc<Shared>, leased: &LeasedTask, key: &TaskKey) -> ControlFlow<Outcome> {
    match record(shared, key).await {
        Some(true) => {
            // The ledger may have taken long.
            let runnable = shared.still_runnable(&leased.guard);
            runnable.map_break(|why| Outcome::not_started(why, key.clone()))
        }
        Some(false) => {
            if leased.guard.mark_lock_lost() {
                shared.observe(&Event::LockLost { id: leased.lease.id.clone() });
            }
            Break(Outcome::LockLost { key: key.clone(), started: false })
        }
        None => Break(Outcome::GivenBack { acquired: Some(key.clone()) }),
    }
}

/// Returns whether this worker holds the lock. Returns `None` if the ledger failed.
async fn record(shared: &Arc<Shared>, key: &TaskKey) -> Option<bool> {
    let Beginnings { waiting, turn } = &shared.beginnings;
    let (sender, mut answer) = oneshot::channel();
    lock(waiting).push((key.clone(), sender));
    let _turn = turn.lock().await;
    // Another handler that waited may have recorded this one.
    let batch = std::mem::take(&mut *lock(waiting));
    if !batch.is_empty() {
        let (keys, senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let call = move |shared: &Shared| shared.parts.ledger.begin(&shared.owner, &keys);
        match shared.run_blocking(call).await {
            Ok(Ok(held)) => {
                for (sender, held) in senders.into_iter().zip(held) {
                    // The receiver waits for its turn.
                    let _ = sender.send(held);
                }
            }
            Ok(Err(error)) => shared.state_failed(&error),
            Err(panic) => shared.state_failed(&panic),
        }
    }
    answer.try_recv().ok()
}
