//! Stage 1: fetches tasks from the queues, as many as this worker has slots for, and starts those that may run.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::event::Event;
use super::lease_guard::LeaseGuard;
use super::phase::Phase;
use super::queue_scheduler::QueueScheduler;
use super::shared::Shared;
use super::task_state::{BatchDecision, Completion, DecryptedTask, LeasedTask, StageDecision};
use super::{execute, prepare, quarantine};
use crate::broker::{Dequeued, Leased};
use crate::queue::QueueName;

/// Fetches tasks until the worker drains, or, with `once`, until nothing is left to do. Returns when every fetched task was
/// sent to settlement.
pub(super) async fn run(shared: Arc<Shared>, completions: mpsc::Sender<Completion>, once: bool) {
    let slots = Arc::new(Semaphore::new(shared.settings.concurrency.max(1)));
    let scheduler = QueueScheduler::new(&shared.settings.queues);
    let mut fetcher = Fetcher { shared, scheduler, running: JoinSet::new(), completions };
    // Without settlement no outcome would be recorded.
    while fetcher.shared.lifecycle.phase() == Phase::Running && !fetcher.completions.is_closed() {
        while fetcher.running.try_join_next().is_some() {}
        let Some(slots) = fetcher.slots(&slots).await else { break };
        if !fetcher.fetch(slots).await {
            if once && fetcher.is_done() {
                break;
            }
            fetcher.idle(once).await;
        }
    }
    while fetcher.running.join_next().await.is_some() {}
}

struct Fetcher {
    shared: Arc<Shared>,
    scheduler: QueueScheduler,
    running: JoinSet<()>,
    completions: mpsc::Sender<Completion>,
}

/// Permits to run tasks.
struct Slots {
    /// One for each task.
    permits: Vec<OwnedSemaphorePermit>,
    /// Set if one task may run to find out whether the result key works again.
    trial: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// Removes as many permits as there are, up to `count`.
    fn take(&mut self, count: usize) -> Self {
        let permits = self.permits.split_off(self.permits.len().saturating_sub(count));
        Self { permits, trial: self.trial.take() }
    }
}

/// Delay between checks by a worker that ends with its queues whether its last tasks are settled.
const DONE_CHECK: Duration = Duration::from_millis(20);

impl Fetcher {
    /// Waits for a free slot, and until the result key works. Returns all free slots, up to a batch. Returns `None` if the
    /// worker drains.
    async fn slots(&self, slots: &Arc<Semaphore>) -> Option<Slots> {
        let lifecycle = &self.shared.lifecycle;
        let first = tokio::select! {
            permit = Arc::clone(slots).acquire_owned() => permit.ok()?,
            () = lifecycle.entered(Phase::Draining) => return None,
        };
        let more = std::iter::from_fn(|| Arc::clone(slots).try_acquire_owned().ok());
        let batch = self.shared.settings.fetch_batch.max(1);
        let mut permits: Vec<_> = std::iter::once(first).chain(more).take(batch).collect();
        let trial = tokio::select! {
            trial = self.shared.result_key.wait_until_usable() => trial,
            () = lifecycle.entered(Phase::Draining) => return None,
        };
        if trial.is_some() {
            permits.truncate(1);
        }
        Some(Slots { permits, trial })
    }

    /// Returns whether a worker that ends with its queues may end: every fetched task is settled, and every queue was empty
    /// or has not responded for too long.
    fn is_done(&self) -> bool {
        if !self.shared.leases.is_empty() {
            return false;
        }
        let Some(lost) = self.scheduler.unresponsive(self.shared.settings.retry_for) else { return false };
        lost.into_iter().for_each(|queue| self.shared.observe(&Event::GaveUp { queue }));
        true
    }

    /// Waits until there may be a task to fetch, a handler has ended, or the worker drains.
    async fn idle(&mut self, once: bool) {
        let longest = if once { DONE_CHECK } else { self.shared.settings.poll };
        let waiting = async {
            match self.scheduler.next_attempt() {
                // The broker, asked to wait for a queue that fails, might not say when it is back.
                Some(next) => tokio::time::sleep(next.min(longest)).await,
                None => self.shared.parts.broker.wait(&self.scheduler.names(), longest).await,
            }
        };
        tokio::select! {
            () = waiting => {}
            Some(_) = self.running.join_next(), if !self.running.is_empty() => {}
            () = self.shared.lifecycle.entered(Phase::Draining) => {}
        }
    }

    /// Fetches as many tasks as there are slots, from each queue in turn. Returns whether there were any.
    async fn fetch(&mut self, mut slots: Slots) -> bool {
        let mut fetched = false;
        for (number, queue) in self.scheduler.round() {
            if slots.permits.is_empty() {
                break;
            }
            let Some(dequeued) = self.dequeue(number, &queue, slots.permits.len()).await else { continue };
            let Dequeued { tasks, corrupt, dropped } = dequeued;
            if !dropped.is_empty() {
                self.shared.observe(&Event::Dropped { count: dropped.len() });
                // Behind these entries there may be tasks.
                fetched = true;
            }
            if !corrupt.is_empty() {
                quarantine::hold_corrupt(&self.shared, &queue, corrupt).await;
                fetched = true;
            }
            if !tasks.is_empty() {
                fetched = true;
                let slots = slots.take(tasks.len());
                let tasks = self.leased(&queue, tasks, slots);
                if !self.start(queue, tasks).await {
                    // All queues use the same ledger.
                    self.scheduler.all_failed();
                    break;
                }
            }
        }
        fetched
    }

    async fn dequeue(&mut self, number: usize, queue: &QueueName, limit: usize) -> Option<Dequeued> {
        let lease = self.shared.settings.lease;
        match self.shared.parts.broker.dequeue(queue, limit, lease).await {
            Ok(dequeued) => {
                self.scheduler.responded(number);
                Some(dequeued)
            }
            Err(error) => {
                self.shared.observe(&Event::BrokerFailed { doing: "take tasks", error });
                self.scheduler.failed(number);
                None
            }
        }
    }

    /// Adds the tasks of a batch to the lease table.
    fn leased(
        &self,
        queue: &QueueName,
        tasks: Vec<Leased>,
        Slots { permits, mut trial }: Slots,
    ) -> Vec<LeasedTask> {
        let leased = |(Leased { lease, record }, slot)| LeasedTask {
            queue: queue.clone(),
            guard: LeaseGuard::new(&self.shared.leases, queue, &lease),
            lease,
            record,
            _slot: slot,
            _trial: trial.take(),
        };
        tasks.into_iter().zip(permits).map(leased).collect()
    }

    /// Prepares a batch, starts the tasks that may run, and has the others settled. Returns whether the ledger responded.
    async fn start(&mut self, queue: QueueName, tasks: Vec<LeasedTask>) -> bool {
        let prepared = self.shared.run_blocking(move |shared| {
            let decision = prepare::prepare(shared, &queue, &tasks);
            (tasks, decision)
        });
        let (tasks, BatchDecision { decisions, ledger_responded }) = match prepared.await {
            Ok(prepared) => prepared,
            Err(panic) => {
                // No task has started. The leases expire and the tasks are delivered again.
                self.shared.state_failed(&format_args!("cannot prepare tasks: {panic}"));
                return false;
            }
        };
        for (task, decision) in tasks.into_iter().zip(decisions) {
            self.dispatch(task, decision).await;
        }
        ledger_responded
    }

    async fn dispatch(&mut self, task: LeasedTask, decision: StageDecision<Box<DecryptedTask>>) {
        let (shared, completions) = (Arc::clone(&self.shared), self.completions.clone());
        match decision {
            Continue(decrypted) => {
                self.running.spawn(execute::execute(shared, task, *decrypted, completions));
            }
            Break(outcome) => drop(completions.send(task.complete(outcome)).await),
        }
    }
}
