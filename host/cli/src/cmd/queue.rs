//! `taskseal queue`: creates the queue file, lists queues, pauses, resumes and deletes them.

use serde_json::json;
use taskseal::QueueName;
use taskseal::audit::{OperatorAction, QueueChange};
use taskseal::broker::{QueueDeletion, QueueStats};
use taskseal::config::BrokerConfig;

use crate::failure::Failure;
use crate::global::Global;
use crate::output::json::Member;
use crate::output::text;
use crate::project;
use crate::session::{Session, setup_failure};
use crate::trail::Trail;
use crate::ui::Ui;

/// Create the queue file; list, pause, resume and delete queues
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal queue ls --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create the queue file and its folder: those of a new host, or those that replace lost ones
    ///
    /// `taskseal init` creates the queue file of a new project. A Redis server needs no such step.
    #[command(after_help = "Example:\n  taskseal queue init")]
    Init,
    /// List every queue with its counts
    ///
    /// FAILED counts attempts that failed, TRIMMED tasks that the limits of the archive deleted. The others count the tasks
    /// that the queue has now. OLDEST is how long the oldest pending task has waited.
    #[command(after_help = "Example:\n  taskseal queue ls --json")]
    Ls,
    /// Stop workers from taking tasks of a queue; running tasks finish and new ones are stored
    #[command(after_help = "Example:\n  taskseal queue pause default")]
    Pause(Named),
    /// Delete a queue that no worker holds a task of
    #[command(after_help = "Example:\n  taskseal queue delete old --with-tasks")]
    Delete(Delete),
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

#[derive(Debug, clap::Args)]
struct Delete {
    /// The queue
    #[arg(value_name = "NAME")]
    queue: QueueName,
    /// Delete its tasks as well
    #[arg(long)]
    with_tasks: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    if matches!(args.command, Command::Init) {
        return init(global, ui);
    }
    let session = Session::connect(global)?;
    match &args.command {
        Command::Init => Ok(()),
        Command::Ls => session.block_on(ls(&session, ui)),
        Command::Delete(args) => session.block_on(delete(&session, args, ui)),
        Command::Pause(named) => session.block_on(set_paused(&session, &named.queue, true, ui)),
        Command::Resume(named) => session.block_on(set_paused(&session, &named.queue, false, ui)),
    }
}

fn init(global: &Global, ui: &Ui) -> Result<(), Failure> {
    let config = project::config(global)?;
    let trail = Trail::open(&config, ui)?;
    let action = trail.begin(OperatorAction::Queue { change: QueueChange::Init, queue: None })?;
    action.end(config.create_queue().map_err(|error| setup_failure(&config, error)))?;
    let BrokerConfig::Sqlite(file) = &config.broker else { return Ok(()) };
    let file = file.display().to_string();
    if ui.json() {
        return ui.object(vec![("file", json!(file))]);
    }
    ui.note(&format!("created the queue file {file}"));
    Ok(())
}

async fn set_paused(session: &Session, queue: &QueueName, paused: bool, ui: &Ui) -> Result<(), Failure> {
    if !session.queues().await?.contains(queue) {
        return Err(Failure::not_found(format!("queue {queue} not found"))
            .hint("`taskseal queue ls` lists the queues"));
    }
    let change = if paused { QueueChange::Pause } else { QueueChange::Resume };
    let trail = Trail::open(&session.config, ui)?;
    let action = trail.begin(audited(change, queue))?;
    let changed = session.broker.set_paused(queue, paused).await;
    let changed = action.end(changed.map_err(|error| session.broker_failure(&error)))?;
    if ui.json() {
        return ui.object(vec![
            ("queue", json!(queue.as_str())),
            ("paused", json!(paused)),
            ("changed", json!(changed)),
        ]);
    }
    let already = if changed { "" } else { " already" };
    ui.text(&format!("queue {queue} is{already} {}\n", state(paused)))
}

async fn delete(session: &Session, args: &Delete, ui: &Ui) -> Result<(), Failure> {
    let queue = &args.queue;
    let known = session.broker.queues().await.map_err(|error| session.broker_failure(&error))?;
    if !known.contains(queue) {
        return Err(Failure::not_found(format!("queue {queue} not found"))
            .hint("`taskseal queue ls` lists the queues"));
    }
    let trail = Trail::open(&session.config, ui)?;
    let action = trail.begin(audited(QueueChange::Delete, queue))?;
    let deletion = session.broker.delete_queue(queue, args.with_tasks).await;
    let deletion = deletion.map_err(|error| session.broker_failure(&error));
    action.end(deletion.and_then(|deletion| refuse(queue, deletion)))?;
    if ui.json() {
        return ui.object(vec![("queue", json!(queue.as_str())), ("deleted", json!(true))]);
    }
    ui.text(&format!("queue {queue} is deleted\n"))
}

/// Returns the action for the audit log.
fn audited(change: QueueChange, queue: &QueueName) -> OperatorAction {
    OperatorAction::Queue { change, queue: Some(queue.as_str().to_owned()) }
}

/// Returns the failure of a queue that was not deleted.
fn refuse(queue: &QueueName, deletion: QueueDeletion) -> Result<(), Failure> {
    match deletion {
        QueueDeletion::Active(count) => {
            Err(Failure::new(format!("workers hold {count} tasks of queue {queue}"))
                .hint(format!("`taskseal queue pause {queue}` keeps workers from taking more")))
        }
        QueueDeletion::NotEmpty(count) => Err(Failure::new(format!("queue {queue} has {count} tasks"))
            .hint("--with-tasks deletes them as well")),
        _ => Ok(()),
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

const HEAD: [&str; 12] = [
    "QUEUE",
    "PENDING",
    "ACTIVE",
    "SCHEDULED",
    "RETRY",
    "ARCHIVED",
    "COMPLETED",
    "AGGREGATING",
    "FAILED",
    "TRIMMED",
    "STATE",
    "OLDEST",
];

fn row(queue: &QueueName, stats: &QueueStats) -> [String; 12] {
    [
        queue.to_string(),
        stats.pending.to_string(),
        stats.active.to_string(),
        stats.scheduled.to_string(),
        stats.retry.to_string(),
        stats.archived.to_string(),
        stats.completed.to_string(),
        stats.aggregating.to_string(),
        stats.failed.to_string(),
        stats.trimmed.to_string(),
        state(stats.paused).to_owned(),
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
        ("aggregating", json!(stats.aggregating)),
        ("processed", json!(stats.processed)),
        ("failed", json!(stats.failed)),
        ("trimmed", json!(stats.trimmed)),
        ("paused", json!(stats.paused)),
        ("oldest_pending_seconds", json!(oldest_pending_seconds(stats))),
    ]
}

fn oldest_pending_seconds(stats: &QueueStats) -> Option<f64> {
    stats.oldest_pending.map(|waited| waited.as_secs_f64())
}

/// Returns the word for the state of a queue.
const fn state(paused: bool) -> &'static str {
    if paused { "paused" } else { "running" }
}
