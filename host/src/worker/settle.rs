//! Stage 7: settles completed tasks in batches. First the ledger records how the runs ended, then the queue ends the leases,
//! then the ledger records that the queue has.
//!
//! In this order a crash at any point loses nothing. Before the ledger has recorded a success, the task runs again. Before
//! the queue has, the next delivery finds the result in the ledger and stores it without a run.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::event::Event;
use super::quarantine;
use super::shared::Shared;
use super::task_state::{Completion, LeasedTask, Outcome};
use crate::broker::{Lease, Settled, Settlement};
use crate::queue::QueueName;
use crate::replay::TaskKey;
use crate::retry::{Retry, retry_until};

mod record;
mod settlement;

/// Maximum number of tasks settled by one call.
const BATCH: usize = 64;

/// Settles tasks until every sender is dropped.
pub(super) async fn run(shared: Arc<Shared>, mut completions: mpsc::Receiver<Completion>) {
    let mut batch = Vec::new();
    while completions.recv_many(&mut batch, BATCH).await > 0 {
        settle(&shared, std::mem::take(&mut batch)).await;
    }
}

async fn settle(shared: &Arc<Shared>, completions: Vec<Completion>) {
    let Some(completions) = record::record(shared, completions).await else { return };
    let completions = quarantine::hold(shared, completions).await;
    let mut by_queue: HashMap<QueueName, Vec<Completion>> = HashMap::new();
    for completion in completions {
        by_queue.entry(completion.task.queue.clone()).or_default().push(completion);
    }
    for (queue, completions) in by_queue {
        settle_queue(shared, &queue, completions).await;
    }
}

async fn settle_queue(shared: &Arc<Shared>, queue: &QueueName, completions: Vec<Completion>) {
    let settlements: Vec<(Lease, Settlement)> = completions
        .iter()
        .map(|completion| (completion.task.lease.clone(), settlement::settlement(&completion.outcome)))
        .collect();
    let answers = send_all(shared, queue, &settlements).await;
    let mut stored = Settlements::default();
    // A lease without an answer expires. What the ledger has recorded is settled at the next delivery.
    let answered = completions.into_iter().zip(settlements).zip(answers);
    for ((completion, (lease, settlement)), Answer { settled, repeated }) in answered {
        let done = match settled {
            Some(Settled::LeaseLost) => repeated && applied(shared, queue, &lease.id, &settlement).await,
            Some(_) => true,
            None => continue,
        };
        if done {
            stored.add(&completion);
            shared.observe(&settlement::event(completion));
        } else {
            report_lost(shared, &completion.task);
        }
    }
    record_stored(shared, queue.clone(), stored).await;
}

/// Returns whether the queue has applied `settlement` to a task whose lease it no longer knows: the answer to an earlier call
/// was lost.
async fn applied(shared: &Shared, queue: &QueueName, id: &str, settlement: &Settlement) -> bool {
    match shared.parts.broker.find(queue, id).await {
        Ok(info) => settlement::matches(settlement, info.map(|info| info.state)),
        Err(error) => {
            shared.observe(&Event::BrokerFailed { doing: "look up a settled task", error });
            false
        }
    }
}

/// What the queue has recorded about the tasks of a batch.
#[derive(Default)]
struct Settlements {
    /// Ledger entries of tasks that succeeded.
    succeeded: Vec<TaskKey>,
    /// Envelopes of tasks that were accepted, whether their handlers succeeded or failed.
    accepted: Vec<Bytes>,
}

impl Settlements {
    fn add(&mut self, completion: &Completion) {
        match &completion.outcome {
            Outcome::Succeeded { key, .. } | Outcome::SucceededBefore { key, .. } => {
                self.succeeded.push(key.clone());
            }
            Outcome::SucceededUnsealed { .. } | Outcome::Failed { .. } => {}
            _ => return,
        }
        self.accepted.push(completion.task.record.envelope.clone());
    }
}

/// Records in the ledger that the queue has stored results, and in the quarantine that released tasks were accepted. After a
/// failure the results stay in the ledger: a copy of the task is settled again, and never run.
async fn record_stored(shared: &Arc<Shared>, queue: QueueName, stored: Settlements) {
    if stored.accepted.is_empty() {
        return;
    }
    let record = move |shared: &Shared| {
        let recorded = match &stored.succeeded[..] {
            [] => Ok(()),
            keys => shared.parts.ledger.settled(keys).map(drop),
        };
        recorded.and(shared.parts.quarantine.accept(&queue, &stored.accepted))
    };
    if let Ok(Err(error)) = shared.run_blocking(record).await {
        shared.state_failed(&error);
    }
}

/// Reports a lost lease, unless the heartbeat has reported it.
fn report_lost(shared: &Shared, task: &LeasedTask) {
    if task.guard.mark_lease_lost() {
        shared.observe(&Event::LeaseLost { id: task.lease.id.clone() });
    }
}

/// Why a queue has not settled tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SettleFailure {
    /// It rejected the call and would reject it again.
    Rejected,
    /// It did not respond.
    NoResponse,
}

/// What the queue answered about one task.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    /// `None` if it did not settle the task.
    settled: Option<Settled>,
    /// Whether an earlier call may have been applied although its answer was lost.
    repeated: bool,
}

/// Has the queue settle tasks. Returns its answers, in order; fewer if it did not respond.
async fn send_all(shared: &Shared, queue: &QueueName, settlements: &[(Lease, Settlement)]) -> Vec<Answer> {
    match send(shared, queue, settlements).await {
        Ok(answers) => answers,
        Err(SettleFailure::Rejected) if settlements.len() > 1 => {
            // One task that the queue cannot settle must not block the others.
            let mut answers = Vec::with_capacity(settlements.len());
            for settlement in settlements {
                let one = send(shared, queue, std::slice::from_ref(settlement)).await;
                answers.push(one.ok().and_then(|one| one.first().copied()).unwrap_or_default());
            }
            answers
        }
        Err(_) => Vec::new(),
    }
}

/// Repeats the call until the queue responds, or the worker is stopping.
async fn send(
    shared: &Shared,
    queue: &QueueName,
    settlements: &[(Lease, Settlement)],
) -> Result<Vec<Answer>, SettleFailure> {
    let repeated = AtomicBool::new(false);
    let attempt = || async {
        shared.parts.broker.settle(queue, settlements).await.map_err(|error| {
            let transient = error.is_transient();
            repeated.store(true, Ordering::Relaxed);
            shared.observe(&Event::BrokerFailed { doing: "settle tasks", error });
            if transient { SettleFailure::NoResponse } else { SettleFailure::Rejected }
        })
    };
    let retry = |failure: &SettleFailure| match failure {
        SettleFailure::NoResponse => Retry::BackOff,
        SettleFailure::Rejected => Retry::Never,
    };
    let settled = retry_until(&shared.lifecycle, attempt, retry).await?;
    let answer = |settled| Answer { settled: Some(settled), repeated: repeated.load(Ordering::Relaxed) };
    Ok(settled.into_iter().map(answer).collect())
}
