//! The commands, one file each.

mod audit;
mod check;
mod completions;
mod demo;
mod doctor;
mod enqueue;
mod explain;
mod fleet;
mod init;
mod inspect;
mod key;
mod keygen;
mod keyset;
mod ledger;
mod open;
mod policy;
mod quarantine;
mod queue;
mod result;
mod rollout;
mod seal;
mod task;
mod token;
mod worker;

use crate::failure::Failure;
use crate::global::Global;
use crate::output::log;
use crate::ui::Ui;

/// A command with its arguments.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Keygen(Box<keygen::Args>),
    Key(key::Args),
    Keyset(Box<keyset::Args>),
    Rotate(Box<keyset::rotate::Args>),
    Seal(seal::Args),
    Open(open::Args),
    Inspect(inspect::Args),
    Explain(explain::Args),
    Enqueue(enqueue::Args),
    Worker(worker::Args),
    Result(result::Args),
    Queue(queue::Args),
    Task(task::Args),
    Quarantine(quarantine::Args),
    Fleet(fleet::Args),
    Ledger(ledger::Args),
    Audit(audit::Args),
    Policy(policy::Args),
    Rollout(rollout::Args),
    Token(token::Args),
    Check(check::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

/// Dispatches to the subcommand.
pub(crate) fn run(
    command: Command,
    global: &Global,
    grammar: fn() -> clap::Command,
    ui: &Ui,
) -> Result<(), Failure> {
    // `worker` starts its own log.
    if !matches!(command, Command::Worker(_)) {
        log::show_warnings(*ui);
    }
    match command {
        Command::Demo(args) => demo::run(&args, ui),
        Command::Init(args) => init::run(&args, ui),
        Command::Keygen(args) => keygen::run(&args, global, ui),
        Command::Key(args) => key::run(&args, global, ui),
        Command::Rotate(args) => keyset::rotate::run(&args, global, ui),
        Command::Keyset(args) => keyset::run(&args, global, ui),
        Command::Seal(args) => seal::run(&args, global, ui),
        Command::Open(args) => open::run(&args, global, ui),
        Command::Explain(args) => explain::run(&args, global, ui),
        Command::Inspect(args) => inspect::run(&args, ui),
        Command::Enqueue(args) => enqueue::run(&args, global, ui),
        Command::Worker(args) => worker::run(&args, global, ui),
        Command::Result(args) => result::run(&args, global, ui),
        Command::Queue(args) => queue::run(&args, global, ui),
        Command::Task(args) => task::run(&args, global, ui),
        Command::Quarantine(args) => quarantine::run(&args, global, ui),
        Command::Fleet(args) => fleet::run(&args, global, ui),
        Command::Ledger(args) => ledger::run(&args, global, ui),
        Command::Audit(args) => audit::run(&args, global, ui),
        Command::Policy(args) => policy::run(&args, global, ui),
        Command::Rollout(args) => rollout::run(&args, global, ui),
        Command::Token(args) => token::run(&args, ui),
        Command::Check(args) => check::run(&args, global, ui),
        Command::Doctor(args) => doctor::run(&args, ui),
        Command::Completions(args) => completions::run(&args, grammar(), ui),
    }
}
