//! Loads the keys of a client again while it is in use.
//!
//! A task of the runtime does so. It starts with the first call of the client on a runtime and ends with the client or with the
//! runtime; a call on another runtime starts it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::announce;
use super::keys::ClientKeys;
use super::seal::Producer;
use crate::keys::{POLL, Reloader, Trigger};
use crate::runtime::{boxed, run_blocking};
use crate::telemetry;

/// How the keys of a client are loaded again.
#[derive(Debug)]
pub(super) struct KeyReload {
    reloader: Reloader<ClientKeys>,
    request: Arc<Notify>,
    running: Arc<Running>,
}

/// Whether the task runs, and whether it has run before.
#[derive(Debug, Default)]
struct Running {
    now: AtomicBool,
    before: AtomicBool,
}

/// Records that the task has ended, also when its runtime shuts down.
struct RunningGuard(Arc<Running>);

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.0.now.store(false, Ordering::Release);
    }
}

impl KeyReload {
    pub(super) fn new(reloader: Reloader<ClientKeys>) -> Self {
        Self { reloader, request: Arc::default(), running: Arc::default() }
    }

    /// Has the task load the keys now.
    pub(super) fn request(&self) {
        self.request.notify_one();
    }
}

impl Producer {
    /// Starts the task that loads the keys again, unless it runs or there is no runtime.
    pub(super) fn watch_keys(self: &Arc<Self>) {
        let Some(reload) = &self.reload else { return };
        if reload.running.now.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if reload.running.now.swap(true, Ordering::AcqRel) {
            return;
        }
        // Time has passed since the task ended on another runtime.
        let is_restart = reload.running.before.swap(true, Ordering::AcqRel);
        let first = if is_restart { Duration::ZERO } else { POLL };
        let guard = RunningGuard(Arc::clone(&reload.running));
        let task = run(Arc::downgrade(self), Arc::clone(&reload.request), first, guard);
        drop(runtime.spawn(boxed(task)));
        drop(runtime.spawn(boxed(announce::run(Arc::downgrade(self)))));
    }

    fn poll_keys(&self, trigger: Trigger) -> Option<Duration> {
        let reload = self.reload.as_ref()?;
        Some(reload.reloader.poll(&self.keys, trigger, &telemetry::observe_client))
    }
}

/// Loads the keys again until the client is dropped.
async fn run(producer: Weak<Producer>, request: Arc<Notify>, first: Duration, guard: RunningGuard) {
    let mut delay = first;
    loop {
        let trigger = tokio::select! {
            () = tokio::time::sleep(delay) => Trigger::Timer,
            () = request.notified() => Trigger::Request,
        };
        let Some(producer) = producer.upgrade() else { break };
        let loading = Arc::clone(&producer);
        let loading = run_blocking(move || loading.poll_keys(trigger));
        let Some(reload) = &producer.reload else { break };
        let polled = reload.reloader.watch(loading, telemetry::observe_client).await;
        let Ok(Some(next)) = polled else { break };
        delay = next;
    }
    drop(guard);
}
