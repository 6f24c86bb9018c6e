//! Whether results can be sealed at the moment. A worker whose result key cannot be used takes no tasks: it would run handler
//! after handler and have nothing to show for it.
//!
//! The tasks that wait for the key are the ones that try it, again and again. If there are none left, since their leases
//! were lost, one task at a time is taken until one of them is sealed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::telemetry;

/// What the last seal said of the key.
#[derive(Debug)]
pub(super) struct ResultKey {
    state: watch::Sender<State>,
    /// The right to take a task while the key fails and nobody tries it.
    trial: Arc<Semaphore>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    fails: bool,
    /// Tasks that wait to try again.
    waiting: usize,
}

/// A task that waits for the key.
#[derive(Debug)]
pub(super) struct Waiting<'k>(&'k ResultKey);

impl ResultKey {
    /// Creates the state of a key that works until a seal fails.
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::default(), trial: Arc::new(Semaphore::new(1)) }
    }

    /// The key was of no use to a task, which goes on trying until it drops the answer.
    pub(super) fn fails(&self) -> Waiting<'_> {
        self.state.send_modify(|state| {
            state.fails = true;
            state.waiting += 1;
        });
        telemetry::result_waits();
        Waiting(self)
    }

    /// A result was sealed. Tells whether the key had failed before.
    pub(super) fn works(&self) -> bool {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.fails, false))
    }

    /// Waits until it makes sense to take tasks. `Some`: only one, which keeps the answer until it is settled.
    pub(super) async fn worth_taking(&self) -> Option<OwnedSemaphorePermit> {
        let mut states = self.state.subscribe();
        loop {
            // The sender lives as long as `self`.
            if !states.wait_for(|state| !state.fails || state.waiting == 0).await.ok()?.fails {
                return None;
            }
            tokio::select! {
                trial = Arc::clone(&self.trial).acquire_owned() => {
                    // Who had it may be among those who wait now.
                    let state = *self.state.borrow();
                    if state.fails && state.waiting == 0 {
                        return trial.ok();
                    }
                }
                _ = states.changed() => {}
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.waiting = state.waiting.saturating_sub(1));
        telemetry::result_waits_no_more();
    }
}
