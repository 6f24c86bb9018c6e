//! `taskseal quarantine`: what workers refused on this host, why, and what an operator does about it.

mod details;
mod export;
mod ls;
mod prune;
mod release;
mod select;

use taskseal::audit::{OperatorAction, QuarantineChange};
use taskseal::config::{Config, SetupError};
use taskseal::quarantine::{Entry, EntryId, Quarantine, StateError};

use crate::failure::Failure;
use crate::global::Global;
use crate::project;
use crate::session::{Session, setup_failure};
use crate::ui::Ui;

/// Show, release and remove refused tasks
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal quarantine ls --code unknown-key")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List refused tasks, oldest first
    #[command(after_help = "Example:\n  taskseal quarantine ls --code unknown-key")]
    Ls(ls::Args),
    /// Show why one task was refused and what to do about it
    #[command(after_help = "Example:\n  taskseal quarantine show 1")]
    Show(details::Args),
    /// Write the envelope of a refused task, or the bytes that are none, as the worker found them
    #[command(
        after_help = "Example:\n  taskseal quarantine export 1 -o refused.cose && taskseal inspect refused.cose"
    )]
    Export(export::Args),
    /// Put refused tasks into their queues again
    ///
    /// A worker verifies them as at first: correct the cause before. The entry stays until a worker has accepted the task, and the
    /// replay ledger decides whether it runs. Names entries by number, or all that match the filters.
    #[command(
        after_help = "Examples:\n  taskseal quarantine release 1\n  taskseal quarantine release --code key-not-valid --yes"
    )]
    Release(release::Args),
    /// Remove entries for good
    ///
    /// What the queue stores about their tasks stays: see `taskseal task delete`.
    #[command(
        after_help = "Examples:\n  taskseal quarantine prune 1\n  taskseal quarantine prune --older 30d --yes"
    )]
    Prune(prune::Args),
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    if let Command::Release(args) = &args.command {
        let session = Session::connect(global)?;
        return release::run(&session, &Store::open(&session.config)?, args, ui);
    }
    let config = project::config(global)?;
    let store = Store::open(&config)?;
    match &args.command {
        Command::Ls(args) => ls::run(&store, args, ui),
        Command::Show(args) => details::run(&store, args, ui),
        Command::Export(args) => export::run(&store, args, ui),
        Command::Prune(args) => prune::run(&store, args, ui),
        Command::Release(_) => Ok(()),
    }
}

/// The quarantine of a host. Without a file, no worker has refused a task yet.
struct Store<'c> {
    config: &'c Config,
    quarantine: Option<Quarantine>,
}

impl<'c> Store<'c> {
    fn open(config: &'c Config) -> Result<Self, Failure> {
        let quarantine = config.existing_quarantine().map_err(|error| setup_failure(config, error))?;
        Ok(Self { config, quarantine })
    }

    /// Returns the answer of a call, or the default without a quarantine.
    fn call<T: Default>(
        &self,
        call: impl FnOnce(&Quarantine) -> Result<T, StateError>,
    ) -> Result<T, Failure> {
        let answer = self.quarantine.as_ref().map(call).transpose();
        Ok(answer.map_err(|error| setup_failure(self.config, SetupError::State(error)))?.unwrap_or_default())
    }

    /// Returns an entry and its payload.
    fn find(&self, id: EntryId) -> Result<(Entry, Vec<u8>), Failure> {
        self.call(|quarantine| quarantine.find(id))?.ok_or_else(|| not_found(id))
    }
}

/// Returns the action for the audit log.
fn audited(change: QuarantineChange, ids: &[EntryId]) -> OperatorAction {
    OperatorAction::Quarantine { change, entries: ids.iter().map(|id| id.0).collect() }
}

fn not_found(id: EntryId) -> Failure {
    Failure::not_found(format!("entry {} not found", id.0)).hint("`taskseal quarantine ls` lists the entries")
}
