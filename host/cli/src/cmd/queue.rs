//! `taskseal queue`: what is in the queues.

use serde_json::json;

use super::session::Session;
use super::show;
use crate::cli::Global;
use crate::ui::{Failure, Ui};

/// Look at queues
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal queue ls --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List every queue with its counts
    #[command(after_help = "Example:\n  taskseal queue ls --json")]
    Ls,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let Command::Ls = args.command;
    let session = Session::reach(global)?;
    let mut rows = Vec::new();
    for queue in session.runtime.block_on(session.queues())? {
        let stats = session.runtime.block_on(session.broker.stats(&queue));
        let stats = stats.map_err(|error| session.failed_broker(&error))?;
        let oldest = stats.oldest_pending.map(|waited| waited.as_secs_f64());
        if ui.json() {
            ui.object([
                ("queue", json!(queue.as_str())),
                ("pending", json!(stats.pending)),
                ("active", json!(stats.active)),
                ("scheduled", json!(stats.scheduled)),
                ("retry", json!(stats.retry)),
                ("archived", json!(stats.archived)),
                ("completed", json!(stats.completed)),
                ("processed", json!(stats.processed)),
                ("failed", json!(stats.failed)),
                ("paused", json!(stats.paused)),
                ("oldest_pending_seconds", json!(oldest)),
            ])?;
            continue;
        }
        rows.push([
            queue.to_string(),
            stats.pending.to_string(),
            stats.active.to_string(),
            stats.scheduled.to_string(),
            stats.retry.to_string(),
            stats.archived.to_string(),
            stats.completed.to_string(),
            stats.failed.to_string(),
            if stats.paused { "paused" } else { "running" }.to_owned(),
            oldest.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s")),
        ]);
    }
    if ui.json() {
        return Ok(());
    }
    let head = [
        "QUEUE",
        "PENDING",
        "ACTIVE",
        "SCHEDULED",
        "RETRY",
        "ARCHIVED",
        "COMPLETED",
        "FAILED",
        "STATE",
        "OLDEST",
    ];
    ui.text(&show::table(head, &rows))
}
