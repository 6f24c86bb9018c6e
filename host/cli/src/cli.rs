//! The grammar of the command line. Each command defines its own arguments in its file.

mod usage;

use std::ffi::OsString;
use std::io::ErrorKind as IoErrorKind;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::cmd::Command;
use crate::global::Global;
use crate::ui::Ui;

/// Task queues whose broker need not be trusted.
#[derive(Debug, Parser)]
#[command(name = "taskseal", version, after_help = EXAMPLE)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLE: &str = "Example:
  taskseal init demo && cd demo
  taskseal enqueue --queue default --type file:digest --payload sample.txt
  taskseal worker --once
  taskseal result ID";

/// Parses the arguments. The error is the exit code after help, version or a usage error was printed.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Err(broken) if broken.kind() != IoErrorKind::BrokenPipe => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        },
        _ => Ui::new(wants_json(std::env::args_os()), false).fail(&usage::failure(&error)),
    })
}

/// Returns whether the arguments have `--json`, for arguments that do not parse.
fn wants_json(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.any(|argument| argument == "--json")
}

/// Returns the grammar with all commands, for shell completions.
pub(crate) fn grammar() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_is_consistent() {
        grammar().debug_assert();
    }

    #[test]
    fn help_of_every_command_ends_with_an_example() {
        for command in grammar().get_subcommands() {
            let help = command.get_after_help().unwrap_or_else(|| panic!("{}", command.get_name()));
            let help = help.to_string().replacen("Examples:", "Example:", 1);
            assert!(help.starts_with("Example:\n  taskseal "), "{}", command.get_name());
        }
    }
}
