//! `taskseal queue`: what is in the queues.

use serde_json::json;
use taskseal::QueueName;
use taskseal::broker::QueueStats;

use crate::failure::Failure;
use crate::global::Global;
use crate::output::json::Member;
use crate::output::text;
use crate::session::Session;
use crate::ui::Ui;

/// Show the queues
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
    let session = Session::connect(global)?;
    match args.command {
        Command::Ls => session.runtime.block_on(ls(&session, ui)),
    }
}

async fn ls(session: &Session, ui: &Ui) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for queue in session.queues().await? {
        let stats = session.broker.stats(&queue).await.map_err(|error| session.broker_failure(&error))?;
        if ui.json() {
            ui.object(members(&queue, &stats))?;
        } else {
            rows.push(row(&queue, &stats));
        }
    }
    if ui.json() {
        return Ok(());
    }
    ui.text(&text::table(HEAD, &rows))
}

const HEAD: [&str; 10] = [
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

fn row(queue: &QueueName, stats: &QueueStats) -> [String; 10] {
    [
        queue.to_string(),
        stats.pending.to_string(),
        stats.active.to_string(),
        stats.scheduled.to_string(),
        stats.retry.to_string(),
        stats.archived.to_string(),
        stats.completed.to_string(),
        stats.failed.to_string(),
        if stats.paused { "paused" } else { "running" }.to_owned(),
        oldest_pending_seconds(stats).map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s")),
    ]
}

fn members(queue: &QueueName, stats: &QueueStats) -> Vec<Member> {
    vec![
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
        ("oldest_pending_seconds", json!(oldest_pending_seconds(stats))),
    ]
}

fn oldest_pending_seconds(stats: &QueueStats) -> Option<f64> {
    stats.oldest_pending.map(|waited| waited.as_secs_f64())
}
