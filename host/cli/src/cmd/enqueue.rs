//! `taskseal enqueue`: seals tasks and enqueues them, or forwards an envelope that was sealed elsewhere.

mod args;
mod forward;
mod jsonl;

use std::path::Path;

use serde_json::json;
use taskseal::client::SealedTask;
use taskseal::handler::Handlers;
use taskseal::keys::Keyring;
use taskseal::{Client, QueueName, Receipt, Task};
use taskseal_core::{ContentType, MAX_BODY, NameSet, OpenError, Refusal, Unverified};

pub(crate) use self::args::Args;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::json::hex;
use crate::refusal_hint::refusal_hint;
use crate::session::Session;
use crate::ui::Ui;
use crate::{file_arg, project, task_arg};

pub(super) fn run(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    match (&args.sealed, &args.jsonl) {
        (Some(file), _) => forward::run(args, file, global, ui),
        (None, Some(file)) => jsonl::run(args, file, global, ui),
        (None, None) => enqueue_one(args, global, ui),
    }
}

fn enqueue_one(args: &Args, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let task_type = task_arg::task_type(args.task_type.as_deref().unwrap_or_default())?;
    let content_type =
        task_arg::content_type(args.content_type.as_deref().unwrap_or(ContentType::OCTETS.as_str()))?;
    let id = task_arg::id(args.id.as_deref())?;
    let session = Session::open(global)?;
    let client = open_client(&session, ui)?;
    let body = file_arg::read(args.payload.as_deref().unwrap_or(Path::new("-")), MAX_BODY)?;
    session.check_broker()?;
    if let Some(queue) = &args.queue {
        session.note_unserved(queue, ui);
    }
    let task = Task::from_bytes(task_type.as_str(), content_type, body.to_vec())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let failed = |error| session.client_failure(&error);
    let sealed = session.runtime.block_on(client.seal(args.apply(task).id(id))).map_err(failed)?;
    warn_if_refused(&session, &sealed, ui)?;
    let enqueued = client.enqueue_sealed(&sealed.receipt.queue, sealed.envelope);
    let receipt = session.runtime.block_on(enqueued).map_err(failed)?;
    print(&receipt, ui)
}

/// Warns if a worker with this configuration would refuse the task. Another worker may accept it.
fn warn_if_refused(session: &Session, sealed: &SealedTask, ui: &Ui) -> Result<(), Failure> {
    let keyring = project::keyset(&session.config)?;
    let verdict = verify_as_worker(session, &keyring, &sealed.receipt.queue, &sealed.envelope)?;
    if let Err(OpenError::Refused(refusal)) = verdict {
        let (code, hint) = (refusal.code(), refusal_hint(refusal));
        ui.warn(&format!("a worker with this configuration would refuse it: {refusal} ({code}); {hint}"));
    }
    Ok(())
}

/// Verifies an envelope as a worker with this configuration does before it decrypts: this host may not have its keys.
fn verify_as_worker(
    session: &Session,
    keyring: &Keyring,
    queue: &QueueName,
    envelope: &[u8],
) -> Result<Result<(), OpenError>, Failure> {
    let audience = session.config.audience(queue);
    let handlers = Handlers::of_programs(&session.config).map_err(Failure::config)?;
    let patterns = handlers.patterns();
    let types = if handlers.is_empty() { NameSet::ANY } else { NameSet::new(&patterns) };
    let policy = session.config.policy.for_tasks(project::audience(&audience), types);
    let verified = Unverified::parse(envelope)
        .and_then(|unverified| unverified.verify(keyring, &policy, &mut taskseal::time::clock()).map(drop));
    Ok(match verified {
        // The queue holds such a task back, and a worker that gets it early postpones it.
        Err(OpenError::Refused(Refusal::NotYetValid)) => Ok(()),
        other => other,
    })
}

fn open_client(session: &Session, ui: &Ui) -> Result<Client, Failure> {
    let client = Client::open_on(&session.config, session.broker.clone());
    let client = client.map_err(|error| session.setup_failure(error))?;
    let config = &session.config;
    let batched = config.client.as_ref().is_some_and(|client| client.sign_batch > 1);
    if batched && config.worker.is_some() && !config.policy.batches {
        ui.warn("[client] seals in batches, which [policy] does not accept: set `batches = true` there");
    }
    Ok(client)
}

/// Prints the id of an enqueued task.
fn print(receipt: &Receipt, ui: &Ui) -> Result<(), Failure> {
    if !ui.json() {
        return ui.text(&format!("{}\n", receipt.id));
    }
    ui.object([
        ("id", json!(receipt.id.to_string())),
        ("queue", json!(receipt.queue.as_str())),
        ("type", json!(receipt.task_type)),
        ("digest", json!(hex(&receipt.digest))),
    ])
}
