//! The command line of taskseal.
#![forbid(unsafe_code)]

mod cli;
mod cmd;
mod keys;
mod ui;

use std::process::ExitCode;

use crate::ui::Ui;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(done) => return done,
    };
    let ui = Ui::new(cli.global.json, cli.global.quiet);
    let done = cmd::run(cli.command, &cli.global, &ui);
    taskseal::keys::pkcs11::close();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ui.fail(&failure),
    }
}
