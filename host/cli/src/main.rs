//! The command line of taskseal.
#![forbid(unsafe_code)]

mod cli;
mod cmd;
mod confirmation;
mod entry_args;
mod envelope_fault;
mod failure;
mod file_arg;
mod global;
mod key_stores;
mod key_summary;
mod keyset_entry;
mod output;
mod project;
mod refusal_counts;
mod refusal_hint;
mod runtime;
mod session;
mod task_arg;
mod time_arg;
mod trail;
mod ui;

use std::process::ExitCode;

use crate::ui::Ui;

fn main() -> ExitCode {
    // First: a supervisor of a handler program has other arguments.
    if let Some(code) = taskseal::handler::supervise() {
        return code;
    }
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(exit_code) => return exit_code,
    };
    let ui = Ui::new(cli.global.json, cli.global.quiet);
    let result = cmd::run(cli.command, &cli.global, cli::grammar, &ui);
    taskseal::keys::pkcs11::close();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ui.fail(&failure),
    }
}
