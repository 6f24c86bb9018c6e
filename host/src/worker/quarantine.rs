//! Stores refused tasks in the quarantine, with what an operator needs to understand the refusal, before the queue archives
//! them.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use taskseal_core::Refusal;

use super::event::Event;
use super::shared::Shared;
use super::task_state::{Completion, Outcome, RefusalDetails};
use crate::broker::{Corrupt, TaskRecord};
use crate::quarantine::{Disposition, Held, HoldOutcome, NewEntry, StateError};
use crate::queue::QueueName;
use crate::retry::{Retry, retry_until};
use crate::telemetry;
use crate::time::UnixMillis;

/// Stores the refused tasks among `completions`. A task for which the quarantine has no room stays in the archive of its
/// queue. If the quarantine does not respond and the worker is stopping, the refused tasks are removed from `completions`:
/// their leases expire, and they are delivered and refused again.
pub(super) async fn hold(shared: &Arc<Shared>, mut completions: Vec<Completion>) -> Vec<Completion> {
    let entries: Vec<NewEntry> = completions.iter().filter_map(entry).collect();
    if entries.is_empty() {
        return completions;
    }
    let Some(held) = store(shared, entries).await else {
        completions.retain(|completion| refusal(&completion.outcome).is_none());
        return completions;
    };
    let refusals = completions.iter_mut().filter_map(|completion| match &mut completion.outcome {
        Outcome::Refused { refusal, .. } | Outcome::NotYetValid { refusal, .. } => Some(refusal),
        _ => None,
    });
    for (refusal, held) in refusals.zip(held) {
        refusal.quarantined = is_stored(held);
    }
    completions
}

/// Returns the refusal of a task, and where the task is after it is settled.
const fn refusal(outcome: &Outcome) -> Option<(&RefusalDetails, Disposition)> {
    match outcome {
        Outcome::Refused { refusal, .. } => Some((refusal, Disposition::Archived)),
        Outcome::NotYetValid { refusal, .. } => Some((refusal, Disposition::Rescheduled)),
        _ => None,
    }
}

fn entry(completion: &Completion) -> Option<NewEntry> {
    let (refusal, disposition) = refusal(&completion.outcome)?;
    let record = &completion.task.record;
    Some(NewEntry {
        queue: completion.task.queue.clone(),
        task_id: record.id.clone(),
        code: refusal.refusal.code().to_owned(),
        detail: detail(refusal, record),
        kid: refusal.kid.map(|kid| *kid.as_bytes()),
        kid_known: refusal.kid_known,
        unverified_type: Some(record.task_type.clone()),
        unverified_issuer: refusal.claimed.as_ref().map(|claimed| claimed.issuer.clone()),
        digest: Sha256::digest(&record.envelope).into(),
        payload: record.envelope.clone(),
        disposition,
        seen_at: UnixMillis::now(),
    })
}

/// Returns what is wrong. If the queue's metadata differs from the signed claims, the metadata is evidence.
fn detail(refusal: &RefusalDetails, record: &TaskRecord) -> String {
    let detail = refusal.detail();
    if refusal.refusal != Refusal::MetadataMismatch {
        return detail;
    }
    let TaskRecord { id, queue, task_type, .. } = record;
    format!("{detail}; the metadata names id {id}, queue {queue}, type {task_type}")
}

/// Repeats the call until the quarantine responds. Returns `None` if it does not and the worker is stopping.
async fn store(shared: &Arc<Shared>, entries: Vec<NewEntry>) -> Option<Vec<Held>> {
    let entries = Arc::new(entries);
    let attempt = || async {
        let entries = Arc::clone(&entries);
        match shared.run_blocking(move |shared| hold_and_measure(shared, &entries)).await {
            Ok(Ok(HoldOutcome { held, evicted })) => {
                if evicted > 0 {
                    shared.observe(&Event::QuarantineFull { evicted });
                }
                Ok(Some(held))
            }
            Ok(Err(error)) => {
                shared.state_failed(&error);
                Err(())
            }
            // A panic: the tasks are left to expire.
            Err(_) => Ok(None),
        }
    };
    retry_until(&shared.lifecycle, attempt, |()| Retry::BackOff).await.ok().flatten()
}

fn hold_and_measure(shared: &Shared, entries: &[NewEntry]) -> Result<HoldOutcome, StateError> {
    let quarantine = &shared.parts.quarantine;
    let outcome = quarantine.hold(entries)?;
    // The entries are stored. A failure that lasts is reported by `measure`.
    let _ = telemetry::measure_quarantine(quarantine);
    Ok(outcome)
}

/// Measures the quarantine: other processes change it too.
pub(super) async fn measure(shared: &Arc<Shared>) {
    let measure = |shared: &Shared| telemetry::measure_quarantine(&shared.parts.quarantine);
    if let Ok(Err(error)) = shared.run_blocking(measure).await {
        shared.state_failed(&error);
    }
}

const fn is_stored(held: Held) -> bool {
    matches!(held, Held::New { .. } | Held::Again { .. })
}

/// Stores messages that are not task messages, or longer than this worker reads. The broker has archived them.
pub(super) async fn hold_corrupt(shared: &Arc<Shared>, queue: &QueueName, corrupt: Vec<Corrupt>) {
    let refused: Vec<(String, Refusal, String)> =
        corrupt.iter().map(|corrupt| reason(shared, corrupt)).collect();
    let entries = corrupt.into_iter().zip(&refused);
    let entries =
        entries.map(|(corrupt, (_, refusal, detail))| corrupt_entry(queue, corrupt, *refusal, detail));
    let held = store(shared, entries.collect()).await.unwrap_or_default();
    for (index, (id, refusal, detail)) in refused.into_iter().enumerate() {
        let quarantined = held.get(index).is_some_and(|held| is_stored(*held));
        let queue = queue.clone();
        let (issuer, kid) = (None, None);
        shared.observe(&Event::Refused { id, queue, refusal, detail, quarantined, issuer, kid });
    }
}

/// Returns the id of a message that is not a task, the refusal and a sentence for an operator.
fn reason(shared: &Shared, corrupt: &Corrupt) -> (String, Refusal, String) {
    let id = corrupt.id.clone();
    if corrupt.is_too_large {
        let max = shared.keys.snapshot().policy.largest_body();
        let detail =
            format!("{}: not read, because the body can have {max} bytes at most", Refusal::TooLarge);
        return (id, Refusal::TooLarge, detail);
    }
    (id, Refusal::Malformed, "the queue holds no task message under this id".to_owned())
}

fn corrupt_entry(queue: &QueueName, corrupt: Corrupt, refusal: Refusal, detail: &str) -> NewEntry {
    NewEntry {
        queue: queue.clone(),
        task_id: corrupt.id,
        code: refusal.code().to_owned(),
        detail: detail.to_owned(),
        kid: None,
        kid_known: false,
        unverified_type: None,
        unverified_issuer: None,
        digest: Sha256::digest(&corrupt.bytes).into(),
        payload: corrupt.bytes.into(),
        disposition: Disposition::Archived,
        seen_at: UnixMillis::now(),
    }
}
