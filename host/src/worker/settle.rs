//! Ends leases in batches: first the ledger learns how a run ended, then the queue, then the ledger that the queue knows.
//!
//! In that order a crash at any point loses nothing: before the ledger knows, the task runs again; before the queue knows,
//! the next delivery finds the end in the ledger and stores it without running.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::event::Event;
use super::in_flight::Place;
use super::refuse::{self, Refused};
use super::{Phase, Shared};
use crate::broker::redis::asynq::Message;
use crate::broker::{Lease, Settled, Settlement};
use crate::handler::Failure;
use crate::queue::QueueName;
use crate::replay::{Ledger, LedgerError, TaskKey};
use crate::retry::Backoff;
use crate::time::UnixMillis;

/// A task that was handed out to us.
#[derive(Debug)]
pub(super) struct Handout {
    pub(super) queue: QueueName,
    pub(super) lease: Lease,
    pub(super) message: Message,
    pub(super) place: Place,
    /// Room for another task, free again once this one is settled.
    pub(super) _permit: OwnedSemaphorePermit,
    /// The right to be the only one while the result key fails.
    pub(super) _trial: Option<OwnedSemaphorePermit>,
}

impl Handout {
    pub(super) fn ends(self, end: End) -> Ending {
        self.place.ended();
        Ending { handout: self, end }
    }
}

/// A lease that is to end.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) handout: Handout,
    pub(super) end: End,
}

/// How it ends.
#[derive(Debug)]
pub(super) enum End {
    /// The handler succeeded just now.
    Succeeded { key: TaskKey, outcome: Vec<u8>, retention: Duration },
    /// It had succeeded before and the queue never heard.
    SettledAgain { key: TaskKey, outcome: Vec<u8>, retention: Duration },
    /// The attempt failed; tried again at `retry_at`, or given up.
    Failed { key: TaskKey, failure: Failure, retry_at: Option<UnixMillis> },
    /// Refused for good.
    Refused { refused: Refused, claimed: Option<TaskKey> },
    /// Authentic, but its time has not come.
    Early { at: UnixMillis, refused: Refused },
    /// Cannot be run now.
    PutOff { at: UnixMillis, claimed: Option<TaskKey> },
    /// Not run: next in line again.
    GivenBack { claimed: Option<TaskKey> },
    /// Cut off by the end of the drain once its handler had begun: next in line again, with one attempt less.
    CutOff { key: TaskKey },
    /// The lease is somebody else's: nothing to settle. The attempt counts if the handler had begun.
    Lost { key: TaskKey, begun: bool },
}

/// Most leases ended by one call.
const BATCH: usize = 64;
/// Tries at a broker or ledger that is away once the worker is to stop.
const LAST_TRIES: u32 = 5;

/// Settles until every sender is gone.
pub(super) async fn run(shared: Arc<Shared>, mut endings: mpsc::Receiver<Ending>) {
    let mut batch = Vec::new();
    while endings.recv_many(&mut batch, BATCH).await > 0 {
        settle(&shared, std::mem::take(&mut batch)).await;
    }
}

async fn settle(shared: &Arc<Shared>, endings: Vec<Ending>) {
    let Some(endings) = record(shared, endings).await else { return };
    let endings = refuse::hold(shared, endings).await;
    let mut by_queue: HashMap<QueueName, Vec<Ending>> = HashMap::new();
    for ending in endings {
        by_queue.entry(ending.handout.queue.clone()).or_default().push(ending);
    }
    for (queue, endings) in by_queue {
        settle_queue(shared, &queue, endings).await;
    }
}

/// Tells the ledger how runs ended. Leaves out what is no longer ours; `None` if the ledger stays silent and the worker
/// is to stop, in which case leases and claims run out.
async fn record(shared: &Arc<Shared>, mut endings: Vec<Ending>) -> Option<Vec<Ending>> {
    let mut records = Records::of(&endings);
    let mut tries = 0;
    loop {
        let worker = Arc::clone(shared);
        let recorded = tokio::task::spawn_blocking(move || {
            let answer = records.write(&*worker.parts.ledger, &worker.owner);
            (records, answer)
        });
        let (returned, answer) = recorded.await.ok()?;
        records = returned;
        let Err(error) = answer else { break };
        shared.observe(&Event::StateFailed { error: error.to_string() });
        again(shared, &mut tries).await?;
    }
    let mut ours = records.ours.into_iter();
    endings.retain(|ending| match ending.end {
        End::Succeeded { .. } => {
            let kept = ours.next().unwrap_or(false);
            if !kept {
                lost(shared, &ending.handout);
            }
            kept
        }
        // The heartbeat has said so when it stopped the handler.
        End::Lost { .. } => false,
        _ => true,
    });
    Some(endings)
}

/// Tells of a lost lease, unless the heartbeat has when it stopped the handler.
fn lost(shared: &Shared, handout: &Handout) {
    if handout.place.lost() {
        shared.observe(&Event::LeaseLost { id: handout.lease.id.clone() });
    }
}

/// What the ledger is to learn. What it has learnt is taken out: to finish a task twice looks like a lost claim.
#[derive(Default)]
struct Records {
    finished: Vec<(TaskKey, Vec<u8>)>,
    released: Vec<TaskKey>,
    abandoned: Vec<TaskKey>,
    given_back: Vec<TaskKey>,
    /// For each finished task, in order, whether its claim was still ours.
    ours: Vec<bool>,
}

impl Records {
    fn of(endings: &[Ending]) -> Self {
        let mut records = Self::default();
        for ending in endings {
            match &ending.end {
                End::Succeeded { key, outcome, .. } => records.finished.push((key.clone(), outcome.clone())),
                End::Failed { key, retry_at: None, .. } => records.abandoned.push(key.clone()),
                // A handler that was stopped is no crash of a worker; but it had begun, so the attempt counts.
                End::Failed { key, .. } | End::CutOff { key } | End::Lost { key, begun: true } => {
                    records.released.push(key.clone());
                }
                End::Lost { key, begun: false } => records.given_back.push(key.clone()),
                End::GivenBack { claimed } | End::PutOff { claimed, .. } | End::Refused { claimed, .. } => {
                    records.given_back.extend(claimed.clone());
                }
                End::SettledAgain { .. } | End::Early { .. } => {}
            }
        }
        records
    }

    fn write(&mut self, ledger: &dyn Ledger, owner: &str) -> Result<(), LedgerError> {
        if !self.finished.is_empty() {
            self.ours = ledger.finish(owner, &self.finished)?;
            self.finished.clear();
        }
        if !self.released.is_empty() {
            ledger.release(owner, &self.released)?;
            self.released.clear();
        }
        if !self.abandoned.is_empty() {
            ledger.abandon(owner, &self.abandoned)?;
            self.abandoned.clear();
        }
        if !self.given_back.is_empty() {
            ledger.give_back(owner, &self.given_back)?;
            self.given_back.clear();
        }
        Ok(())
    }
}

async fn settle_queue(shared: &Arc<Shared>, queue: &QueueName, endings: Vec<Ending>) {
    let now = UnixMillis::now();
    let ends: Vec<(Lease, Settlement)> =
        endings.iter().map(|ending| (ending.handout.lease.clone(), settlement(ending, now))).collect();
    let settled = match tell(shared, queue, &ends).await {
        Told::Settled(settled) => settled.into_iter().map(Some).collect(),
        Told::Refused if ends.len() > 1 => {
            // What the queue cannot do to one task must not keep the others from being settled.
            let mut settled = Vec::with_capacity(ends.len());
            for end in &ends {
                settled.push(match tell(shared, queue, std::slice::from_ref(end)).await {
                    Told::Settled(one) => one.first().copied(),
                    Told::Refused | Told::Silent => None,
                });
            }
            settled
        }
        Told::Refused | Told::Silent => Vec::new(),
    };
    let mut done = Vec::new();
    // Where there is no answer, the lease runs out, and what the ledger knows is settled at the next delivery.
    for (ending, settled) in endings.into_iter().zip(settled) {
        let Some(settled) = settled else { continue };
        if settled == Settled::LeaseLost {
            lost(shared, &ending.handout);
            continue;
        }
        if let End::Succeeded { key, .. } | End::SettledAgain { key, .. } = &ending.end {
            done.push(key.clone());
        }
        shared.observe(&event(ending));
    }
    if !done.is_empty() {
        let worker = Arc::clone(shared);
        let known = tokio::task::spawn_blocking(move || worker.parts.ledger.settled(&done)).await;
        if let Ok(Err(error)) = known {
            // The outcomes stay in the ledger: a copy of the task is settled again, never run.
            shared.observe(&Event::StateFailed { error: error.to_string() });
        }
    }
}

/// What the queue said to being told how leases end.
enum Told {
    Settled(Vec<Settled>),
    /// It will say the same the next time.
    Refused,
    /// It did not answer and the worker is to stop.
    Silent,
}

async fn tell(shared: &Shared, queue: &QueueName, ends: &[(Lease, Settlement)]) -> Told {
    let mut tries = 0;
    loop {
        let error = match shared.parts.broker.settle(queue, ends).await {
            Ok(settled) => return Told::Settled(settled),
            Err(error) => error,
        };
        let transient = error.is_transient();
        shared.observe(&Event::BrokerFailed { doing: "settle tasks", error });
        if !transient {
            return Told::Refused;
        }
        if again(shared, &mut tries).await.is_none() {
            return Told::Silent;
        }
    }
}

/// Waits before the next try; `None` when the worker is to stop and has tried often enough.
pub(super) async fn again(shared: &Shared, tries: &mut u32) -> Option<()> {
    *tries += 1;
    let stopping = *shared.phase.borrow() >= Phase::Stopping;
    if stopping && *tries >= LAST_TRIES {
        return None;
    }
    tokio::time::sleep(Backoff::RECONNECT.delay(*tries)).await;
    Some(())
}

/// What the queue is asked to do. It learns that something failed or was refused, and the code of a refusal; the words of
/// a handler stay here.
fn settlement(ending: &Ending, now: UnixMillis) -> Settlement {
    let message = &ending.handout.message;
    let failed =
        |error: String| Message { error_msg: error, last_failed_at: now.as_secs(), ..message.clone() };
    let retried =
        |error: &str| Message { retried: message.retried.saturating_add(1), ..failed(error.to_owned()) };
    match &ending.end {
        End::Succeeded { retention, .. } | End::SettledAgain { retention, .. } if retention.is_zero() => {
            Settlement::Done
        }
        End::Succeeded { outcome, retention, .. } | End::SettledAgain { outcome, retention, .. } => {
            Settlement::Complete {
                message: Message { completed_at: now.as_secs(), ..message.clone() },
                result: outcome.clone(),
                retention: *retention,
            }
        }
        End::Failed { retry_at: Some(at), .. } => {
            Settlement::Retry { message: retried("taskseal: attempt failed"), at: *at, failed: true }
        }
        End::Failed { retry_at: None, .. } => {
            Settlement::Archive { message: failed("taskseal: given up".to_owned()) }
        }
        End::Refused { refused, .. } => {
            Settlement::Archive { message: failed(format!("taskseal: refused: {}", refused.refusal.code())) }
        }
        End::Early { at, .. } | End::PutOff { at, .. } => {
            Settlement::Retry { message: message.clone(), at: *at, failed: false }
        }
        // A lost lease never comes here: it is not ours to end.
        End::GivenBack { .. } | End::CutOff { .. } | End::Lost { .. } => Settlement::Requeue,
    }
}

fn event(ending: Ending) -> Event {
    let Handout { lease, queue, .. } = ending.handout;
    let id = lease.id;
    match ending.end {
        End::Succeeded { .. } => Event::Succeeded { id },
        End::SettledAgain { .. } => Event::SettledAgain { id },
        End::Failed { failure, retry_at: Some(_), .. } => Event::Retried { id, reason: failure.to_string() },
        End::Failed { failure, retry_at: None, .. } => Event::Archived { id, reason: failure.to_string() },
        End::Refused { refused, .. } | End::Early { refused, .. } => Event::Refused {
            id,
            queue,
            detail: refused.detail(),
            refusal: refused.refusal,
            quarantined: refused.quarantined,
        },
        End::PutOff { .. } | End::GivenBack { .. } | End::CutOff { .. } | End::Lost { .. } => {
            Event::GivenBack { id }
        }
    }
}
