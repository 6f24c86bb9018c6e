//! Ends leases in batches: first the ledger learns how a run ended, then the queue, then the ledger that the queue knows.
//!
//! In that order a crash at any point loses nothing: before the ledger knows, the task runs again; before the queue knows,
//! the next delivery finds the end in the ledger and stores it without running.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::backoff::Backoff;
use super::event::Event;
use super::in_flight::Ticket;
use super::refuse::{self, Refused};
use super::{Phase, Shared};
use crate::broker::{Lease, Settled, Settlement};
use crate::handler::Failure;
use crate::ledger::{LedgerError, TaskKey};
use crate::message::Message;
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// A lease that is to end.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) queue: QueueName,
    pub(super) lease: Lease,
    pub(super) message: Message,
    pub(super) ticket: Ticket,
    pub(super) end: End,
    /// Room for another task, free again once this one is settled.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
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
    Refused(Refused),
    /// Authentic, but its time has not come.
    Early { at: UnixMillis, refused: Refused },
    /// Cannot be run now.
    PutOff { at: UnixMillis, claimed: Option<TaskKey> },
    /// Cancelled by the end of the drain.
    Cancelled { key: TaskKey },
    /// The lease is somebody else's: nothing to settle.
    Lost,
}

/// Most leases ended by one call.
const BATCH: usize = 64;
/// Tries at a broker or ledger that is away once the worker is to stop.
const LAST_TRIES: u32 = 5;

/// Settles until every sender is gone.
pub(super) async fn run(shared: Arc<Shared>, mut endings: mpsc::Receiver<Ending>) {
    let mut batch = Vec::with_capacity(BATCH);
    while endings.recv_many(&mut batch, BATCH).await > 0 {
        let tickets: Vec<Ticket> = batch.iter().map(|ending| ending.ticket).collect();
        settle(&shared, std::mem::take(&mut batch)).await;
        tickets.into_iter().for_each(|ticket| shared.in_flight.remove(ticket));
    }
}

async fn settle(shared: &Arc<Shared>, endings: Vec<Ending>) {
    let Some(endings) = record(shared, endings).await else { return };
    let endings = refuse::hold(shared, endings).await;
    let mut by_queue: HashMap<QueueName, Vec<Ending>> = HashMap::new();
    for ending in endings {
        by_queue.entry(ending.queue.clone()).or_default().push(ending);
    }
    for (queue, endings) in by_queue {
        settle_queue(shared, &queue, endings).await;
    }
}

/// Tells the ledger how runs ended. Leaves out what is no longer ours; `None` if the ledger stays silent and the worker
/// is to stop, in which case leases and claims run out.
async fn record(shared: &Arc<Shared>, mut endings: Vec<Ending>) -> Option<Vec<Ending>> {
    endings.retain(|ending| !matches!(ending.end, End::Lost));
    let mut tries = 0;
    let ours = loop {
        let worker = Arc::clone(shared);
        let recorded =
            tokio::task::spawn_blocking(move || (record_now(&worker, &endings), endings)).await.ok()?;
        match recorded {
            (Ok(ours), returned) => {
                endings = returned;
                break ours;
            }
            (Err(error), returned) => {
                endings = returned;
                shared.observe(&Event::StateFailed { error: error.to_string() });
                again(shared, &mut tries).await?;
            }
        }
    };
    let mut ours = ours.into_iter();
    endings.retain(|ending| {
        let kept = !matches!(ending.end, End::Succeeded { .. }) || ours.next().unwrap_or(false);
        if !kept {
            shared.observe(&Event::LeaseLost { id: ending.lease.id.clone() });
        }
        kept
    });
    Some(endings)
}

/// Answers for each success, in order, whether its claim was still ours.
fn record_now(shared: &Shared, endings: &[Ending]) -> Result<Vec<bool>, LedgerError> {
    let ledger = &shared.parts.ledger;
    let (mut finished, mut released, mut abandoned, mut given_back) = (vec![], vec![], vec![], vec![]);
    for ending in endings {
        match &ending.end {
            End::Succeeded { key, outcome, .. } => finished.push((key.clone(), outcome.clone())),
            End::Failed { key, retry_at: Some(_), .. } => released.push(key.clone()),
            End::Failed { key, retry_at: None, .. } => abandoned.push(key.clone()),
            End::Cancelled { key } | End::PutOff { claimed: Some(key), .. } => given_back.push(key.clone()),
            _ => {}
        }
    }
    let ours = if finished.is_empty() { Vec::new() } else { ledger.finish(&shared.owner, &finished)? };
    if !released.is_empty() {
        ledger.release(&shared.owner, &released)?;
    }
    if !abandoned.is_empty() {
        ledger.abandon(&shared.owner, &abandoned)?;
    }
    if !given_back.is_empty() {
        ledger.give_back(&shared.owner, &given_back)?;
    }
    Ok(ours)
}

async fn settle_queue(shared: &Arc<Shared>, queue: &QueueName, endings: Vec<Ending>) {
    let now = UnixMillis::now();
    let ends: Vec<(Lease, Settlement)> =
        endings.iter().map(|ending| (ending.lease.clone(), settlement(ending, now))).collect();
    let mut tries = 0;
    let settled = loop {
        match shared.parts.broker.settle(queue, &ends).await {
            Ok(settled) => break settled,
            Err(error) => {
                let transient = error.is_transient();
                shared.observe(&Event::BrokerFailed { doing: "settle tasks", error });
                if !transient || again(shared, &mut tries).await.is_none() {
                    // The leases run out, and what the ledger knows is settled at the next delivery.
                    return;
                }
            }
        }
    };
    let mut done = Vec::new();
    for (ending, settled) in endings.into_iter().zip(settled) {
        if settled == Settled::LeaseLost {
            shared.observe(&Event::LeaseLost { id: ending.lease.id });
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
    let failed =
        |error: String| Message { error_msg: error, last_failed_at: now.as_secs(), ..ending.message.clone() };
    let retried = |error: &str| Message {
        retried: ending.message.retried.saturating_add(1),
        ..failed(error.to_owned())
    };
    match &ending.end {
        End::Succeeded { retention, .. } | End::SettledAgain { retention, .. } if retention.is_zero() => {
            Settlement::Done
        }
        End::Succeeded { outcome, retention, .. } | End::SettledAgain { outcome, retention, .. } => {
            Settlement::Complete {
                message: Message { completed_at: now.as_secs(), ..ending.message.clone() },
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
        End::Refused(refused) => {
            Settlement::Archive { message: failed(format!("taskseal: refused: {}", refused.refusal.code())) }
        }
        End::Early { at, .. } | End::PutOff { at, .. } => {
            Settlement::Retry { message: ending.message.clone(), at: *at, failed: false }
        }
        End::Cancelled { .. } | End::Lost => Settlement::Requeue,
    }
}

fn event(ending: Ending) -> Event {
    let id = ending.lease.id;
    match ending.end {
        End::Succeeded { .. } => Event::Succeeded { id },
        End::SettledAgain { .. } => Event::SettledAgain { id },
        End::Failed { failure, retry_at: Some(_), .. } => Event::Retried { id, reason: failure.to_string() },
        End::Failed { failure, retry_at: None, .. } => Event::Archived { id, reason: failure.to_string() },
        End::Refused(refused) | End::Early { refused, .. } => Event::Refused {
            id,
            queue: ending.queue,
            detail: refused.detail(),
            refusal: refused.refusal,
            quarantined: refused.quarantined,
        },
        End::PutOff { .. } | End::Cancelled { .. } | End::Lost => Event::GivenBack { id },
    }
}
