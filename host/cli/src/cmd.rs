//! The commands, one file each.

mod completions;
mod demo;
mod doctor;
mod enqueue;
mod explain;
mod init;
mod input;
mod inspect;
mod keygen;
pub(crate) mod made;
mod moment;
mod open;
mod quarantine;
mod queue;
mod result;
mod seal;
mod session;
mod show;
mod task;
mod token;
mod worker;

use taskseal::ClientSettings;
use taskseal_core::{Audience, Issuer};

use crate::cli::Global;
use crate::ui::{Failure, Ui};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Keygen(Box<keygen::Args>),
    Seal(seal::Args),
    Open(open::Args),
    Inspect(inspect::Args),
    Enqueue(enqueue::Args),
    Worker(worker::Args),
    Result(result::Args),
    Queue(queue::Args),
    Task(task::Args),
    Quarantine(quarantine::Args),
    Token(token::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

/// Does it.
pub(crate) fn run(command: Command, global: &Global, ui: &Ui) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(&args, ui),
        Command::Init(args) => init::run(&args, ui),
        Command::Keygen(args) => keygen::run(&args, ui),
        Command::Seal(args) => seal::run(&args, global, ui),
        Command::Open(args) => open::run(&args, global, ui),
        Command::Inspect(args) => inspect::run(&args, ui),
        Command::Enqueue(args) => enqueue::run(&args, global, ui),
        Command::Worker(args) => worker::run(&args, global, ui),
        Command::Result(args) => result::run(&args, global, ui),
        Command::Queue(args) => queue::run(&args, global, ui),
        Command::Task(args) => task::run(&args, global, ui),
        Command::Quarantine(args) => quarantine::run(&args, global, ui),
        Command::Token(args) => token::run(&args, ui),
        Command::Doctor(args) => doctor::run(&args, ui),
        Command::Completions(args) => completions::run(&args, ui),
    }
}

/// What the configuration made of deployment and queue.
fn audience(text: &str) -> Audience<'_> {
    Audience::new(text).expect("a deployment of up to 63 and a queue of up to 64 characters fit")
}

/// The issuer of the configuration.
fn issuer(client: &ClientSettings) -> Issuer<'_> {
    Issuer::new(&client.issuer).expect("the configuration was checked when it was read")
}
