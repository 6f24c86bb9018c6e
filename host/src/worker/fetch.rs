//! Stage 1: fetches tasks from the queues, as many as this worker has slots for, and starts those that may run.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::event::Event;
use super::lease_guard::LeaseGuard;
use super::phase::Phase;
use super::queue_scheduler::QueueScheduler;
use super::shared::Shared;
use super::slots::Slot;
use super::start::ReadyTask;
use super::task_state::{BatchDecision, Completion, DecryptedTask, LeasedTask, StageDecision};
use super::{prepare, propagate_panic, quarantine, start};
use crate::broker::{DequeueLimits, Dequeued, Leased};
use crate::queue::QueueName;
use crate::runtime::boxed;

/// Fetches tasks until the worker drains, or, with `once`, until nothing is left to do. Returns when every fetched task was
/// sent to settlement.
pub(super) async fn run(shared: Arc<Shared>, completions: mpsc::Sender<Completion>, once: bool) {
    let scheduler = QueueScheduler::new(&shared.settings.queues);
    let (ready, to_start) = mpsc::unbounded_channel();
    let starting = tokio::spawn(boxed(start::run(Arc::clone(&shared), to_start, completions.clone())));
    let mut fetcher = Fetcher { shared, scheduler, ready, completions, full_queues: Vec::new() };
    // Without settlement no outcome would be recorded.
    while fetcher.shared.lifecycle.phase() == Phase::Running && !fetcher.completions.is_closed() {
        let Some(slots) = fetcher.slots().await else { break };
        // A task that is given back during the call may not be in its answer.
        let is_settled = fetcher.shared.leases.is_empty();
        if !fetcher.fetch(slots).await {
            if once && is_settled && fetcher.is_done() {
                break;
            }
            fetcher.idle(once).await;
        }
    }
    drop(fetcher);
    propagate_panic(starting.await);
}

struct Fetcher {
    shared: Arc<Shared>,
    scheduler: QueueScheduler,
    /// Tasks for the handlers, in order.
    ready: mpsc::UnboundedSender<ReadyTask>,
    completions: mpsc::Sender<Completion>,
    /// Queues that were not asked, because the worker holds as many of their tasks as it may, each with its number.
    full_queues: Vec<(usize, QueueName)>,
}

/// Slots for the tasks of a batch.
struct Slots {
    /// One for each task.
    free: Vec<Slot>,
    /// Set if one task may run to find out whether the result key works again.
    trial: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// Removes as many slots as there are, up to `count`.
    fn take(&mut self, count: usize) -> Self {
        let free = self.free.split_off(self.free.len().saturating_sub(count));
        Self { free, trial: self.trial.take() }
    }
}

/// Maximum size of a stored task without its body, in bytes: headers, signature, receipt, the fields of the queue and the
/// text of the last failure.
const TASK_OVERHEAD: usize = 128 * 1024;

/// Delay between checks by a worker that ends with its queues whether its last tasks are settled.
const DONE_CHECK: Duration = Duration::from_millis(20);

impl Fetcher {
    /// Waits for a free slot, and until the result key works. Returns all free slots, up to a batch. Returns `None` if the
    /// worker drains.
    async fn slots(&self) -> Option<Slots> {
        let Shared { lifecycle, settings, slots, result_key, .. } = &*self.shared;
        let mut free = tokio::select! {
            free = slots.take(settings.fetch_batch.max(1)) => free,
            () = lifecycle.entered(Phase::Draining) => return None,
        };
        let trial = tokio::select! {
            trial = result_key.wait_until_usable() => trial,
            () = lifecycle.entered(Phase::Draining) => return None,
        };
        if trial.is_some() {
            free.truncate(1);
        }
        Some(Slots { free, trial })
    }

    /// Returns whether a worker that ends with its queues may end: every queue was empty or has not responded for too long.
    fn is_done(&self) -> bool {
        let Some(lost) = self.scheduler.unresponsive(self.shared.settings.retry_for) else { return false };
        lost.into_iter().for_each(|queue| self.shared.observe(&Event::GaveUp { queue }));
        true
    }

    /// Waits until there may be a task to fetch, or the worker drains.
    async fn idle(&mut self, once: bool) {
        let longest = if once { DONE_CHECK } else { self.shared.settings.poll };
        let mut queues = self.scheduler.names();
        // They have tasks: the broker would return at once, again and again.
        queues.retain(|queue| self.full_queues.iter().all(|(_, full)| full != queue));
        let waiting = async {
            match self.scheduler.next_attempt() {
                // The broker, asked to wait for a queue that fails, might not say when it is back.
                Some(next) => tokio::time::sleep(next.min(longest)).await,
                None => self.shared.parts.broker.wait(&queues, longest).await,
            }
        };
        tokio::select! {
            () = waiting => {}
            // The queue does not announce the tasks that it held before.
            () = self.room(), if !self.full_queues.is_empty() => {}
            () = self.shared.lifecycle.entered(Phase::Draining) => {}
        }
    }

    /// Waits until a queue that was full may be asked. Slots are also freed by tasks of other queues, and by a fetch that found
    /// no tasks for them.
    async fn room(&self) {
        loop {
            self.shared.slots.freed().await;
            if self.full_queues.iter().any(|(number, queue)| self.limit(*number, queue) > 0) {
                return;
            }
        }
    }

    /// Fetches as many tasks as there are slots, from each queue in turn. Returns whether there were any.
    async fn fetch(&mut self, mut slots: Slots) -> bool {
        let mut fetched = false;
        self.full_queues.clear();
        for (number, queue) in self.scheduler.round() {
            if slots.free.is_empty() {
                break;
            }
            let limit = self.limit(number, &queue).min(slots.free.len());
            if limit == 0 {
                self.full_queues.push((number, queue));
                continue;
            }
            let Some(dequeued) = self.dequeue(number, &queue, limit).await else { continue };
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
                    // All queues use the same ledger. A queue that has responded is not asked earlier for that.
                    self.scheduler.all_failed();
                    break;
                }
            }
            self.scheduler.responded(number);
        }
        fetched
    }

    /// Returns how many more tasks of a queue the worker may hold.
    fn limit(&self, number: usize, queue: &QueueName) -> usize {
        let most = self.scheduler.concurrency(number);
        most.map_or(usize::MAX, |most| most.saturating_sub(self.shared.leases.count(queue)))
    }

    async fn dequeue(&mut self, number: usize, queue: &QueueName, limit: usize) -> Option<Dequeued> {
        let (lease, max_body) =
            (self.shared.settings.lease, self.shared.keys.snapshot().policy.largest_body());
        let limits = DequeueLimits::tasks(limit).with_task_bytes(max_body.saturating_add(TASK_OVERHEAD));
        match self.shared.parts.broker.dequeue_within(queue, limits, lease).await {
            Ok(dequeued) => Some(dequeued),
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
        Slots { free, mut trial }: Slots,
    ) -> Vec<LeasedTask> {
        let leased = |(Leased { lease, record }, slot): (Leased, Slot)| LeasedTask {
            queue: queue.clone(),
            guard: LeaseGuard::new(&self.shared.leases, queue, &lease),
            lease,
            _slot: slot.with_bytes(record.envelope.len() + record.detached.as_ref().map_or(0, Bytes::len)),
            record,
            trial: trial.take(),
        };
        tasks.into_iter().zip(free).map(leased).collect()
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

    async fn dispatch(&self, task: LeasedTask, decision: StageDecision<Box<DecryptedTask>>) {
        match decision {
            // The receiver ends after the last sender.
            Continue(decrypted) => {
                drop(self.ready.send(ReadyTask { task, decrypted, since: Instant::now() }));
            }
            Break(outcome) => drop(self.completions.send(task.complete(outcome)).await),
        }
    }
}
