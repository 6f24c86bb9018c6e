//! `taskseal result`: the opened result of a task.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use serde_json::json;
use taskseal::broker::{TaskInfo, TaskState};
use taskseal::result::TaskResult;
use taskseal::time::UnixMillis;
use taskseal::{Client, QueueName};
use taskseal_core::TaskId;
use tokio::time::{Instant, sleep};

use super::session::Session;
use super::{moment, seal, show};
use crate::cli::Global;
use crate::ui::{Failure, Ui};

/// Verify and print the result of a task
///
/// The result is opened only if a worker of the keyset sealed it as the answer to this very task. Exits with 3 if what
/// the queue holds is anything else, and with 4 if there is no result (yet).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal result 0193a5b0-0000-7000-8000-000000000001 --wait 30s")]
pub(crate) struct Args {
    /// The id of the task
    id: String,
    /// The queue it went to [default: all queues are looked through]
    #[arg(long)]
    queue: Option<QueueName>,
    /// Wait this long for the task to end
    #[arg(long, value_name = "DURATION", value_parser = moment::duration)]
    wait: Option<Duration>,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let id = seal::task_id(Some(&args.id))?;
    let session = Session::reach(global)?;
    let client = Client::open_on(&session.config, session.broker.clone())
        .map_err(|error| session.failed_setup(error))?;
    let result = session.runtime.block_on(async {
        let queue = locate(&session, args.queue.as_ref(), id).await?;
        wait(&session, &client, &queue, id, args.wait.unwrap_or_default()).await
    })?;
    print(&result, ui)
}

/// The queue that has the task.
async fn locate(session: &Session, named: Option<&QueueName>, id: TaskId) -> Result<QueueName, Failure> {
    for queue in session.queues_or(named).await? {
        if find(session, &queue, id).await?.is_some() {
            return Ok(queue);
        }
    }
    Err(Failure::not_found(format!("no task {id}"))
        .hint("it was never enqueued here, or its retention is over; `taskseal task ls` lists what is there"))
}

async fn find(session: &Session, queue: &QueueName, id: TaskId) -> Result<Option<TaskInfo>, Failure> {
    let found = session.broker.find(queue, &id.to_string()).await;
    found.map_err(|error| session.failed_broker(&error))
}

async fn wait(
    session: &Session,
    client: &Client,
    queue: &QueueName,
    id: TaskId,
    patience: Duration,
) -> Result<TaskResult, Failure> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(20);
    let mut looked_again = false;
    loop {
        let receipt = client.receipt(queue, id).await.map_err(|error| session.failed_client(&error))?;
        if let Some(receipt) = receipt {
            let result = client.result(&receipt).await.map_err(|error| session.failed_client(&error))?;
            if let Some(result) = result {
                return Ok(result);
            }
        }
        let found = find(session, queue, id).await?;
        let ended = match &found {
            // The end may have come between the two looks at the queue; then the next one shows the result.
            Some(info) if info.state == TaskState::Completed && info.result.is_some() && !looked_again => {
                looked_again = true;
                continue;
            }
            Some(info) => matches!(info.state, TaskState::Archived | TaskState::Completed),
            None => true,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if ended || left.is_zero() {
            return Err(none(queue, id, found.as_ref(), patience));
        }
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Why there is no result, in the words of the queue.
fn none(queue: &QueueName, id: TaskId, found: Option<&TaskInfo>, patience: Duration) -> Failure {
    let Some(info) = found else {
        return Failure::not_found(format!("task {id} is gone from queue {queue}"))
            .hint("it succeeded and is not kept, or somebody deleted it: set a retention to keep results");
    };
    let failure = Failure::not_found(format!("task {id} has no result"));
    let state = info.state.as_str();
    let longer = if patience.is_zero() { "use --wait" } else { "wait longer" };
    let at = info.at.map(moment::show).unwrap_or_default();
    failure.hint(match info.state {
        TaskState::Pending => format!("queue {queue} says it is {state}: run `taskseal worker`, or {longer}"),
        TaskState::Active => format!("queue {queue} says it is {state}: a worker runs it; {longer}"),
        TaskState::Scheduled | TaskState::Retry => format!("queue {queue} says it is {state}, due {at}"),
        TaskState::Archived => {
            format!("queue {queue} says it is {state} since {at}; see `taskseal quarantine ls` and the worker's log")
        }
        _ => format!("queue {queue} says it is {state}"),
    })
}

fn print(result: &TaskResult, ui: &Ui) -> Result<(), Failure> {
    if !ui.json() {
        ui.note(&format!("verified: result of {} by {}", result.id, result.worker));
        return show::body(&result.body, ui);
    }
    let sealed_at = UnixMillis::from_secs(i64::try_from(result.sealed_at).unwrap_or(i64::MAX));
    let body = match std::str::from_utf8(&result.body) {
        Ok(text) => ("body", json!(text)),
        Err(_) => ("body_base64", json!(Base64::encode_string(&result.body))),
    };
    ui.object([
        ("id", json!(result.id.to_string())),
        ("worker", json!(result.worker)),
        ("sealed_at", json!(moment::show(sealed_at))),
        ("content_type", json!(result.content_type)),
        body,
    ])
}
