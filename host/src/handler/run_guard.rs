//! Proof that nothing of a run is left.
//!
//! A handler that is cancelled is dropped at once, but the processes that it has started take a moment to end. The worker
//! releases the task only when they have, so that no other run begins beside them.

use std::convert::Infallible;
use std::future::Future;

use tokio::sync::mpsc;

/// Held by what belongs to a run and may outlive its handler.
#[derive(Clone, Debug)]
pub(crate) struct RunGuard(#[expect(dead_code, reason = "its drop is the signal")] mpsc::Sender<Infallible>);

/// Waits for the last [`RunGuard`] of a run.
#[derive(Debug)]
pub(crate) struct RunEnd(mpsc::Receiver<Infallible>);

tokio::task_local! {
    static CURRENT: RunGuard;
}

impl RunGuard {
    /// Creates the first guard of a run, and what waits for the last one.
    pub(crate) fn new() -> (Self, RunEnd) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), RunEnd(receiver))
    }

    /// Returns a guard of the run that the current async task is part of, if it is part of one.
    pub(crate) fn of_current_run() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs `handler` as part of this run.
    pub(crate) async fn scope<T>(self, handler: impl Future<Output = T>) -> T {
        CURRENT.scope(self, handler).await
    }
}

impl RunEnd {
    /// Waits until every guard was dropped.
    pub(crate) async fn wait(mut self) {
        let _ = self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn run_ends_with_its_last_guard() {
        let (guard, end) = RunGuard::new();
        let kept = guard.scope(async { RunGuard::of_current_run() }).await;
        assert!(kept.is_some() && RunGuard::of_current_run().is_none());
        let ended = tokio::spawn(end.wait());
        tokio::task::yield_now().await;
        assert!(!ended.is_finished());
        drop(kept);
        ended.await.unwrap();
    }
}
