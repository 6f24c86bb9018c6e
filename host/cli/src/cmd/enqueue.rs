//! `taskseal enqueue`: seals tasks and puts them into a queue, or forwards one that was sealed elsewhere.

mod jsonl;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use taskseal::broker::TaskState;
use taskseal::client::{self, Forwarded, SealedTask};
use taskseal::keys::Keyring;
use taskseal::setup;
use taskseal::time::UnixMillis;
use taskseal::{Client, QueueName, Receipt, Task};
use taskseal_core::{ContentType, MAX_BODY, NameSet, OpenError, Refusal, TaskType, Unverified};

use super::session::Session;
use super::{explain, input, moment, seal, show};
use crate::cli::Global;
use crate::keys;
use crate::ui::{Failure, Ui};

/// Seal tasks and put them into a queue
///
/// Prints the id of every task that is in the queue, one a line. With --jsonl each line of the input is one task, a JSON
/// object with "type" (or --type) and "body" (any JSON) or "body_base64"; "queue", "content_type", "id", "at", "in",
/// "attempts", "timeout", "retention" and "lifetime" are optional and go before the options of the same name.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  taskseal enqueue --queue default --type file:digest --payload sample.txt --in 10m"
)]
pub(crate) struct Args {
    /// The queue
    #[arg(long, required_unless_present = "jsonl")]
    queue: Option<QueueName>,
    /// The task type
    #[arg(long = "type", value_name = "TYPE", required_unless_present_any = ["jsonl", "sealed"])]
    task_type: Option<String>,
    /// The body; - is standard input [default: -]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jsonl", "sealed"])]
    payload: Option<PathBuf>,
    /// Media type of the body [default: application/octet-stream, application/json for a "body" in JSON lines]
    #[arg(long, value_name = "TYPE", conflicts_with = "sealed")]
    content_type: Option<String>,
    /// Many tasks, one JSON object a line; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sealed", "id"])]
    jsonl: Option<PathBuf>,
    /// An envelope that was sealed elsewhere, forwarded if a worker would accept it; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["task_type", "id", "at", "in", "attempts", "timeout", "retention", "lifetime"])]
    sealed: Option<PathBuf>,
    /// Not to run before this time
    #[arg(long, value_name = "RFC3339", value_parser = moment::instant, conflicts_with = "in")]
    at: Option<UnixMillis>,
    /// Not to run before this much time has passed
    #[arg(long, value_name = "DURATION", value_parser = moment::duration)]
    r#in: Option<Duration>,
    /// The id, a lower-case UUID that was never used before [default: a new one]
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
    /// Most attempts [default: of the configuration]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    attempts: Option<u16>,
    /// Time limit of one attempt [default: of the configuration]
    #[arg(long, value_name = "DURATION", value_parser = moment::duration)]
    timeout: Option<Duration>,
    /// How long the finished task and its result are kept [default: of the configuration]
    #[arg(long, value_name = "DURATION", value_parser = moment::duration)]
    retention: Option<Duration>,
    /// How long it may be run once it may run at all [default: of the configuration]
    #[arg(long, value_name = "DURATION", value_parser = moment::duration)]
    lifetime: Option<Duration>,
}

impl Args {
    /// Everything but type and body, as far as it was given.
    fn settings(&self, mut task: Task) -> Task {
        let later = self.r#in.map(|delay| UnixMillis::now().plus(delay));
        if let Some(at) = self.at.or(later) {
            task = task.process_at(at);
        }
        if let Some(queue) = &self.queue {
            task = task.queue(queue.clone());
        }
        if let Some(most) = self.attempts {
            task = task.attempts(most);
        }
        if let Some(limit) = self.timeout {
            task = task.timeout(limit);
        }
        if let Some(keep) = self.retention {
            task = task.retention(keep);
        }
        if let Some(lifetime) = self.lifetime {
            task = task.within(lifetime);
        }
        task
    }
}

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    match (&args.sealed, &args.jsonl) {
        (Some(file), _) => forward(args, file, global, ui),
        (None, Some(file)) => jsonl::run(args, file, global, ui),
        (None, None) => one(args, global, ui),
    }
}

fn one(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let task_type = args.task_type.as_deref().unwrap_or_default();
    TaskType::new(task_type)
        .map_err(|error| Failure::usage(format!("`{task_type}` is not a task type: {error}")))?;
    let named = args.content_type.as_deref().unwrap_or(ContentType::OCTETS.as_str());
    let content_type =
        ContentType::new(named).map_err(|_| Failure::usage(format!("`{named}` is not a media type")))?;
    let id = seal::task_id(args.id.as_deref())?;
    let session = Session::open(global)?;
    let client = client(&session, ui)?;
    let body = input::read(args.payload.as_deref().unwrap_or(Path::new("-")), MAX_BODY)?;
    session.answers()?;
    if let Some(queue) = &args.queue {
        session.note_unserved(queue, ui);
    }
    let task = Task::from_bytes(task_type, content_type, body.to_vec())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let failed = |error| session.failed_client(&error);
    let sealed = session.runtime.block_on(client.seal(args.settings(task).id(id))).map_err(failed)?;
    warn_if_refused(&session, &sealed, ui)?;
    let enqueued = client.enqueue_sealed(&sealed.receipt.queue, sealed.envelope);
    let receipt = session.runtime.block_on(enqueued).map_err(failed)?;
    print(&receipt, ui)
}

/// A worker elsewhere may know better, but one with this configuration would refuse the task: say so before it is
/// found in quarantine.
fn warn_if_refused(session: &Session, sealed: &SealedTask, ui: &Ui) -> Result<(), Failure> {
    let keyring = keys::keyset(&session.config)?;
    if let Err(OpenError::Refused(refusal)) =
        accepted(session, &keyring, &sealed.receipt.queue, &sealed.envelope)?
    {
        let (code, next) = (refusal.code(), explain::next_step(refusal));
        ui.warn(&format!("a worker with this configuration would refuse it: {refusal} ({code}); {next}"));
    }
    Ok(())
}

/// What a worker with this configuration would say to an envelope before it decrypts it: its keys may be elsewhere.
fn accepted(
    session: &Session,
    keyring: &Keyring,
    queue: &QueueName,
    envelope: &[u8],
) -> Result<Result<(), OpenError>, Failure> {
    let audience = session.config.audience(queue);
    let handlers = setup::handlers(&session.config).map_err(Failure::config)?;
    let handled = handlers.patterns();
    let mut policy = session.config.policy.for_tasks(super::audience(&audience));
    if !handlers.is_empty() {
        policy.types = NameSet::new(&handled);
    }
    let verified = Unverified::parse(envelope)
        .and_then(|unverified| unverified.verify(keyring, &policy, &mut taskseal::time::clock()).map(drop));
    Ok(match verified {
        // A worker that meets it early puts it off, and the queue holds it back until then.
        Err(OpenError::Refused(Refusal::NotYetValid)) => Ok(()),
        other => other,
    })
}

fn client(session: &Session, ui: &Ui) -> Result<Client, Failure> {
    let client = Client::open_on(&session.config, session.broker.clone());
    let client = client.map_err(|error| session.failed_setup(error))?;
    let config = &session.config;
    let batched = config.client.as_ref().is_some_and(|client| client.batch > 1);
    if batched && config.worker.is_some() && !config.policy.batches {
        ui.warn("[client] seals in batches, and [worker] would refuse them: set `batches = true` there");
    }
    Ok(client)
}

/// Enqueues an envelope that a worker with this configuration would accept.
fn forward(args: &Args, file: &Path, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let queue = args.queue.as_ref().ok_or_else(|| Failure::usage("no queue").hint("name it with --queue"))?;
    let session = Session::open(global)?;
    let keyring = keys::keyset(&session.config)?;
    let envelope = input::read(file, input::MAX_ENVELOPE)?;
    match accepted(&session, &keyring, queue, &envelope)? {
        Ok(()) => {}
        Err(OpenError::Refused(refusal)) => {
            let message = format!("refused: {refusal} ({}); nothing was enqueued", refusal.code());
            return Err(Failure::refused(message).hint(match refusal {
                Refusal::Unsealed | Refusal::Malformed => "--sealed takes what `taskseal seal` makes",
                _ => explain::next_step(refusal),
            }));
        }
        Err(error) => return Err(Failure::new(error.to_string())),
    }
    session.answers()?;
    let patience = Duration::from_secs(30);
    let forwarded = client::enqueue_sealed(&*session.broker, patience, queue, envelope.to_vec());
    let forwarded = session.runtime.block_on(forwarded).map_err(|error| session.failed_client(&error))?;
    if !forwarded.is_new {
        warn_if_over(&session, &forwarded, ui);
    }
    print(&forwarded.receipt, ui)
}

/// An envelope that the queue has had already is not put there again. That is what a carrier who repeats himself wants; one
/// who hopes to have it run once more is told.
fn warn_if_over(session: &Session, forwarded: &Forwarded, ui: &Ui) {
    let (queue, id) = (&forwarded.receipt.queue, &forwarded.receipt.queue_id);
    // What cannot be asked now is nothing to warn of: the task is in the queue.
    if let Ok(Some(info)) = session.runtime.block_on(session.broker.find(queue, id))
        && matches!(info.state, TaskState::Archived | TaskState::Completed)
    {
        let state = info.state.as_str();
        ui.warn(&format!("{id} has been in the queue before and is {state}: it does not run again"));
    }
}

/// The id of a task that is in the queue now.
fn print(receipt: &Receipt, ui: &Ui) -> Result<(), Failure> {
    if !ui.json() {
        return ui.text(&format!("{}\n", receipt.id));
    }
    ui.object([
        ("id", json!(receipt.id.to_string())),
        ("queue", json!(receipt.queue.as_str())),
        ("type", json!(receipt.task_type)),
        ("digest", json!(show::hex(&receipt.digest))),
    ])
}
