//! Enqueues an envelope that was sealed elsewhere, unchanged.

use std::path::Path;
use std::time::Duration;

use taskseal::broker::TaskState;
use taskseal::client::{self, Forwarded};
use taskseal_core::{OpenError, Refusal, Unverified};

use super::args::Args;
use super::verdict::Verifier;
use super::{check, receipt};
use crate::failure::Failure;
use crate::global::Global;
use crate::refusal_hint::refusal_hint;
use crate::session::Session;
use crate::ui::Ui;
use crate::{envelope_fault, file_arg};

/// How long a broker that does not answer is called again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// Enqueues the envelope if a worker with this configuration would accept it.
pub(super) fn run(args: &Args, file: &Path, global: &Global, ui: &Ui) -> Result<(), Failure> {
    let queue = args
        .queue
        .as_ref()
        .ok_or_else(|| Failure::usage("the queue is missing").hint("name it with --queue"))?;
    let session = Session::open(global)?;
    let envelope = file_arg::read(file, file_arg::MAX_ENVELOPE)?;
    // Even if it is forced: the queue stores nothing else.
    Unverified::parse(&envelope).map_err(|error| not_an_envelope(error, &envelope))?;
    let mut verifier = Verifier::new(&session.config)?;
    check(verifier.of_envelope(queue, &envelope)?, args, ui)?;
    verifier.note_timeout_of(&Unverified::parse(&envelope), ui);
    session.check_broker()?;
    let forwarded = client::enqueue_sealed(&*session.broker, RETRY_TIMEOUT, queue, envelope.to_vec());
    let forwarded = session.block_on(forwarded).map_err(|error| session.client_failure(&error))?;
    if !forwarded.is_new {
        check_repeated(&session, &forwarded, ui)?;
    }
    receipt::print(&forwarded.receipt, ui)
}

fn not_an_envelope(error: OpenError, bytes: &[u8]) -> Failure {
    let OpenError::Refused(refusal) = error else { return Failure::new(error.to_string()) };
    let message =
        format!("not an envelope: {}; nothing was enqueued", envelope_fault::describe(refusal, bytes));
    Failure::refused(message).hint(match refusal {
        Refusal::Unsealed | Refusal::Malformed => "--sealed takes the output of `taskseal seal`",
        _ => refusal_hint(refusal),
    })
}

/// Warns if the task has been in the queue before and is completed: it is not enqueued again. A caller that repeats the
/// call wants that. An archived task has not succeeded and does not run again by itself: that is a failure.
fn check_repeated(session: &Session, forwarded: &Forwarded, ui: &Ui) -> Result<(), Failure> {
    let (queue, id) = (&forwarded.receipt.queue, &forwarded.receipt.queue_id);
    // The task is in the queue: a broker that does not answer now causes no error.
    let Ok(Some(info)) = session.block_on(session.broker.find(queue, id)) else { return Ok(()) };
    match info.state {
        TaskState::Archived => {
            Err(Failure::new(format!("task {id} is archived in queue {queue}: it was not enqueued again"))
                .hint(format!(
                    "`taskseal task run {id}` makes it pending again, for the attempts that it has left"
                )))
        }
        TaskState::Completed => {
            ui.warn(&format!("{id} has been in the queue before and is completed: it does not run again"));
            Ok(())
        }
        _ => Ok(()),
    }
}
