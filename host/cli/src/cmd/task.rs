//! `taskseal task`: what the queue says about tasks, and what their envelopes claim. Nothing of it is verified.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use taskseal::QueueName;
use taskseal::broker::{Attribute, TaskInfo, TaskState};
use taskseal::time::UnixMillis;
use taskseal_core::{OpenError, Unverified};

use super::session::Session;
use super::{moment, show};
use crate::cli::Global;
use crate::ui::{Failure, Ui};

/// Look at the tasks of a queue
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal task ls --queue default --state archived")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List tasks, those next in line first
    #[command(after_help = "Example:\n  taskseal task ls --queue default --state archived")]
    Ls(Ls),
    /// Show what a queue has under an id, unverified
    #[command(after_help = "Example:\n  taskseal task inspect 0193a5b0-0000-7000-8000-000000000001")]
    Inspect(Inspect),
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// The queue
    #[arg(long)]
    queue: QueueName,
    /// Only tasks in this state: pending, active, scheduled, retry, archived or completed
    #[arg(long, value_parser = state)]
    state: Option<TaskState>,
    /// Most tasks
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
struct Inspect {
    /// The id
    id: String,
    /// The queue [default: all queues are looked through]
    #[arg(long)]
    queue: Option<QueueName>,
}

fn state(word: &str) -> Result<TaskState, String> {
    let words = || TaskState::ALL.map(TaskState::as_str).join(", ");
    TaskState::parse(word).ok_or_else(|| format!("one of {}", words()))
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let session = Session::reach(global)?;
    match &args.command {
        Command::Ls(args) => session.runtime.block_on(ls(&session, args, ui)),
        Command::Inspect(args) => session.runtime.block_on(inspect(&session, args, ui)),
    }
}

/// Most tasks asked for at once: each comes with its payload.
const PAGE: usize = 64;

async fn ls(session: &Session, args: &Ls, ui: &Ui) -> Result<(), Failure> {
    if !session.queues().await?.contains(&args.queue) {
        return Err(Failure::not_found(format!("no queue {}", args.queue))
            .hint("`taskseal queue ls` lists those there are"));
    }
    let states = args.state.map_or_else(|| TaskState::ALL.to_vec(), |state| vec![state]);
    let mut rows = Vec::new();
    let mut listed = 0;
    let mut more = false;
    for state in states {
        let mut offset = 0;
        // Tasks move while they are listed, so one may turn up on two pages.
        let mut seen = HashSet::new();
        loop {
            let page = session.broker.list(&args.queue, state, offset, PAGE).await;
            let page = page.map_err(|error| session.failed_broker(&error))?;
            // A short page is no last one.
            if page.is_empty() || more {
                break;
            }
            offset += page.len();
            for info in page.into_iter().filter(|info| seen.insert(info.id.clone())) {
                if listed == args.limit {
                    more = true;
                    break;
                }
                listed += 1;
                if ui.json() {
                    ui.object(
                        std::iter::once(("unverified", json!(true))).chain(members(&args.queue, &info)),
                    )?;
                } else {
                    rows.push(row(&info));
                }
            }
        }
    }
    if !ui.json() {
        ui.text(&show::table(["STATE", "ID", "TYPE", "RETRIED", "AT"], &rows))?;
    }
    if more {
        ui.note(&format!("the first {listed} tasks; there are more: raise --limit"));
    }
    Ok(())
}

fn row(info: &TaskInfo) -> [String; 5] {
    let record = info.record.as_ref();
    let retries =
        |most: Option<u32>| format!("{}/{}", info.retries, most.map_or("-".into(), |most| most.to_string()));
    [
        info.state.as_str().to_owned(),
        info.id.clone(),
        record.map_or_else(|| "(not readable)".to_owned(), |record| record.task_type.clone()),
        record.map_or_else(|| "-".to_owned(), |record| retries(record.max_retries)),
        info.at.map_or_else(|| "-".to_owned(), moment::show),
    ]
}

/// What the queue says; what it does not say is left out.
fn members(queue: &QueueName, info: &TaskInfo) -> Vec<(&'static str, Value)> {
    let mut members = vec![
        ("queue", json!(queue.as_str())),
        ("state", json!(info.state.as_str())),
        ("id", json!(info.id)),
        ("crashes", json!(info.crashes)),
    ];
    let mut put = |name, value: Option<Value>| members.extend(value.map(|value| (name, value)));
    let time = |at: UnixMillis| json!(moment::show(at));
    let seconds = |duration: Duration| (!duration.is_zero()).then(|| json!(duration.as_secs()));
    put("at", info.at.map(|at| json!(moment::show(at))));
    put("result_bytes", info.result.as_ref().map(|result| json!(result.len())));
    put("readable", info.record.is_none().then_some(Value::Bool(false)));
    if let Some(record) = &info.record {
        put("type", Some(json!(record.task_type)));
        put("payload_bytes", Some(json!(record.envelope.len())));
        put("retried", Some(json!(info.retries)));
        put("retry", record.max_retries.map(Value::from));
        put("error", info.last_error.as_deref().map(Value::from));
        put("timeout", record.timeout.and_then(seconds));
        put("retention", seconds(record.retention));
        put("last_failed_at", info.last_failed_at.map(time));
        put("completed_at", info.completed_at.map(time));
        for (name, value) in &info.attributes {
            put(
                name,
                Some(match value {
                    Attribute::Time(at) => time(*at),
                    Attribute::Text(text) => json!(text),
                    other => json!(format!("{other:?}")),
                }),
            );
        }
    }
    members
}

async fn inspect(session: &Session, args: &Inspect, ui: &Ui) -> Result<(), Failure> {
    for queue in session.queues_or(args.queue.as_ref()).await? {
        let found = session.broker.find(&queue, &args.id).await;
        if let Some(info) = found.map_err(|error| session.failed_broker(&error))? {
            return show_task(&queue, &info, ui);
        }
    }
    Err(Failure::not_found(format!("no task {}", args.id))
        .hint("`taskseal task ls` lists what is there; finished tasks go when their retention is over"))
}

fn show_task(queue: &QueueName, info: &TaskInfo, ui: &Ui) -> Result<(), Failure> {
    let members = members(queue, info);
    let payload = info.record.as_ref().map(|record| record.envelope.as_ref());
    let envelope = payload.map(|payload| match Unverified::parse(payload) {
        Ok(envelope) => Ok(show::envelope(&envelope, payload.len())),
        Err(OpenError::Refused(refusal)) => Err(refusal.code()),
        Err(_) => Err("not readable"),
    });
    if ui.json() {
        let envelope = envelope.map(|envelope| match envelope {
            Ok(members) => {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }
            Err(code) => json!({ "refused": code }),
        });
        let all = std::iter::once(("unverified", json!(true))).chain(members);
        return ui.object(all.chain(envelope.map(|envelope| ("envelope", envelope))));
    }
    let mut text = format!("unverified: what the queue says\n{}", show::lines(&members));
    match envelope {
        None => text.push_str("\nno decoder understands what is stored\n"),
        Some(Err(code)) => text.push_str(&format!("\nthe payload is no envelope ({code})\n")),
        Some(Ok(members)) => {
            text.push_str(&format!("\nunverified: what the envelope claims\n{}", show::lines(&members)));
        }
    }
    ui.text(&text)
}
