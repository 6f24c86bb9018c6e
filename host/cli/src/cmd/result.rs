//! `taskseal result`: the opened result of a task.

use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use serde_json::json;
use taskseal::broker::{TaskInfo, TaskState};
use taskseal::client::ClientError;
use taskseal::result::TaskResult;
use taskseal::time::UnixMillis;
use taskseal::{Client, QueueName, Receipt, WaitOutcome};
use taskseal_core::name::Reference;
use taskseal_core::{OpenError, Refusal, TaskId};

use crate::failure::Failure;
use crate::global::Global;
use crate::output::text;
use crate::refusal_hint::refusal_hint;
use crate::session::Session;
use crate::time_arg;
use crate::ui::Ui;

/// Verify and print the result of a task
///
/// Opens only a result that a worker of the keyset sealed as the answer to this task. Exits with 1 if the task failed, with
/// 3 if a worker refused it or the queue holds another result, with 4 if the queue has no such task or no result of it, and
/// with 6 if the task has not ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal result 0193a5b0-0000-7000-8000-000000000001 --wait 30s")]
pub(crate) struct Args {
    /// Task id, or its reference if it was sealed with one
    id: String,
    /// Queue of the task [default: search all queues]
    #[arg(long)]
    queue: Option<QueueName>,
    /// How long to wait for the task to finish
    #[arg(long, value_name = "DURATION", value_parser = time_arg::duration)]
    wait: Option<Duration>,
}

/// How often the state of a task is asked for that this host cannot verify.
const POLL: Duration = Duration::from_secs(1);

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    if TaskId::parse(&args.id).is_none() && Reference::new(&args.id).is_err() {
        return Err(Failure::usage(format!("`{}` is neither a task id nor a reference", args.id))
            .hint("a task id is a UUID in lower case"));
    }
    let session = Session::connect(global)?;
    let client = Client::open_on(&session.config, session.broker.clone())
        .map_err(|error| session.setup_failure(error))?;
    let timeout = args.wait.unwrap_or_default();
    let result = session.block_on(async {
        let failed = |error| session.client_failure(&error);
        let started = Instant::now();
        let left = || timeout.saturating_sub(started.elapsed());
        let receipt = loop {
            let (queue, found) = locate(&session, args).await?;
            let receipt = client.receipt_by_queue_id(&queue, &args.id).await;
            match receipt {
                Err(ClientError::Request(OpenError::Refused(refusal))) if may_still_run(&found, refusal) => {
                    if left().is_zero() {
                        return Err(not_verifiable_yet(&queue, &found, refusal));
                    }
                    tokio::time::sleep(left().min(POLL)).await;
                }
                receipt => break receipt.map_err(failed)?.ok_or_else(|| undecodable(&args.id))?,
            }
        };
        match client.wait(&receipt, left()).await.map_err(failed)? {
            WaitOutcome::Done(result) => Ok(result),
            other => Err(no_result(&session, &receipt, other, timeout).await),
        }
    })?;
    print(&result, ui)
}

/// Returns the queue that has the task, and the task.
async fn locate(session: &Session, args: &Args) -> Result<(QueueName, TaskInfo), Failure> {
    for queue in session.queues_or(args.queue.as_ref()).await? {
        let found = session.broker.find(&queue, &args.id).await;
        if let Some(info) = found.map_err(|error| session.broker_failure(&error))? {
            return Ok((queue, info));
        }
    }
    Err(Failure::not_found(format!("task {} not found", args.id)).hint(
        "it was not enqueued here, its retention has ended, or it was enqueued with a reference: name that instead; \
         `taskseal task ls --queue NAME` lists the tasks",
    ))
}

/// Returns whether the task has not ended, and was refused here for what another keyset mends: a worker postpones it. The key of
/// another refusal is known: the worker has refused the task, or will.
const fn may_still_run(info: &TaskInfo, refusal: Refusal) -> bool {
    !matches!(info.state, TaskState::Archived | TaskState::Completed)
        && matches!(refusal, Refusal::UnknownKey)
}

fn not_verifiable_yet(queue: &QueueName, info: &TaskInfo, refusal: Refusal) -> Failure {
    let (id, state, code) = (&info.id, info.state.as_str(), refusal.code());
    Failure::not_yet(format!(
        "task {id} has no result yet, and this host cannot verify it: {refusal} ({code})"
    ))
    .hint(format!("it is {state}{}, in queue {queue}; {}", due(info.at), refusal_hint(refusal)))
}

fn undecodable(id: &str) -> Failure {
    Failure::new(format!("what the queue holds as task {id} cannot be decoded"))
        .hint(format!("see `taskseal task inspect {id}`"))
}

/// Returns why there is no result, as the queue says.
async fn no_result(session: &Session, receipt: &Receipt, outcome: WaitOutcome, timeout: Duration) -> Failure {
    let (queue, id) = (&receipt.queue, &receipt.queue_id);
    let run_again =
        format!("`taskseal task run {id}` makes it pending again, for the attempts that it has left");
    match outcome {
        WaitOutcome::Failed { reason } => {
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            Failure::new(format!("task {id} failed and is archived{reason}"))
                .hint(format!("see the log of the worker; {run_again}"))
        }
        WaitOutcome::Refused { code } => Failure::refused(format!(
            "a worker refused task {id}, as the queue states ({code})"
        ))
        .hint(format!("see `taskseal quarantine ls` on the host of the worker; {}", after_refusal(&code))),
        WaitOutcome::Pending(state) => {
            let found = session.broker.find(queue, id).await.ok().flatten();
            let due = found.filter(|info| info.state == state).and_then(|info| info.at);
            Failure::not_yet(format!("task {id} has no result yet")).hint(not_yet(queue, state, due, timeout))
        }
        _ => Failure::not_found(format!("the result of task {id} is not in queue {queue}"))
            .hint("it was deleted, or it succeeded without a retention: set one to keep results"),
    }
}

/// Returns what can make the task run. A worker refuses some tasks again whatever is corrected.
fn after_refusal(code: &str) -> &'static str {
    match Refusal::from_code(code) {
        Some(Refusal::Expired | Refusal::Replayed | Refusal::AttemptsExhausted) => {
            "a worker refuses it again if it is released: enqueue it again with a new id"
        }
        _ => "`taskseal quarantine release` there makes it pending again",
    }
}

fn not_yet(queue: &QueueName, state: TaskState, at: Option<UnixMillis>, timeout: Duration) -> String {
    let word = state.as_str();
    let wait = if timeout.is_zero() { "use --wait" } else { "wait longer" };
    match state {
        TaskState::Pending => format!("it is {word} in queue {queue}: run `taskseal worker`, or {wait}"),
        TaskState::Active => format!("it is {word} in queue {queue}: a worker runs it; {wait}"),
        _ => {
            format!("it is {word}{}, in queue {queue}", due(at))
        }
    }
}

fn due(at: Option<UnixMillis>) -> String {
    at.map(|at| format!(", due {}", time_arg::show(at))).unwrap_or_default()
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
    ui.object(vec![
        ("id", json!(result.id.to_string())),
        ("worker", json!(result.worker)),
        ("sealed_at", json!(time_arg::show(sealed_at))),
        ("content_type", json!(result.content_type)),
        body,
    ])
}
