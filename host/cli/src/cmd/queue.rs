//! `taskseal queue`: lists queues, pauses them and resumes them.

use serde_json::json;
use taskseal::QueueName;

use super::session::Session;
use super::show;
use crate::cli::Global;
use crate::ui::{Failure, Ui};

/// List, pause and resume queues
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
    /// Stop workers from taking tasks of a queue; running tasks finish and new ones are stored
    #[command(after_help = "Example:\n  taskseal queue pause default")]
    Pause(Named),
    /// Let workers take tasks of a paused queue again
    #[command(after_help = "Example:\n  taskseal queue resume default")]
    Resume(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The queue
    #[arg(value_name = "NAME")]
    queue: QueueName,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let session = Session::reach(global)?;
    match &args.command {
        Command::Ls => ls(&session, ui),
        Command::Pause(named) => set_paused(&session, &named.queue, true, ui),
        Command::Resume(named) => set_paused(&session, &named.queue, false, ui),
    }
}

fn set_paused(session: &Session, queue: &QueueName, paused: bool, ui: &Ui) -> Result<(), Failure> {
    if !session.runtime.block_on(session.queues())?.contains(queue) {
        return Err(Failure::not_found(format!("queue {queue} not found"))
            .hint("`taskseal queue ls` lists the queues"));
    }
    let changed = session.runtime.block_on(session.broker.set_paused(queue, paused));
    let changed = changed.map_err(|error| session.failed_broker(&error))?;
    if ui.json() {
        return ui.object([
            ("queue", json!(queue.as_str())),
            ("paused", json!(paused)),
            ("changed", json!(changed)),
        ]);
    }
    let already = if changed { "" } else { " already" };
    ui.text(&format!("queue {queue} is{already} {}\n", word(paused)))
}

fn ls(session: &Session, ui: &Ui) -> Result<(), Failure> {
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
            word(stats.paused).to_owned(),
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

/// Returns the word for the state of a queue.
const fn word(paused: bool) -> &'static str {
    if paused { "paused" } else { "running" }
}
