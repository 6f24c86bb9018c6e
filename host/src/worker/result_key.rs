//! Whether results can be sealed. A worker whose result key cannot be used fetches no tasks: it would run handlers without
//! being able to deliver their results.
//!
//! The tasks that wait for the key try it repeatedly. If none are left, because their leases were lost, the worker fetches
//! one task at a time until a result is sealed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::telemetry;

/// The state of the result key, according to the last attempt to seal.
#[derive(Debug)]
pub(super) struct ResultKey {
    state: watch::Sender<State>,
    /// The permit to fetch a task while the key fails and no task waits for it.
    trial: Arc<Semaphore>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    fails: bool,
    /// Number of tasks that wait for the key.
    waiting: usize,
}

/// A task that waits for the key until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'k>(&'k ResultKey);

impl ResultKey {
    /// Creates the state of a key that works until a seal fails.
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::default(), trial: Arc::new(Semaphore::new(1)) }
    }

    /// Records that the key could not be used for a task, which tries again until it drops the returned value.
    pub(super) fn fails(&self) -> Waiting<'_> {
        self.state.send_modify(|state| {
            state.fails = true;
            state.waiting += 1;
        });
        telemetry::result_waits();
        Waiting(self)
    }

    /// Returns whether the last attempt to seal failed.
    pub(super) fn is_failing(&self) -> bool {
        self.state.borrow().fails
    }

    /// Records that a result was sealed. Returns whether the key had failed before.
    pub(super) fn works(&self) -> bool {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.fails, false))
    }

    /// Waits until the key works, or no task is left that tries it. In the latter case one task may be fetched; it holds the
    /// returned permit until it is settled.
    pub(super) async fn wait_until_usable(&self) -> Option<OwnedSemaphorePermit> {
        let mut states = self.state.subscribe();
        loop {
            // The sender lives as long as `self`.
            if !states.wait_for(|state| !state.fails || state.waiting == 0).await.ok()?.fails {
                return None;
            }
            tokio::select! {
                trial = Arc::clone(&self.trial).acquire_owned() => {
                    // The task that held the permit may be waiting now.
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
