//! `taskseal task inspect`.

use std::time::Duration;

use serde_json::{Value, json};
use taskseal::QueueName;
use taskseal::broker::{Attribute, TaskInfo, TaskRecord, TaskState};
use taskseal::time::UnixMillis;
use taskseal_core::OpenError;

use crate::failure::Failure;
use crate::output::json::{self, Member};
use crate::output::text;
use crate::session::Session;
use crate::time_arg;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Task id
    id: String,
    /// The queue [default: search all queues]
    #[arg(long)]
    queue: Option<QueueName>,
}

/// Returns what the queue stores, without what is not set.
pub(super) fn members(queue: &QueueName, info: &TaskInfo) -> Vec<Member> {
    let mut members =
        vec![("queue", json!(queue.as_str())), ("state", json!(info.state.as_str())), ("id", json!(info.id))];
    let mut put = |name, value: Option<Value>| members.extend(value.map(|value| (name, value)));
    put("at", info.at.map(time));
    put("at_is", info.at.and(time_meaning(info.state)).map(Value::from));
    put("result_bytes", info.result.as_ref().map(|result| json!(result.len())));
    put("readable", info.record.is_none().then_some(Value::Bool(false)));
    if let Some(record) = &info.record {
        let seconds = |duration: Duration| (!duration.is_zero()).then(|| json!(duration.as_secs()));
        put("type", Some(json!(record.task_type)));
        put("payload_bytes", Some(json!(record.envelope.len())));
        put("retried", Some(json!(info.retries)));
        put("retry", record.max_retries.map(Value::from));
        put("error", info.last_error.as_deref().map(Value::from));
        put("timeout", record.timeout.and_then(seconds));
        put("retention", seconds(record.retention));
        put("last_failed_at", info.last_failed_at.map(time));
        put("completed_at", info.completed_at.map(time));
        info.attributes.iter().for_each(|(name, value)| put(name, Some(attribute(value))));
    }
    members
}

/// Returns what the time of a task in this state is.
pub(super) const fn time_meaning(state: TaskState) -> Option<&'static str> {
    match state {
        TaskState::Active => Some("leased until"),
        TaskState::Scheduled | TaskState::Retry => Some("next try"),
        TaskState::Archived => Some("archived at"),
        TaskState::Completed => Some("kept until"),
        TaskState::Aggregating => Some("grouped at"),
        _ => None,
    }
}

/// Returns an attribute that only the format of one broker has.
fn attribute(value: &Attribute) -> Value {
    match value {
        Attribute::Time(at) => time(*at),
        Attribute::Text(text) => json!(text),
        other => json!(format!("{other:?}")),
    }
}

fn time(at: UnixMillis) -> Value {
    json!(time_arg::show(at))
}

pub(super) async fn run(session: &Session, args: &Args, ui: &Ui) -> Result<(), Failure> {
    for queue in session.queues_or(args.queue.as_ref()).await? {
        let found = session.broker.find(&queue, &args.id).await;
        if let Some(info) = found.map_err(|error| session.broker_failure(&error))? {
            return print(&queue, &info, ui);
        }
    }
    Err(Failure::not_found(format!("task {} not found", args.id))
        .hint("`taskseal task ls --queue NAME` lists the tasks; finished tasks are deleted when their retention ends"))
}

fn print(queue: &QueueName, info: &TaskInfo, ui: &Ui) -> Result<(), Failure> {
    let members = members(queue, info);
    let envelope = info.record.as_ref().map(envelope);
    if ui.json() {
        let mut all = members;
        all.push(("unverified", json!(true)));
        match envelope {
            Some(Ok(members)) => all.push(("envelope", json::nested(members))),
            Some(Err(code)) => all.push(("envelope", json!({ "refused": code }))),
            None => {}
        }
        return ui.object(all);
    }
    let mut text = format!("unverified: what the queue stores\n{}", text::members(&members));
    match envelope {
        None => text.push_str("\nthe stored record is undecodable\n"),
        Some(Err(code)) => text.push_str(&format!("\nthe payload is not an envelope ({code})\n")),
        Some(Ok(members)) => {
            text.push_str(&format!("\nunverified: what the envelope claims\n{}", text::members(&members)));
        }
    }
    ui.text(&text)?;
    if info.last_error.as_deref().is_some_and(|error| HANDLER_FAILURES.contains(&error)) {
        ui.note("the reason of the failure is in the log of the worker: the queue does not get it");
    } else if info.state == TaskState::Retry && info.last_error.is_none() {
        ui.note("no attempt has failed: a worker postponed it or gave it back, and the log of the worker has the reason");
    }
    Ok(())
}

/// What the queue gets of a handler that has failed.
const HANDLER_FAILURES: [&str; 2] = ["taskseal: attempt failed", "taskseal: given up"];

/// Returns what the envelope claims, or why the payload is none.
fn envelope(record: &TaskRecord) -> Result<Vec<Member>, &'static str> {
    match record.parse() {
        Ok(envelope) => {
            let mut members = json::envelope(&envelope, record.seal().len());
            if envelope.is_detached() {
                members.push(("detached", json!(true)));
            }
            Ok(members)
        }
        Err(OpenError::Refused(refusal)) => Err(refusal.code()),
        Err(_) => Err("not readable"),
    }
}
