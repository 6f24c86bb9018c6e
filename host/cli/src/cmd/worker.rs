//! `taskseal worker`: runs the configured programs on the tasks of the queues until it is stopped.

mod serve;
mod start;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use taskseal::Worker;
use taskseal::config::Config;
use taskseal::file_error::FileError;
use taskseal::handler::Handlers;
use taskseal::telemetry::WORKER_TARGET;
use taskseal::time::{UnixMillis, check_release};

use crate::failure::Failure;
use crate::global::Global;
use crate::output::log::Log;
use crate::output::metrics::MetricsFile;
use crate::session::Session;
use crate::ui::Ui;

/// Run the tasks of the configured queues
///
/// Verifies every task and runs it with the program that [[handler]] names for its type. On SIGTERM or SIGINT the worker
/// drains: it takes no more tasks, lets running ones end within `drain`, and gives the rest back. A second signal stops it
/// at once. Events are logged on standard error, with --json as JSON lines; with --json the final counts are printed on
/// standard output. Under systemd use Type=notify; WatchdogSec is supported.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal worker --once")]
pub(crate) struct Args {
    /// End when the queues have no more tasks to run. Refused and failed tasks are counted and do not change the exit
    /// code. Exits with 5 if a queue or the ledger does not answer for 30 seconds
    #[arg(long)]
    once: bool,
    /// Write counters, and the health of tokens, to this file every ten seconds, in the text format of Prometheus
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let log = Log::start(*ui);
    hide_memory()?;
    let session = Session::open(global)?;
    let types = handled_types(&session.config)?;
    let metrics = args.metrics.as_deref().map(MetricsFile::create).transpose()?;
    // Before a connection: with a wrong clock, certificates seem to be invalid.
    check_release(UnixMillis::now()).map_err(|error| session.setup_failure(error.into()))?;
    log_token_events();
    start::refuse_difference(&session)?;
    let worker = open_worker(&session)?;
    let metrics = metrics.map(|file| file.write_at_intervals(&session.runtime));
    let ready = || log_ready(&session.config, &types);
    let result = session.block_on(serve::run(&session, worker, args.once, log.repeats(), &ready));
    if let Some(metrics) = metrics {
        metrics.finish(&session.runtime);
    }
    let Some(tally) = result? else {
        // Dropping the tasks kills the programs they run; other workers take over when the leases expire.
        session.runtime.shutdown_timeout(Duration::from_secs(1));
        return Err(Failure::new("stopped before it had drained")
            .hint("tasks that were running are run again when their leases expire"));
    };
    drop(log);
    summary::print(&tally, ui)?;
    if tally.gave_up > 0 {
        return Err(Failure::unavailable("a queue or the ledger did not answer")
            .hint("see the errors above; `taskseal queue ls` shows whether the queues answer"));
    }
    Ok(())
}

/// Keeps the memory of this process, with keys and bodies, from core files and from other processes of the same user, among them
/// handlers.
fn hide_memory() -> Result<(), Failure> {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .and_then(|()| setrlimit(Resource::Core, no_core))
        .map_err(|error| Failure::new(format!("cannot protect the memory of this process: {error}")))
}

/// Returns the patterns of the task types that have a handler.
fn handled_types(config: &Config) -> Result<String, Failure> {
    let handlers = Handlers::of_programs(config).map_err(Failure::config)?;
    if handlers.is_empty() {
        let error = FileError::new(&config.file, "no [[handler]] section: the worker cannot run any task");
        return Err(Failure::config(error.hint("add one with `type` and `program`")));
    }
    Ok(handlers.patterns())
}

fn open_worker(session: &Session) -> Result<Worker, Failure> {
    let config = &session.config;
    let ledger = config.open_ledger().map_err(|error| session.setup_failure(error))?;
    start::warn_if_new(session, &ledger)?;
    let worker = Worker::builder(config)
        .programs()
        .broker(session.broker.clone())
        .ledger(Arc::new(ledger))
        .build()
        .map_err(|error| session.setup_failure(error))?;
    start::warn_of_faults(config);
    Ok(worker)
}

/// Logs that the worker takes tasks.
fn log_ready(config: &Config, types: &str) {
    let queues = config.worker.iter().flat_map(|worker| &worker.queues);
    let queues = queues.map(|queue| queue.name.to_string()).collect::<Vec<_>>().join(" ");
    tracing::info!(
        target: WORKER_TARGET, event = "ready", queues, types,
        "ready: queues {queues}; types {types}"
    );
}

/// Logs when a token becomes unavailable, recovers, or is given up.
fn log_token_events() {
    taskseal::keys::pkcs11::observe(|token, event| {
        let what = event.to_string();
        tracing::warn!(target: WORKER_TARGET, event = "token", token, what, "{token}: {event}");
    });
}
