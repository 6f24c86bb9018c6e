//! `taskseal worker`: runs the configured programs on what the queues hand out, until it is told to stop.

mod log;
mod metrics;
mod notify;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use serde_json::{Map, Value, json};
use taskseal::Worker;
use taskseal::file_error::FileError;
use taskseal::replay::{Ledger, SqliteLedger};
use taskseal::setup::{self, SetupError};
use taskseal::worker::Tally;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use self::log::Log;
use self::metrics::Metrics;
use self::notify::Notifier;
use super::session::Session;
use super::show;
use crate::cli::Global;
use crate::ui::{Failure, Ui};

/// Run the tasks of the configured queues
///
/// Verifies every task and runs it with the program that [[handler]] names for its type. SIGTERM and SIGINT drain:
/// nothing more is taken, what runs may end within `drain`, the rest is given back. A second signal stops at once. What
/// happens is told on standard error, with --json as JSON lines; with --json the final counts are printed on standard
/// output. Under systemd use Type=notify; WatchdogSec is honoured.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal worker --once")]
pub(crate) struct Args {
    /// End once the queues have nothing to hand out; what was refused or failed is counted, and is no failure of the
    /// worker. Exits with 5 if a queue gives no answer for 30 seconds
    #[arg(long)]
    once: bool,
    /// Write counts, and the health of tokens, into this file every ten seconds, in the text format of Prometheus
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let session = Session::open(global)?;
    let config = &session.config;
    let handlers = setup::handlers(config).map_err(Failure::config)?;
    if handlers.is_empty() {
        let fault = FileError::new(&config.file, "no [[handler]] section: this host can run nothing");
        return Err(Failure::config(fault.hint("add one with `type` and `program`")));
    }
    if let Some(file) = &args.metrics {
        metrics::begin(file)?;
    }
    if args.once {
        // A worker that stays waits for its queue to come back; one that is to end says so now.
        session.answers()?;
    }
    let ledger = setup::ledger(config).map_err(|error| session.failed_setup(error))?;
    let log = Log::start(*ui);
    log.watch_tokens();
    tell_if_new(&session, &ledger, &log)?;
    let patterns = handlers.patterns();
    let worker = Worker::open_on(config, handlers, session.broker.clone(), ledger)
        .map_err(|error| session.failed_setup(error))?
        .observed_by(log.observer());
    let queues: Vec<_> =
        config.worker.iter().flat_map(|worker| &worker.queues).map(|queue| queue.name.to_string()).collect();
    let queues = queues.join(" ");
    log.tell(
        "ready",
        format!("ready: queues {queues}; types {patterns}"),
        vec![("queues", json!(queues)), ("types", json!(patterns))],
    );
    let metrics =
        args.metrics.clone().map(|file| Metrics::start(file, worker.counters(), &session.runtime, *ui));
    let done = session.runtime.block_on(serve(&session, worker, args.once, &log));
    if let Some(metrics) = metrics {
        metrics.end(&session.runtime);
    }
    let Session { runtime, .. } = session;
    let Some(tally) = done? else {
        // Dropping the tasks kills the programs they run; their leases run out and others take over.
        runtime.shutdown_timeout(Duration::from_secs(1));
        return Err(Failure::new("stopped before it had drained")
            .hint("what was running is run again once its lease has run out"));
    };
    log.end();
    print(&tally, ui)?;
    if tally.gave_up > 0 {
        return Err(Failure::unavailable("not every queue answered")
            .hint("what the queue refuses, and why, is said above; `taskseal queue ls` asks again"));
    }
    Ok(())
}

fn tell_if_new(session: &Session, ledger: &SqliteLedger, log: &Log) -> Result<(), Failure> {
    if !ledger.is_new() {
        return Ok(());
    }
    let stats = ledger.stats().map_err(|error| session.failed_setup(SetupError::State(error)))?;
    let (file, id) = (session.config.ledger_file(), show::hex(&stats.id));
    let text = format!(
        "the ledger is new: {} knows of no task that ran before ({id}); if this worker has run before, what it ran \
         may be run again",
        file.display()
    );
    log.warn("ledger-new", text, vec![("id", json!(id)), ("file", json!(file.to_string_lossy()))]);
    Ok(())
}

/// Serves until everything is done or a signal says so; `None` if a second signal cut the drain short.
async fn serve(session: &Session, worker: Worker, once: bool, log: &Log) -> Result<Option<Tally>, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("signals cannot be caught: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let notifier = Notifier::from_environment();
    let mut watchdog = tokio::time::interval(notifier.beat());
    let probe = tokio::spawn(log.watch(session.broker.clone()));
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    let mut work = pin!(work(worker, once, async {
        let _ = stopped.await;
    }));
    notifier.send("READY=1");
    let tally = loop {
        tokio::select! {
            tally = &mut work => break Some(tally),
            _ = watchdog.tick() => {
                notifier.send_watchdog();
                continue;
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The first signal takes the sender, which starts the drain; the second finds none.
        let Some(stop) = stop.take() else { break None };
        drop(stop);
        notifier.send("STOPPING=1");
        log.tell("draining", "draining: a second signal stops at once".to_owned(), Vec::new());
    };
    probe.abort();
    let _ = probe.await;
    Ok(tally)
}

async fn work(worker: Worker, once: bool, shutdown: impl Future<Output = ()>) -> Tally {
    if once { worker.run_once_or_until(shutdown).await } else { worker.run_until(shutdown).await }
}

fn print(tally: &Tally, ui: &Ui) -> Result<(), Failure> {
    let refused: Map<String, Value> =
        tally.refused.iter().map(|(refusal, count)| (refusal.code().to_owned(), json!(count))).collect();
    let counts = [
        ("started", tally.started),
        ("succeeded", tally.succeeded),
        ("settled_again", tally.settled_again),
        ("retried", tally.retried),
        ("archived", tally.archived),
        ("given_back", tally.given_back),
        ("lease_lost", tally.lease_lost),
        ("dropped", tally.dropped),
        ("recovered", tally.recovered),
        ("poisonous", tally.poisonous),
        ("broker_failures", tally.broker_failures),
        ("state_failures", tally.state_failures),
        ("key_unavailable", tally.key_unavailable),
        ("gave_up", tally.gave_up),
    ];
    if ui.json() {
        let counts = counts.into_iter().map(|(name, count)| (name, json!(count)));
        return ui.object(counts.chain([("refused", Value::Object(refused))]));
    }
    let mut shown: Vec<String> = vec![format!("{} succeeded", tally.succeeded)];
    let rest =
        counts.into_iter().filter(|(name, count)| *count > 0 && !matches!(*name, "started" | "succeeded"));
    shown.extend(rest.map(|(name, count)| format!("{count} {}", name.replace('_', " "))));
    if tally.refused_total() > 0 {
        let reasons: Vec<_> =
            tally.refused.iter().map(|(refusal, count)| format!("{count} {}", refusal.code())).collect();
        shown.push(format!("{} refused ({})", tally.refused_total(), reasons.join(", ")));
    }
    ui.note(&format!("done: {}", shown.join(", ")));
    Ok(())
}
