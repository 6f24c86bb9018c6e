//! `taskseal audit`: verifies, signs and prints the audit log.

mod lines;
mod verify;

use std::path::PathBuf;

use serde_json::json;
use taskseal::audit::{AuditSettings, LogFiles};
use taskseal::config::Config;
use taskseal::file_error::FileError;

use crate::failure::Failure;
use crate::global::Global;
use crate::project;
use crate::ui::Ui;

/// Verify and print the audit log
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal audit verify\n  taskseal audit show --since 1d --event refused")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Verify that no line was removed, changed, reordered or added
    ///
    /// Verifies the files that are given, the oldest first, or all files of the configuration. Exits with 3 if something is
    /// wrong.
    #[command(
        after_help = "Example:\n  taskseal audit verify\n  taskseal audit verify --key \"$(cat audit.pub)\" audit.jsonl.000001 audit.jsonl"
    )]
    Verify(verify::Args),
    /// Show lines, the oldest first; they are not verified
    #[command(after_help = "Example:\n  taskseal audit show --since 1d --event refused --json")]
    Show(lines::Args),
    /// Sign a checkpoint now if there are new lines
    #[command(after_help = "Example:\n  taskseal audit checkpoint")]
    Checkpoint,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    match &args.command {
        Command::Verify(args) => verify::run(args, global, ui),
        Command::Show(args) => lines::run(args, global, ui),
        Command::Checkpoint => checkpoint(global, ui),
    }
}

fn checkpoint(global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = project::config(global)?;
    if settings(&config)?.key.is_none() {
        let error = FileError::new(&config.file, "no key signs checkpoints of the audit log");
        return Err(Failure::config(error.hint("set `key` in [audit]")));
    }
    let Some(log) = config.open_audit().map_err(Failure::file)? else { return Ok(()) };
    let signed = log.checkpoint(true).map_err(Failure::file)?;
    if ui.json() {
        return ui.object(vec![("signed", json!(signed))]);
    }
    ui.note(if signed { "signed a checkpoint" } else { "no checkpoint was signed: there are no new lines" });
    Ok(())
}

/// Returns the files that are given, or those of the log in the configuration.
fn files(given: &[PathBuf], global: &Global) -> Result<LogFiles, Failure> {
    if !given.is_empty() {
        return Ok(LogFiles::named(given.to_vec()));
    }
    let config = project::config(global)?;
    let log = &settings(&config)?.file;
    let files = LogFiles::of(log).map_err(Failure::file)?;
    if files.paths().is_empty() {
        return Err(Failure::not_found(format!("{}: the audit log does not exist", log.display()))
            .hint("the first worker, or the first command of an operator, creates it"));
    }
    Ok(files)
}

fn settings(config: &Config) -> Result<&AuditSettings, Failure> {
    config.audit.as_ref().ok_or_else(|| {
        let error = FileError::new(&config.file, "no [audit] section: this host has no audit log");
        Failure::config(error.hint("add one, or name the files of a log"))
    })
}
