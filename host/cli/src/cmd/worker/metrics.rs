//! The worker's counts in a file, in the text format of Prometheus: for a collector that reads files, as that of
//! node_exporter does. Nobody can connect to the worker for them.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use taskseal::file_error::FileError;
use taskseal::file_security;
use taskseal::keys::pkcs11;
use taskseal::worker::{Counters, Tally};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::ui::{Failure, Ui};

/// How often it is written.
const INTERVAL: Duration = Duration::from_secs(10);

/// A file that is kept up to date.
pub(super) struct Metrics {
    file: PathBuf,
    counters: Arc<Counters>,
    ui: Ui,
    writing: JoinHandle<()>,
}

/// Writes the counts of a worker that has done nothing. Later the file may be out of reach for a while, but one that cannot be
/// written at all is named wrongly, and nobody would look at the counts in vain.
///
/// # Errors
/// Exit code 2.
pub(super) fn begin(file: &Path) -> Result<(), Failure> {
    replace(file, &of_worker(&Tally::default())).map_err(|error| {
        let fault = FileError::io(file, "metrics cannot be written", &error);
        Failure::config(fault.hint("--metrics names a file in a folder that is there and can be written to"))
    })
}

impl Metrics {
    pub(super) fn start(file: PathBuf, counters: Arc<Counters>, runtime: &Runtime, ui: Ui) -> Self {
        let (path, counts) = (file.clone(), Arc::clone(&counters));
        let writing = runtime.spawn(async move {
            let mut interval = tokio::time::interval(INTERVAL);
            let mut told = false;
            loop {
                interval.tick().await;
                told = write(&path, &counts, ui, told);
            }
        });
        Self { file, counters, ui, writing }
    }

    /// Writes the last counts.
    pub(super) fn end(self, runtime: &Runtime) {
        self.writing.abort();
        // A write that has begun ends first: two of them would be in each other's way.
        let _ = runtime.block_on(self.writing);
        write(&self.file, &self.counters, self.ui, false);
    }
}

/// Answers whether it failed; that is told once.
fn write(file: &Path, counters: &Counters, ui: Ui, told: bool) -> bool {
    let text = format!("{}{}", of_worker(&counters.tally()), pkcs11::metrics());
    match replace(file, &text) {
        Ok(()) => false,
        Err(error) => {
            if !told {
                ui.warn(&format!("metrics cannot be written to {}: {error}", file.display()));
            }
            true
        }
    }
}

/// Atomically, so that a collector never reads a part of it. The collector may run as another user.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    file_security::replace(file, text.as_bytes(), 0o666)
}

fn of_worker(tally: &Tally) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "# HELP taskseal_tasks_total Tasks by what became of them.\n# TYPE taskseal_tasks_total counter"
    );
    for (outcome, count) in [
        ("succeeded", tally.succeeded),
        ("retried", tally.retried),
        ("archived", tally.archived),
        ("given_back", tally.given_back),
        ("settled_again", tally.settled_again),
    ] {
        let _ = writeln!(text, "taskseal_tasks_total{{outcome=\"{outcome}\"}} {count}");
    }
    let _ = writeln!(
        text,
        "# HELP taskseal_refused_total Tasks refused, by code.\n# TYPE taskseal_refused_total counter"
    );
    for (refusal, count) in &tally.refused {
        let _ = writeln!(text, "taskseal_refused_total{{reason=\"{}\"}} {count}", refusal.code());
    }
    for (name, help, count) in [
        ("taskseal_attempts_total", "Attempts begun.", tally.started),
        ("taskseal_lease_lost_total", "Leases lost.", tally.lease_lost),
        ("taskseal_recovered_total", "Tasks of lost workers brought back.", tally.recovered),
        ("taskseal_poisonous_total", "Tasks archived because they took workers down.", tally.poisonous),
        ("taskseal_broker_failures_total", "Calls that the broker failed.", tally.broker_failures),
        ("taskseal_state_failures_total", "Calls that ledger or quarantine failed.", tally.state_failures),
        (
            "taskseal_key_unavailable_total",
            "Times a key in a token could not be used.",
            tally.key_unavailable,
        ),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}");
    }
    let (name, waiting) = ("taskseal_results_waiting", tally.results_waiting);
    let _ = writeln!(
        text,
        "# HELP {name} Tasks that have run and whose results wait for their key.\n# TYPE {name} gauge\n{name} {waiting}"
    );
    text
}
