//! The phases of a running worker, and waiting for them.

use std::time::Duration;

use tokio::sync::watch;

use crate::retry::Deadline;

/// A phase of a worker. Phases follow one another in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The worker fetches tasks.
    Running,
    /// The worker fetches no more tasks; running handlers may finish.
    Draining,
    /// Handlers that still run are cancelled and their tasks given back.
    Stopping,
    /// Every task is settled.
    Stopped,
}

/// The current phase of a worker.
#[derive(Debug)]
pub(super) struct Lifecycle(watch::Sender<Phase>);

/// Maximum attempts at a call to a broker, ledger or quarantine that does not respond, once the worker is stopping.
const ATTEMPTS_WHILE_STOPPING: u32 = 5;

impl Default for Lifecycle {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Running))
    }
}

impl Lifecycle {
    /// Returns the current phase.
    pub(super) fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Enters `phase`, unless the worker is in a later one.
    pub(super) fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = *current < phase;
            *current = phase.max(*current);
            later
        });
    }

    /// Waits until the worker enters `phase` or a later one.
    pub(super) async fn entered(&self, phase: Phase) {
        let mut phases = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = phases.wait_for(|current| *current >= phase).await;
    }

    /// Sleeps for `duration`, or until the worker enters `phase`. Returns whether it did.
    pub(super) async fn sleep_unless(&self, phase: Phase, duration: Duration) -> bool {
        tokio::time::timeout(duration, self.entered(phase)).await.is_ok()
    }
}

/// Calls are repeated without a limit until the worker is stopping.
impl Deadline for &Lifecycle {
    fn allows(&self, failures: u32, _delay: Duration) -> bool {
        self.phase() < Phase::Stopping || failures < ATTEMPTS_WHILE_STOPPING
    }
}
