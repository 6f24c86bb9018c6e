//! Runs the worker until it has nothing more to do or a signal stops it, and keeps the service manager informed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use taskseal::Worker;
use taskseal::broker::Broker;
use taskseal::telemetry::WORKER_TARGET;
use taskseal::worker::Tally;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{interval, sleep};

use super::start;
use crate::failure::Failure;
use crate::output::log::Repeats;
use crate::session::Session;

/// Runs the worker. Returns `None` if a second signal ended the drain early.
///
/// A worker whose broker does not answer is not ready, and runs: it takes tasks as soon as it can.
pub(super) async fn run(
    session: &Session,
    worker: Worker,
    once: bool,
    repeats: Arc<Repeats>,
    log_ready: &dyn Fn(),
) -> Result<Option<Tally>, Failure> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut others = OtherSignals::listen()?;
    let watchdog = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
    let mut keep_alive = interval(keep_alive_interval(watchdog));
    let mut is_ready = match start::check_broker(&*session.broker, &repeats).await {
        Err(error) if once => return Err(session.broker_failure(&error)),
        Err(error) => {
            start::log_failure(&error);
            false
        }
        Ok(()) => true,
    };
    let report_ready = || {
        log_ready();
        notify(NotifyState::Ready);
    };
    if is_ready {
        report_ready();
    }
    let mut waiting = pin!(start::wait_for_broker(session.broker.clone(), repeats.clone()));
    let mut probe = pin!(log_return_of(session.broker.clone(), repeats));
    let reload_keys = worker.key_reload();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    let mut work = pin!(work(worker, once, async {
        let _ = stopped.await;
    }));
    let tally = loop {
        tokio::select! {
            tally = &mut work => break Some(tally),
            () = &mut waiting, if !is_ready => {
                is_ready = true;
                if stop.is_some() {
                    report_ready();
                }
                continue;
            }
            () = &mut probe => continue,
            _ = keep_alive.tick() => {
                if watchdog.is_some() {
                    notify(NotifyState::Watchdog);
                }
                continue;
            }
            _ = hangup.recv() => {
                reload_keys();
                continue;
            }
            name = others.received() => {
                tracing::warn!(
                    target: WORKER_TARGET, event = "signal-ignored", signal = name,
                    "{name} has no effect: SIGHUP loads the keys again"
                );
                continue;
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The first signal takes the sender, which starts the drain; the second finds none.
        let Some(stop) = stop.take() else { break None };
        drop(stop);
        notify(NotifyState::Stopping);
        tracing::info!(target: WORKER_TARGET, event = "draining", "draining: a second signal stops at once");
    };
    Ok(tally)
}

/// Signals that would end the process by default, and are sent by mistake or by habit, for example to rotate log files.
struct OtherSignals {
    user1: Signal,
    user2: Signal,
    alarm: Signal,
}

impl OtherSignals {
    fn listen() -> Result<Self, Failure> {
        Ok(Self {
            user1: listen(SignalKind::user_defined1())?,
            user2: listen(SignalKind::user_defined2())?,
            alarm: listen(SignalKind::alarm())?,
        })
    }

    /// Waits for one of them and returns its name.
    async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.user1.recv() => "SIGUSR1",
            _ = self.user2.recv() => "SIGUSR2",
            _ = self.alarm.recv() => "SIGALRM",
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(format!("cannot handle signals: {error}")))
}

async fn work(worker: Worker, once: bool, shutdown: impl Future<Output = ()>) -> Tally {
    if once { worker.run_once_or_until(shutdown).await } else { worker.run_until(shutdown).await }
}

/// Returns half of the time that the watchdog allows, as sd_watchdog_enabled(3) recommends.
fn keep_alive_interval(watchdog: Option<Duration>) -> Duration {
    watchdog.map_or(Duration::from_secs(3600), |limit| (limit / 2).max(Duration::from_millis(1)))
}

/// Sends one state to the service manager, if there is one. A failure does not stop the worker.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

/// Logs when a broker that did not answer answers again: the worker reports failures only.
async fn log_return_of(broker: Arc<dyn Broker>, repeats: Arc<Repeats>) {
    loop {
        sleep(start::PROBE_INTERVAL).await;
        if repeats.broker_is_unavailable() && broker.ping().await.is_ok() {
            start::log_return(&repeats);
        }
    }
}
