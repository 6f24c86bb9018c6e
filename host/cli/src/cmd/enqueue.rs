//! `taskseal enqueue`: seals tasks and enqueues them, or forwards an envelope that was sealed elsewhere.

mod args;
mod forward;
mod jsonl;
mod receipt;
mod verdict;

use std::path::Path;

use taskseal::{Client, Task};
use taskseal_core::{ContentType, MAX_BODY, Refusal};

pub(crate) use self::args::Args;
use self::verdict::describe;
pub(super) use self::verdict::{Verdict, Verifier};
use crate::failure::Failure;
use crate::global::Global;
use crate::session::Session;
use crate::ui::Ui;
use crate::{file_arg, task_arg};

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
    args.reference.as_deref().map(task_arg::reference).transpose()?;
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
    let sealed = session.block_on(client.seal(args.apply(task).id(id))).map_err(failed)?;
    let mut verifier = Verifier::new(&session.config)?;
    check(verifier.of_own(&sealed)?, args, ui)?;
    verifier.note_timeout(&sealed, ui);
    let receipt = sealed.receipt.clone();
    session.block_on(client.enqueue_all_sealed(vec![sealed])).map_err(failed)?;
    receipt::print(&receipt, ui)
}

/// What accepts a body in clear.
const CLEAR_BODY: &str = "give the type a rule with `detached = true`, or with a `mode` that lets unsealed tasks run, in the policy file; \
     --force enqueues it for workers with another configuration";

/// Fails if a worker with this configuration would refuse the task, unless it is to be enqueued nevertheless.
fn check(verdict: Verdict, args: &Args, ui: &Ui) -> Result<(), Failure> {
    match verdict {
        Verdict::Refused(refusal) if !args.force => {
            let message = format!(
                "a worker with this configuration would refuse it: {}; nothing was enqueued",
                describe(refusal)
            );
            let failure = verdict::failure(message, refusal);
            if args.detached && refusal == Refusal::SuiteNotAllowed {
                return Err(failure.hint(CLEAR_BODY));
            }
            Err(failure)
        }
        other => {
            verdict::warn(other, ui);
            Ok(())
        }
    }
}

fn open_client(session: &Session, ui: &Ui) -> Result<Client, Failure> {
    let client = Client::open_on(&session.config, session.broker.clone());
    let client = client.map_err(|error| session.setup_failure(error))?;
    client.check_sealing_key().map_err(|error| session.client_failure(&error))?;
    let config = &session.config;
    let batched = config.client.as_ref().is_some_and(|client| client.sign_batch > 1);
    if batched && config.worker.is_some() && !config.policy.batches {
        ui.warn("[client] seals in batches, which [policy] does not accept: set `batches = true` there");
    }
    Ok(client)
}
