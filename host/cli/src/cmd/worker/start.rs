//! What a worker checks between opening its files and reporting that it is ready.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use taskseal::broker::{Broker, BrokerError, Eviction};
use taskseal::config::{Config, SetupError};
use taskseal::escape::Escaped;
use taskseal::fleet::{self, Difference, Subject};
use taskseal::handler::Handlers;
use taskseal::replay::{Ledger, SqliteLedger};
use taskseal::telemetry::WORKER_TARGET;
use tokio::time::sleep;

use crate::cmd::check;
use crate::failure::Failure;
use crate::output::json::hex;
use crate::output::log::Repeats;
use crate::session::Session;

/// How often a broker that does not answer is called again.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// How long the service manager waits for the next attempt, in microseconds. A call of the broker ends before.
const START_TIMEOUT_MICROS: u32 = 60_000_000;

/// Checks once whether the broker answers and can be written, and logs whether it deletes tasks. A full broker counts as ready: the
/// worker empties it.
pub(super) async fn check_broker(broker: &dyn Broker, repeats: &Repeats) -> Result<(), BrokerError> {
    match broker.health().await {
        Ok(eviction) => {
            log_return(repeats);
            log_eviction(&eviction);
            Ok(())
        }
        Err(error @ BrokerError::Full(_)) => {
            log_failure(&error);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Checks the broker at intervals, and returns when it answers and can be written.
pub(super) async fn wait_for_broker(broker: Arc<dyn Broker>, repeats: Arc<Repeats>) {
    loop {
        // The service manager waits as long as the worker does. Without one the call has no effect.
        let _ = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(START_TIMEOUT_MICROS)]);
        sleep(PROBE_INTERVAL).await;
        match check_broker(&*broker, &repeats).await {
            Ok(()) => return,
            Err(error) => log_failure(&error),
        }
    }
}

pub(super) fn log_failure(error: &BrokerError) {
    let (doing, transient) = ("write to the queue", error.is_transient());
    tracing::warn!(
        target: WORKER_TARGET, event = "broker-failed", doing, %error, transient, "cannot {doing}: {error}"
    );
}

/// Logs that the broker answers again, if a failure was logged.
pub(super) fn log_return(repeats: &Repeats) {
    if repeats.broker_is_unavailable() {
        repeats.mark_broker_available();
        tracing::warn!(target: WORKER_TARGET, event = "broker-back", "the queue answers again");
    }
}

fn log_eviction(eviction: &Eviction) {
    match eviction {
        Eviction::Policy(policy) => tracing::warn!(
            target: WORKER_TARGET, event = "broker-evicts", policy,
            "Redis deletes tasks when its memory is full (maxmemory-policy {policy}): set it to noeviction"
        ),
        Eviction::Unknown(reason) => tracing::info!(
            target: WORKER_TARGET, event = "eviction-unknown", reason,
            "cannot find out whether Redis deletes tasks when its memory is full: {reason}"
        ),
        _ => {}
    }
}

/// Warns of what the worker can start without: programs that cannot be started, whose tasks are put off until they can, and
/// results that clients will refuse.
pub(super) fn warn_of_faults(config: &Config) {
    for (task_type, error) in Handlers::missing_programs(config) {
        tracing::warn!(
            target: WORKER_TARGET, event = "program-missing", task_type, %error,
            "the program for tasks of type {task_type} cannot be started: {error}"
        );
    }
    if let Some(reason) = check::refused_results(config) {
        tracing::warn!(
            target: WORKER_TARGET, event = "results-refused", reason, "clients will refuse the results: {reason}"
        );
    }
}

/// Refuses to start a worker that differs from the processes that run, if `[fleet]` says so. A broker that does not answer cannot be
/// asked: the worker logs the differences when it does.
pub(super) fn refuse_difference(session: &Session) -> Result<(), Failure> {
    if !session.config.fleet.refuse {
        return Ok(());
    }
    let differences = fleet::differences_of_a_new_worker(&session.config, &*session.broker);
    let differences = match session.block_on(differences) {
        Err(SetupError::Broker(error)) => {
            log_failure(&error);
            return Ok(());
        }
        result => result.map_err(|error| session.setup_failure(error))?,
    };
    // A process that lags behind does not count: this worker has what the others are to get.
    let blocking = differences.iter().find(|found| !matches!(found.subject, Subject::OlderKeyset { .. }));
    match blocking {
        None => Ok(()),
        Some(Difference { process, subject }) => {
            let process = Escaped::new(process);
            Err(Failure::new(format!("this worker differs from {process}: {subject}")).hint(
                "bring both to the same keyset and policy, or set `on_difference = \"report\"` in [fleet]",
            ))
        }
    }
}

/// Warns if the file of the ledger was empty: its records are lost.
pub(super) fn warn_if_new(session: &Session, ledger: &SqliteLedger) -> Result<(), Failure> {
    if !ledger.is_new() {
        return Ok(());
    }
    let stats = ledger.stats().map_err(|error| session.setup_failure(SetupError::State(error)))?;
    let (file, id) = (session.config.state_dir.join("ledger.db").display().to_string(), hex(&stats.id));
    tracing::warn!(
        target: WORKER_TARGET, event = "ledger-new", id, file,
        "the ledger was empty: {file} records no task that ran before ({id}); tasks that were issued before \
         or in the next five minutes are refused"
    );
    Ok(())
}
