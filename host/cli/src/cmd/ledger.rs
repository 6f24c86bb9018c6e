//! `taskseal ledger`: creates the replay ledger, the first one or the one that replaces a lost one, and corrects its time.

use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::json;
use taskseal::audit::{LedgerChange, OperatorAction};
use taskseal::config::{Config, SetupError};
use taskseal::quarantine::StateError;

use crate::failure::Failure;
use crate::global::Global;
use crate::project;
use crate::session::setup_failure;
use crate::trail::Trail;
use crate::ui::Ui;

/// Create the replay ledger of this host, or correct its time
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal ledger init")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create the ledger, the first one or one that replaces a lost one
    ///
    /// Tasks that were issued before are refused with the code `replayed`, because a lost ledger may have recorded them.
    /// `taskseal init` creates the ledger of a new project.
    #[command(after_help = "Example:\n  taskseal ledger init")]
    Init(Init),
    /// Accept the clock of this host although the ledger has recorded a later time
    ///
    /// For a clock that was ahead and is right now. Tasks that have run are refused as before.
    #[command(after_help = "Example:\n  taskseal ledger accept-clock")]
    AcceptClock,
}

#[derive(Debug, clap::Args)]
struct Init {
    /// Also run tasks that were issued before. Those that have run, and have not expired, can then run again
    #[arg(long)]
    accept_older: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = project::config(global)?;
    match args.command {
        Command::Init(Init { accept_older }) => init(&config, accept_older, ui),
        Command::AcceptClock => {
            let trail = Trail::open(&config, ui)?;
            let action = trail.begin(OperatorAction::Ledger { change: LedgerChange::AcceptClock })?;
            action.end(config.accept_clock().map_err(|error| setup_failure(&config, error)))?;
            if ui.json() {
                return ui.object(vec![("accepted", json!(true))]);
            }
            ui.note("the ledger accepts the clock of this host");
            Ok(())
        }
    }
}

fn init(config: &Config, accept_older: bool, ui: &Ui) -> Result<(), Failure> {
    let trail = Trail::open(config, ui)?;
    let action = trail.begin(OperatorAction::Ledger { change: LedgerChange::Init(accept_older) })?;
    let created = config.create_ledger(accept_older).map_err(|error| match error {
        SetupError::State(StateError::Exists { .. }) => Failure::new(error.to_string())
            .hint("to replace it, for example because it is damaged, stop the workers and move it away"),
        other => setup_failure(config, other),
    });
    action.end(created)?;
    if !accept_older {
        wait_for_next_second();
    }
    let file = config.state_dir.join("ledger.db").display().to_string();
    if ui.json() {
        ui.object(vec![("file", json!(file)), ("accepts_older", json!(accept_older))])?;
    } else {
        let older = if accept_older { "accepts" } else { "refuses" };
        ui.note(&format!("created the ledger {file}; it {older} tasks that were issued before"));
    }
    note_skew(config, accept_older, ui);
    Ok(())
}

/// Prints how long a task may be refused whose producer has a clock that is behind by as much as the policy accepts.
fn note_skew(config: &Config, accept_older: bool, ui: &Ui) {
    let skew = config.policy.skew.as_secs();
    if !accept_older && skew > 0 {
        ui.note(&format!(
            "wait {skew} s before producers enqueue: a task of one whose clock is behind counts as issued before"
        ));
    }
}

/// Waits until the second in which the ledger was created is over. Envelopes state whole seconds, so that a task sealed in
/// the same second would be refused.
fn wait_for_next_second() {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    thread::sleep(Duration::from_secs(1).saturating_sub(Duration::from_nanos(since.subsec_nanos().into())));
}
