//! `taskseal task`: what the queue stores about tasks, and what an operator does with them. Nothing is verified.

mod change;
mod inspect;
mod ls;
mod select;

use taskseal::broker::Operation;

use crate::failure::Failure;
use crate::global::Global;
use crate::session::Session;
use crate::ui::Ui;

/// Show, run, archive and delete the tasks of a queue
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal task ls --queue default --state archived")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List tasks, the next to run first
    #[command(
        after_help = "Example:\n  taskseal task ls --queue default --state archived --code unknown-key"
    )]
    Ls(ls::Args),
    /// Show what a queue stores under an id, unverified
    #[command(after_help = "Example:\n  taskseal task inspect 0193a5b0-0000-7000-8000-000000000001")]
    Inspect(inspect::Args),
    /// Run tasks now that are archived, scheduled or to be retried
    ///
    /// The worker verifies them again, and the replay ledger decides whether they run: a task that has succeeded, has no
    /// attempt left, or has expired is refused.
    #[command(
        visible_alias = "retry",
        after_help = "Example:\n  taskseal task run --queue default --state archived --code type-not-handled --yes"
    )]
    Run(change::Args),
    /// Keep tasks that wait, and do not run them
    #[command(
        visible_alias = "cancel",
        after_help = "Example:\n  taskseal task archive 0193a5b0-0000-7000-8000-000000000001"
    )]
    Archive(change::Args),
    /// Delete tasks that no worker holds
    #[command(
        after_help = "Example:\n  taskseal task delete --queue default --state archived --older 30d --yes"
    )]
    Delete(change::Args),
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let session = Session::connect(global)?;
    let change = |args, operation| session.block_on(change::run(&session, args, operation, ui));
    match &args.command {
        Command::Ls(args) => session.block_on(ls::run(&session, args, ui)),
        Command::Inspect(args) => session.block_on(inspect::run(&session, args, ui)),
        Command::Run(args) => change(args, Operation::Run),
        Command::Archive(args) => change(args, Operation::Archive),
        Command::Delete(args) => change(args, Operation::Delete),
    }
}
