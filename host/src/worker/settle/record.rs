//! Records in the ledger how runs ended.

use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::replay::{Ledger, StateError, TaskKey};
use crate::retry::{Retry, retry_until};
use crate::worker::event::Event;
use crate::worker::shared::Shared;
use crate::worker::task_state::{Completion, Outcome};

/// Records how runs ended and returns the tasks that are still to be settled. Returns `None` if the ledger does not respond
/// and the worker is stopping: leases and locks expire then.
pub(super) async fn record(
    shared: &Arc<Shared>,
    mut completions: Vec<Completion>,
) -> Option<Vec<Completion>> {
    let still_held = write(shared, LedgerRecords::of(&completions)).await?;
    let mut still_held = still_held.into_iter();
    completions.retain(|completion| match completion.outcome {
        Outcome::Succeeded { .. } => {
            let held = still_held.next().unwrap_or(false);
            if !held && completion.task.guard.mark_lock_lost() {
                shared.observe(&Event::LockLost { id: completion.task.lease.id.clone() });
            }
            held
        }
        // The heartbeat reported it when it cancelled the handler.
        Outcome::LockLost { .. } => false,
        _ => true,
    });
    completions.iter().for_each(|completion| completion.task.guard.unlocked());
    Some(completions)
}

/// Writes `records`. Returns, for each success in order, whether this worker still held the lock.
async fn write(shared: &Arc<Shared>, records: LedgerRecords) -> Option<Vec<bool>> {
    let records = Arc::new(Mutex::new(records));
    let attempt = || async {
        let records = Arc::clone(&records);
        let write = move |shared: &Shared| lock(&records).write(&*shared.parts.ledger, &shared.owner);
        match shared.run_blocking(write).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => {
                shared.state_failed(&error);
                Err(())
            }
            // A panic: the batch is left to expire.
            Err(_) => Ok(false),
        }
    };
    let written = retry_until(&shared.lifecycle, attempt, |()| Retry::BackOff).await.ok()?;
    written.then(|| std::mem::take(&mut lock(&records).still_held))
}

/// What the ledger is to record. What it has recorded is removed: a second success of one task looks like a lost lock.
#[derive(Default)]
struct LedgerRecords {
    finished: Vec<(TaskKey, Vec<u8>)>,
    released: Vec<TaskKey>,
    given_back: Vec<TaskKey>,
    forgotten: Vec<TaskKey>,
    /// For each finished task, in order, whether this worker still held the lock.
    still_held: Vec<bool>,
}

impl LedgerRecords {
    fn of(completions: &[Completion]) -> Self {
        let mut records = Self::default();
        completions.iter().for_each(|completion| records.add(&completion.outcome));
        records
    }

    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Succeeded { key, result, .. } => self.finished.push((key.clone(), result.clone())),
            // An unsealed task that has ended: its id may be used again. A sealed task always has an issuer.
            Outcome::SucceededUnsealed { key, .. } => self.forgotten.push(key.clone()),
            Outcome::Failed { key, retry_at: None, .. } if key.issuer.is_empty() => {
                self.forgotten.push(key.clone());
            }
            // A cancelled handler is not a crash of its worker. It had started, so the attempt counts.
            Outcome::Failed { key, .. }
            | Outcome::Interrupted { key }
            | Outcome::LockLost { key, started: true } => self.released.push(key.clone()),
            Outcome::LockLost { key, started: false } => self.given_back.push(key.clone()),
            Outcome::GivenBack { acquired }
            | Outcome::Deferred { acquired, .. }
            | Outcome::Postponed { acquired, .. }
            | Outcome::Refused { acquired, .. } => self.given_back.extend(acquired.clone()),
            Outcome::SucceededBefore { .. } | Outcome::NotYetValid { .. } => {}
        }
    }

    fn write(&mut self, ledger: &dyn Ledger, owner: &str) -> Result<(), StateError> {
        if !self.finished.is_empty() {
            self.still_held = ledger.finish(owner, &self.finished)?;
            self.finished.clear();
        }
        if !self.released.is_empty() {
            ledger.release(owner, &self.released)?;
            self.released.clear();
        }
        if !self.given_back.is_empty() {
            ledger.give_back(owner, &self.given_back)?;
            self.given_back.clear();
        }
        if !self.forgotten.is_empty() {
            ledger.forget(owner, &self.forgotten)?;
            self.forgotten.clear();
        }
        Ok(())
    }
}
