//! `taskseal quarantine release`: puts refused tasks into their queues again.
//!
//! The entry is marked as released before its task is stored, so that the worker that accepts the task finds it, and it stays until
//! then: whatever fails, the quarantine or the queue has the task.

mod requeue;

use serde_json::json;
use taskseal::QueueName;
use taskseal::audit::QuarantineChange;
use taskseal::escape::Escaped;
use taskseal::quarantine::{Disposition, Entry, EntryId};
use taskseal_core::{Refusal, Unverified};

use self::requeue::{Released, Requeue, Stopped};
use super::select::Selection;
use super::{Store, audited};
use crate::cmd::enqueue::{Verdict, Verifier};
use crate::failure::{Exit, Failure};
use crate::refusal_counts::RefusalCounts;
use crate::refusal_hint::refusal_hint;
use crate::session::Session;
use crate::trail::{Action, Trail};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
}

pub(super) fn run(session: &Session, store: &Store<'_>, args: &Args, ui: &Ui) -> Result<(), Failure> {
    let ids = args.selection.entries(store, "release", ui)?;
    let trail = Trail::open(&session.config, ui)?;
    let mut action = trail.begin(audited(QuarantineChange::Release, &ids))?;
    let released = release_all(session, store, &ids, args, &mut action, ui);
    action.end(released)
}

fn release_all(
    session: &Session,
    store: &Store<'_>,
    ids: &[EntryId],
    args: &Args,
    action: &mut Action<'_>,
    ui: &Ui,
) -> Result<(), Failure> {
    action.count(0);
    // Only for a warning: a worker elsewhere may have another keyset.
    let verifier = Verifier::new(&session.config).ok();
    let (refused, recorded) = (RefusalCounts::default(), RefusalCounts::default());
    let mut release = Release { session, store, verifier, refused, recorded };
    let (mut released, mut first_failure) = (0, None);
    for id in ids {
        match release.one(*id) {
            Ok(task) => {
                released += 1;
                action.count(1);
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
        return ui.object(vec![
            ("number", json!(id.0)),
            ("queue", json!(queue.as_str())),
            ("id", json!(task_id)),
            ("changed", json!(state.is_none())),
        ]);
    }
    let task_id = Escaped::new(task_id);
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
        return ui.object(vec![("matched", json!(matched)), ("released", json!(released))]);
    }
    ui.text(&format!("released: {released} of {matched} entries\n"))
}

/// Returns what can be done with an entry that is not an envelope.
fn without_envelope(id: EntryId, entry: &Entry) -> String {
    if entry.code == Refusal::Unsealed.code() {
        let (queue, id) = (&entry.queue, Escaped::new(&entry.task_id));
        return format!(
            "once the mode of its type allows unsealed tasks, `taskseal task run --queue {queue} {id}` delivers it again"
        );
    }
    format!(
        "`taskseal quarantine export {0}` writes its bytes, `taskseal quarantine prune {0}` removes it",
        id.0
    )
}

struct Release<'r> {
    session: &'r Session,
    store: &'r Store<'r>,
    verifier: Option<Verifier<'r>>,
    /// Number of tasks that a worker with this configuration would refuse again.
    refused: RefusalCounts,
    /// Number of tasks that the replay ledger of the worker refused, and will refuse again.
    recorded: RefusalCounts,
}

impl Release<'_> {
    fn one(&mut self, id: EntryId) -> Result<Released, Failure> {
        let (entry, payload) = self.store.find(id)?;
        let queue = QueueName::parse(&entry.queue)
            .map_err(|error| Failure::new(format!("entry {}: {error}", id.0)))?;
        if let Err(error) = Unverified::parse(&payload) {
            let code = error.refusal().map_or("not readable", Refusal::code);
            return Err(Failure::new(format!(
                "entry {} is not an envelope ({code}): it cannot be released",
                id.0
            ))
            .hint(without_envelope(id, &entry)));
        }
        if !self.mark(id, None, Disposition::Released)? {
            // Removed meanwhile, or its task was accepted.
            return Err(Failure::not_found(format!("entry {} not found", id.0)));
        }
        let requeue = Requeue { session: self.session, entry: &entry, queue: &queue, payload: &payload };
        match self.session.block_on(requeue.run()) {
            Ok(released) => {
                self.count_refused(&entry, &queue, &payload);
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

    fn mark(&self, id: EntryId, from: Option<Disposition>, to: Disposition) -> Result<bool, Failure> {
        self.store.call(|quarantine| quarantine.set_disposition(id, from, to))
    }

    fn count_refused(&mut self, entry: &Entry, queue: &QueueName, payload: &[u8]) {
        let verdict = self.verifier.as_mut().map(|verifier| verifier.of_envelope(queue, payload));
        if let Some(Ok(Verdict::Refused(refusal))) = verdict {
            self.refused.add(refusal);
        } else if let Some(refusal) = Refusal::from_code(&entry.code).filter(is_of_the_ledger) {
            self.recorded.add(refusal);
        }
    }

    /// Warns of tasks that a worker with this configuration or this ledger would refuse again. Another worker may accept the
    /// former.
    fn warn(&self, ui: &Ui) {
        for (refusal, count) in self.recorded.counts() {
            let (code, hint) = (refusal.code(), refusal_hint(*refusal));
            ui.warn(&format!(
                "the replay ledger refused {count} of them and will refuse them again: {refusal} ({code}); {hint}"
            ));
        }
        for (refusal, count) in self.refused.counts() {
            let (code, hint) = (refusal.code(), refusal_hint(*refusal));
            ui.warn(&format!(
                "a worker with this configuration would refuse {count} of them again: {refusal} ({code}); {hint}"
            ));
        }
    }
}

/// Returns whether the replay ledger decides so: no correction of the configuration changes what it has recorded.
const fn is_of_the_ledger(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Replayed
            | Refusal::OutOfSequence
            | Refusal::Conflict
            | Refusal::AttemptsExhausted
            | Refusal::Poisonous
    )
}
