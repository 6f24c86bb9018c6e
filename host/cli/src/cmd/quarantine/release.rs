//! `taskseal quarantine release`: puts refused tasks into their queues again.
//!
//! The entry is marked as released before its task is stored, so that the worker that accepts the task finds it, and it stays until
//! then: whatever fails, the quarantine or the queue has the task.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use taskseal::QueueName;
use taskseal::broker::{BrokerError, Operated, Operation, TaskInfo, TaskState};
use taskseal::client::{self, ClientError, Receipt};
use taskseal::quarantine::{Disposition, Entry, EntryId};
use taskseal_core::{Refusal, Unverified};

use super::Store;
use super::select::Selection;
use crate::cmd::enqueue::{Verdict, Verifier};
use crate::failure::{Exit, Failure};
use crate::refusal_hint::refusal_hint;
use crate::session::Session;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
}

/// How long a broker that does not answer is called again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a task is looked up again that other processes change meanwhile.
const LOOKS: usize = 3;

pub(super) fn run(session: &Session, store: &Store<'_>, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let ids = args.selection.entries(store, "release", ui)?;
    // Only for a warning: a worker elsewhere may have another keyset.
    let verifier = Verifier::new(&session.config).ok();
    let mut release = Release { session, store, verifier, refused: BTreeMap::new() };
    let (mut released, mut first_failure) = (0, None);
    for id in &ids {
        match release.one(*id) {
            Ok(task) => {
                released += 1;
                report(*id, &task, args, ui)?;
            }
            Err(failure) => {
                let stops = failure.exit == Exit::Unavailable;
                if ids.len() > 1 {
                    ui.note(&failure.message);
                }
                first_failure.get_or_insert(failure);
                if stops {
                    break;
                }
            }
        }
    }
    release.warn(ui);
    if !args.selection.names_entries() {
        summary(ids.len(), released, ui)?;
    }
    first_failure.map_or(Ok(()), Err)
}

fn report(id: EntryId, released: &Released, args: &Args, ui: &Ui) -> Result<(), Failure> {
    if !args.selection.names_entries() {
        return Ok(());
    }
    let Released { queue, task_id, state } = released;
    if ui.json() {
        return ui.object([
            ("number", json!(id.0)),
            ("queue", json!(queue.as_str())),
            ("id", json!(task_id)),
            ("changed", json!(state.is_none())),
        ]);
    }
    let task_id = taskseal::escape::Escaped::new(task_id);
    ui.text(&match state {
        None => format!("released: entry {}, task {task_id} in queue {queue}\n", id.0),
        Some(state) => format!(
            "unchanged: entry {}, task {task_id} in queue {queue} is {} already\n",
            id.0,
            state.as_str()
        ),
    })
}

fn summary(matched: usize, released: usize, ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        return ui.object([("matched", json!(matched)), ("released", json!(released))]);
    }
    ui.text(&format!("released: {released} of {matched} entries\n"))
}

/// A task that is in its queue again.
struct Released {
    queue: QueueName,
    task_id: String,
    /// Its state, if it was waiting for a worker or running already.
    state: Option<TaskState>,
}

/// Why a task was not stored, and whether it may be stored nevertheless.
struct Stopped {
    failure: Failure,
    may_be_stored: bool,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self { may_be_stored: failure.exit == Exit::Unavailable, failure }
    }
}

struct Release<'r> {
    session: &'r Session,
    store: &'r Store<'r>,
    verifier: Option<Verifier<'r>>,
    /// Number of tasks that a worker with this configuration would refuse again.
    refused: BTreeMap<Refusal, u64>,
}

impl Release<'_> {
    fn one(&mut self, id: EntryId) -> Result<Released, Failure> {
        let (entry, payload) = self.store.find(id)?;
        let queue = QueueName::parse(&entry.queue)
            .map_err(|error| Failure::new(format!("entry {}: {error}", id.0)))?;
        if let Err(error) = Unverified::parse(&payload) {
            let code = error.refusal().map_or("not readable", Refusal::code);
            return Err(Failure::new(format!("entry {} is not an envelope ({code}): it cannot be released", id.0))
                .hint(format!(
                    "`taskseal quarantine export {0}` writes its bytes, `taskseal quarantine prune {0}` removes it",
                    id.0
                )));
        }
        self.mark(id, None, Disposition::Released)?;
        match self.session.runtime.block_on(self.store_again(&entry, &queue, &payload)) {
            Ok(released) => {
                self.count_refused(&queue, &payload);
                Ok(released)
            }
            Err(Stopped { failure, may_be_stored }) => {
                if !may_be_stored {
                    self.mark(id, Some(Disposition::Released), entry.disposition)?;
                }
                Err(failure)
            }
        }
    }

    fn mark(&self, id: EntryId, from: Option<Disposition>, to: Disposition) -> Result<(), Failure> {
        self.store.call(|quarantine| quarantine.set_disposition(id, from, to)).map(drop)
    }

    /// Stores the task under its id, or runs the copy that the queue still has.
    async fn store_again(
        &self,
        entry: &Entry,
        queue: &QueueName,
        payload: &[u8],
    ) -> Result<Released, Stopped> {
        for _ in 0..LOOKS {
            let forwarded =
                client::enqueue_sealed(&*self.session.broker, RETRY_TIMEOUT, queue, payload.to_vec());
            let forwarded = forwarded.await.map_err(|error| self.stopped(&error, entry))?;
            let released =
                |state| Released { queue: queue.clone(), task_id: forwarded.receipt.queue_id.clone(), state };
            let state = if forwarded.is_new {
                None
            } else {
                match self.run_stored(entry, &forwarded.receipt).await? {
                    Some(state) => state,
                    None => continue,
                }
            };
            self.delete_misnamed(entry, &forwarded.receipt, payload).await?;
            return Ok(released(state));
        }
        Err(Failure::new(format!("the task of entry {} is being changed by another process", entry.id.0))
            .hint("run the command again")
            .into())
    }

    /// Makes a stored task pending. Returns its state if it is waiting or running already, and `None` if it is to be stored
    /// again.
    async fn run_stored(
        &self,
        entry: &Entry,
        receipt: &Receipt,
    ) -> Result<Option<Option<TaskState>>, Failure> {
        let Some(info) = self.find(&receipt.queue, &receipt.queue_id).await? else { return Ok(None) };
        // What was changed around the envelope is not stored again.
        let operation = if is_as_sealed(&info, receipt) { Operation::Run } else { Operation::Delete };
        if info.state == TaskState::Completed {
            return Err(completed(entry, receipt));
        }
        Ok(match self.operate(&receipt.queue, &receipt.queue_id, operation).await? {
            Operated::Done(_) if operation == Operation::Run => Some(None),
            Operated::Unchanged(TaskState::Completed) => return Err(completed(entry, receipt)),
            Operated::Unchanged(state) => Some(Some(state)),
            _ => None,
        })
    }

    /// Deletes the archived copy of a task whose id in the queue was not that of its envelope.
    async fn delete_misnamed(&self, entry: &Entry, receipt: &Receipt, payload: &[u8]) -> Result<(), Failure> {
        if entry.task_id == receipt.queue_id {
            return Ok(());
        }
        let found = self.find(&receipt.queue, &entry.task_id).await?;
        let is_copy = |info: &TaskInfo| {
            info.state == TaskState::Archived
                && info.record.as_ref().is_some_and(|record| record.envelope == payload)
        };
        if found.is_some_and(|info| is_copy(&info)) {
            self.operate(&receipt.queue, &entry.task_id, Operation::Delete).await?;
        }
        Ok(())
    }

    async fn find(&self, queue: &QueueName, id: &str) -> Result<Option<TaskInfo>, Failure> {
        self.session.broker.find(queue, id).await.map_err(|error| self.session.broker_failure(&error))
    }

    async fn operate(&self, queue: &QueueName, id: &str, operation: Operation) -> Result<Operated, Failure> {
        let outcomes = self.session.broker.operate(queue, &[id.to_owned()], operation).await;
        let outcomes = outcomes.map_err(|error| self.session.broker_failure(&error))?;
        Ok(outcomes.first().copied().unwrap_or(Operated::NotFound))
    }

    fn stopped(&self, error: &ClientError, entry: &Entry) -> Stopped {
        if let ClientError::Conflict(id) = error {
            let message =
                format!("entry {}: queue {} has another task with id {id}", entry.id.0, entry.queue);
            return Failure::new(message)
                .hint(format!(
                    "`taskseal task inspect {id}` shows it, `taskseal task delete {id}` deletes it"
                ))
                .into();
        }
        let may_be_stored = matches!(error, ClientError::Broker(BrokerError::Ambiguous(_)));
        Stopped { failure: self.session.client_failure(error), may_be_stored }
    }

    fn count_refused(&mut self, queue: &QueueName, payload: &[u8]) {
        let Some(verifier) = &mut self.verifier else { return };
        if let Ok(Verdict::Refused(refusal)) = verifier.of_envelope(queue, payload) {
            *self.refused.entry(refusal).or_default() += 1;
        }
    }

    /// Warns of tasks that a worker with this configuration would refuse again. Another worker may accept them.
    fn warn(&self, ui: &Ui) {
        for (refusal, count) in &self.refused {
            let (code, hint) = (refusal.code(), refusal_hint(*refusal));
            ui.warn(&format!(
                "a worker with this configuration would refuse {count} of them again: {refusal} ({code}); {hint}"
            ));
        }
    }
}

/// Returns whether the queue's copies of the claims are those of the envelope.
fn is_as_sealed(info: &TaskInfo, receipt: &Receipt) -> bool {
    info.record.as_ref().is_some_and(|record| {
        record.id == receipt.queue_id
            && record.queue == receipt.queue.as_str()
            && record.task_type == receipt.task_type
    })
}

fn completed(entry: &Entry, receipt: &Receipt) -> Failure {
    let (number, queue, id) = (entry.id.0, &receipt.queue, &receipt.queue_id);
    Failure::new(format!("entry {number}: according to queue {queue}, task {id} is completed")).hint(format!(
        "`taskseal result {id}` verifies its result, `taskseal quarantine prune {number}` removes the entry"
    ))
}
