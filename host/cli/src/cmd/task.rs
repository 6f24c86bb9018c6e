//! `taskseal task`: what the queue stores about tasks, and what their envelopes claim. Nothing is verified.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use taskseal::QueueName;
use taskseal::broker::{Attribute, TaskInfo, TaskState};
use taskseal::time::UnixMillis;
use taskseal_core::{OpenError, Unverified};

use crate::failure::Failure;
use crate::global::Global;
use crate::output::json::{self, Member};
use crate::output::text;
use crate::session::Session;
use crate::time_arg;
use crate::ui::Ui;

/// Show the tasks of a queue
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  taskseal task ls --queue default --state archived")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List tasks, the next to run first
    #[command(after_help = "Example:\n  taskseal task ls --queue default --state archived")]
    Ls(Ls),
    /// Show what a queue stores under an id, unverified
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
    /// Maximum number of tasks
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
struct Inspect {
    /// Task id
    id: String,
    /// The queue [default: search all queues]
    #[arg(long)]
    queue: Option<QueueName>,
}

fn state(word: &str) -> Result<TaskState, String> {
    let words = || TaskState::ALL.map(TaskState::as_str).join(", ");
    TaskState::parse(word).ok_or_else(|| format!("one of {}", words()))
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let session = Session::connect(global)?;
    match &args.command {
        Command::Ls(args) => session.runtime.block_on(ls(&session, args, ui)),
        Command::Inspect(args) => session.runtime.block_on(inspect(&session, args, ui)),
    }
}

/// Maximum number of tasks in one call: each comes with its payload.
const PAGE: usize = 64;

async fn ls(session: &Session, args: &Ls, ui: &Ui) -> Result<(), Failure> {
    if !session.queues().await?.contains(&args.queue) {
        return Err(Failure::not_found(format!("queue {} not found", args.queue))
            .hint("`taskseal queue ls` lists the queues"));
    }
    let states = args.state.map_or_else(|| TaskState::ALL.to_vec(), |state| vec![state]);
    let mut listing = Listing { args, ui, rows: Vec::new(), listed: 0, has_more: false };
    for state in states {
        list_state(session, state, &mut listing).await?;
    }
    listing.finish()
}

/// Lists the tasks in one state, page by page.
async fn list_state(session: &Session, state: TaskState, listing: &mut Listing<'_>) -> Result<(), Failure> {
    let mut offset = 0;
    // Tasks move while they are listed, so a task may be on two pages.
    let mut seen = HashSet::new();
    while !listing.has_more {
        let page = session.broker.list(&listing.args.queue, state, offset, PAGE).await;
        let page = page.map_err(|error| session.broker_failure(&error))?;
        // A page may be short without being the last one.
        if page.is_empty() {
            break;
        }
        offset += page.len();
        for info in page.into_iter().filter(|info| seen.insert(info.id.clone())) {
            listing.add(&info)?;
        }
    }
    Ok(())
}

/// The output of `task ls`.
struct Listing<'a> {
    args: &'a Ls,
    ui: &'a Ui,
    rows: Vec<[String; 5]>,
    listed: usize,
    /// Whether there are more tasks than the limit.
    has_more: bool,
}

impl Listing<'_> {
    fn add(&mut self, info: &TaskInfo) -> Result<(), Failure> {
        if self.listed == self.args.limit {
            self.has_more = true;
            return Ok(());
        }
        self.listed += 1;
        if self.ui.json() {
            let unverified = std::iter::once(("unverified", json!(true)));
            return self.ui.object(unverified.chain(members(&self.args.queue, info)));
        }
        self.rows.push(row(info));
        Ok(())
    }

    fn finish(&self) -> Result<(), Failure> {
        if !self.ui.json() {
            self.ui.text(&text::table(["STATE", "ID", "TYPE", "RETRIED", "AT"], &self.rows))?;
        }
        if self.has_more {
            self.ui.note(&format!("showing the first {} tasks; there are more: raise --limit", self.listed));
        }
        Ok(())
    }
}

fn row(info: &TaskInfo) -> [String; 5] {
    let record = info.record.as_ref();
    let retries = |limit: Option<u32>| {
        format!("{}/{}", info.retries, limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()))
    };
    [
        info.state.as_str().to_owned(),
        info.id.clone(),
        record.map_or_else(|| "(undecodable)".to_owned(), |record| record.task_type.clone()),
        record.map_or_else(|| "-".to_owned(), |record| retries(record.max_retries)),
        info.at.map_or_else(|| "-".to_owned(), time_arg::show),
    ]
}

/// Returns what the queue stores, without what is not set.
fn members(queue: &QueueName, info: &TaskInfo) -> Vec<Member> {
    let mut members =
        vec![("queue", json!(queue.as_str())), ("state", json!(info.state.as_str())), ("id", json!(info.id))];
    let mut put = |name, value: Option<Value>| members.extend(value.map(|value| (name, value)));
    put("at", info.at.map(time));
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

async fn inspect(session: &Session, args: &Inspect, ui: &Ui) -> Result<(), Failure> {
    for queue in session.queues_or(args.queue.as_ref()).await? {
        let found = session.broker.find(&queue, &args.id).await;
        if let Some(info) = found.map_err(|error| session.broker_failure(&error))? {
            return print(&queue, &info, ui);
        }
    }
    Err(Failure::not_found(format!("task {} not found", args.id))
        .hint("`taskseal task ls` lists the tasks; finished tasks are deleted when their retention ends"))
}

fn print(queue: &QueueName, info: &TaskInfo, ui: &Ui) -> Result<(), Failure> {
    let members = members(queue, info);
    let envelope = info.record.as_ref().map(|record| envelope(&record.envelope));
    if ui.json() {
        let envelope = envelope.map(|envelope| match envelope {
            Ok(members) => json::nested(members),
            Err(code) => json!({ "refused": code }),
        });
        let all = std::iter::once(("unverified", json!(true))).chain(members);
        return ui.object(all.chain(envelope.map(|envelope| ("envelope", envelope))));
    }
    let mut text = format!("unverified: what the queue stores\n{}", text::members(&members));
    match envelope {
        None => text.push_str("\nthe stored record is undecodable\n"),
        Some(Err(code)) => text.push_str(&format!("\nthe payload is not an envelope ({code})\n")),
        Some(Ok(members)) => {
            text.push_str(&format!("\nunverified: what the envelope claims\n{}", text::members(&members)));
        }
    }
    ui.text(&text)
}

/// Returns what the envelope claims, or why the payload is none.
fn envelope(payload: &[u8]) -> Result<Vec<Member>, &'static str> {
    match Unverified::parse(payload) {
        Ok(envelope) => Ok(json::envelope(&envelope, payload.len())),
        Err(OpenError::Refused(refusal)) => Err(refusal.code()),
        Err(_) => Err("not readable"),
    }
}
