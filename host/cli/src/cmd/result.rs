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

use crate::failure::Failure;
use crate::global::Global;
use crate::output::text;
use crate::session::Session;
use crate::ui::Ui;
use crate::{task_arg, time_arg};

/// Verify and print the result of a task
///
/// Opens only a result that a worker of the keyset sealed as the answer to this task. Exits with 3 if the queue holds
/// anything else, and with 4 if there is no result (yet).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal result 0193a5b0-0000-7000-8000-000000000001 --wait 30s")]
pub(crate) struct Args {
    /// Task id
    id: String,
    /// Queue of the task [default: search all queues]
    #[arg(long)]
    queue: Option<QueueName>,
    /// How long to wait for the task to finish
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    wait: Option<Duration>,
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let id = task_arg::id(Some(&args.id))?;
    let session = Session::connect(global)?;
    let client = Client::open_on(&session.config, session.broker.clone())
        .map_err(|error| session.setup_failure(error))?;
    let result = session.runtime.block_on(async {
        let queue = locate(&session, args.queue.as_ref(), id).await?;
        Search { session: &session, client: &client, queue, id }.wait(args.wait.unwrap_or_default()).await
    })?;
    print(&result, ui)
}

/// Returns the queue that has the task.
async fn locate(session: &Session, named: Option<&QueueName>, id: TaskId) -> Result<QueueName, Failure> {
    for queue in session.queues_or(named).await? {
        if find(session, &queue, id).await?.is_some() {
            return Ok(queue);
        }
    }
    Err(Failure::not_found(format!("task {id} not found"))
        .hint("it was not enqueued here, or its retention has ended; `taskseal task ls` lists the tasks"))
}

async fn find(session: &Session, queue: &QueueName, id: TaskId) -> Result<Option<TaskInfo>, Failure> {
    let found = session.broker.find(queue, &id.to_string()).await;
    found.map_err(|error| session.broker_failure(&error))
}

/// A search for the result of one task.
struct Search<'s> {
    session: &'s Session,
    client: &'s Client,
    queue: QueueName,
    id: TaskId,
}

impl Search<'_> {
    /// Polls the queue until the task has a result, is finished without one, or `timeout` has passed.
    async fn wait(&self, timeout: Duration) -> Result<TaskResult, Failure> {
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_millis(20);
        let mut looked_again = false;
        loop {
            if let Some(result) = self.result().await? {
                return Ok(result);
            }
            let found = find(self.session, &self.queue, self.id).await?;
            if !looked_again && found.as_ref().is_some_and(has_result) {
                // The task may have finished between the two calls; then the next call returns its result.
                looked_again = true;
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if is_finished(found.as_ref()) || left.is_zero() {
                return Err(self.no_result(found.as_ref(), timeout));
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn result(&self) -> Result<Option<TaskResult>, Failure> {
        let failed = |error| self.session.client_failure(&error);
        match self.client.receipt(&self.queue, self.id).await.map_err(failed)? {
            Some(receipt) => self.client.result(&receipt).await.map_err(failed),
            None => Ok(None),
        }
    }

    /// Returns why there is no result, as the queue says.
    fn no_result(&self, found: Option<&TaskInfo>, timeout: Duration) -> Failure {
        let (queue, id) = (&self.queue, self.id);
        let Some(info) = found else {
            return Failure::not_found(format!("task {id} is no longer in queue {queue}"))
                .hint("it was deleted, or it succeeded without a retention: set one to keep results");
        };
        let state = info.state.as_str();
        let wait = if timeout.is_zero() { "use --wait" } else { "wait longer" };
        let at = info.at.map(time_arg::show).unwrap_or_default();
        let hint = match info.state {
            TaskState::Pending => format!("it is {state} in queue {queue}: run `taskseal worker`, or {wait}"),
            TaskState::Active => format!("it is {state} in queue {queue}: a worker runs it; {wait}"),
            TaskState::Scheduled | TaskState::Retry => format!("it is {state}, due {at}, in queue {queue}"),
            TaskState::Archived => {
                format!("it is {state} since {at}; see `taskseal quarantine ls` and the log of the worker")
            }
            _ => format!("it is {state} in queue {queue}"),
        };
        Failure::not_found(format!("task {id} has no result")).hint(hint)
    }
}

fn has_result(info: &TaskInfo) -> bool {
    info.state == TaskState::Completed && info.result.is_some()
}

fn is_finished(found: Option<&TaskInfo>) -> bool {
    found.is_none_or(|info| matches!(info.state, TaskState::Archived | TaskState::Completed))
}

fn print(result: &TaskResult, ui: &Ui) -> Result<(), Failure> {
    if !ui.json() {
        ui.note(&format!("verified: result of {} by {}", result.id, result.worker));
        return text::print_body(&result.body, ui);
    }
    let sealed_at = UnixMillis::from(result.sealed_at);
    let body = match std::str::from_utf8(&result.body) {
        Ok(text) => ("body", json!(text)),
        Err(_) => ("body_base64", json!(Base64::encode_string(&result.body))),
    };
    ui.object([
        ("id", json!(result.id.to_string())),
        ("worker", json!(result.worker)),
        ("sealed_at", json!(time_arg::show(sealed_at))),
        ("content_type", json!(result.content_type)),
        body,
    ])
}
