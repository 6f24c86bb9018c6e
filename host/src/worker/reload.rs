//! Loads the keys and the policy again while the worker runs.

use std::sync::Arc;
use std::time::Duration;

use super::event::Event;
use super::phase::Phase;
use super::shared::Shared;
use crate::keys::Trigger;

/// Delay before the next attempt after one that panicked.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// Loads keys and policy again when their files change, at intervals, and on request, until the worker has stopped.
pub(super) async fn run(shared: Arc<Shared>) {
    let Some(reloader) = &shared.reloader else { return };
    let observe = |event: &Event| shared.observe(event);
    let mut trigger = Trigger::Timer;
    loop {
        let delay = tokio::select! {
            // Reading files may take long; the worker does not wait for it when it ends.
            () = shared.lifecycle.entered(Phase::Stopped) => return,
            delay = reloader.watch(poll(&shared, trigger), observe) => delay,
        };
        trigger = tokio::select! {
            stopped = shared.lifecycle.sleep_unless(Phase::Stopped, delay) => {
                if stopped {
                    return;
                }
                Trigger::Timer
            }
            () = shared.reload_request.notified() => Trigger::Request,
        };
    }
}

async fn poll(shared: &Arc<Shared>, trigger: Trigger) -> Duration {
    let polled = shared.run_blocking(move |shared| {
        let reloader = shared.reloader.as_ref()?;
        Some(reloader.poll(&shared.keys, trigger, &|event| shared.observe(event)))
    });
    polled.await.ok().flatten().unwrap_or(AFTER_PANIC)
}
