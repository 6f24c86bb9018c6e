//! Takes tasks from the queues, as many as there is room for, and hands them to intake and handlers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::event::Event;
use super::intake::{self, Ruled, Ruling};
use super::lines::Lines;
use super::settle::{Ending, Handout};
use super::{Phase, Shared, refuse, run};
use crate::broker::{Dequeued, Leased};
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// Runs until the worker drains, or, with `once`, until there is nothing left to do; ends when every task that it took
/// has been handed to the settler.
pub(super) async fn run(shared: Arc<Shared>, endings: mpsc::Sender<Ending>, once: bool) {
    let room = Arc::new(Semaphore::new(shared.settings.concurrency.max(1)));
    let mut processor =
        Processor { lines: Lines::new(&shared.settings.queues), running: JoinSet::new(), endings };
    // Without a settler nothing that runs would be recorded.
    while *shared.phase.borrow() == Phase::Running && !processor.endings.is_closed() {
        while processor.running.try_join_next().is_some() {}
        let Some(mut permits) = permits(&shared, &room).await else { break };
        let trial = tokio::select! {
            trial = shared.result_key.worth_taking() => trial,
            () = shared.entered(Phase::Draining) => break,
        };
        if trial.is_some() {
            permits.truncate(1);
        }
        match processor.take(&shared, permits, trial).await {
            Taken::Some => {}
            Taken::Nothing => {
                if once && processor.is_done(&shared) {
                    break;
                }
                processor.idle(&shared, once).await;
            }
        }
    }
    while processor.running.join_next().await.is_some() {}
}

struct Processor {
    lines: Lines,
    running: JoinSet<()>,
    endings: mpsc::Sender<Ending>,
}

/// What a round over the queues gave.
enum Taken {
    Some,
    Nothing,
}

/// How often a worker that ends with its queues looks whether its last tasks are settled.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for room for one task and takes as much more as there is, up to a batch.
async fn permits(shared: &Arc<Shared>, room: &Arc<Semaphore>) -> Option<Vec<OwnedSemaphorePermit>> {
    let first = tokio::select! {
        permit = Arc::clone(room).acquire_owned() => permit.ok()?,
        () = shared.entered(Phase::Draining) => return None,
    };
    let more = std::iter::from_fn(|| Arc::clone(room).try_acquire_owned().ok());
    Some(std::iter::once(first).chain(more).take(shared.settings.fetch_batch.max(1)).collect())
}

impl Processor {
    /// Whether a worker that ends with its queues may end: nothing is left of what it took, and every queue was empty or
    /// has not answered for too long.
    fn is_done(&self, shared: &Shared) -> bool {
        if !shared.in_flight.is_empty() {
            return false;
        }
        let Some(lost) = self.lines.lost(shared.settings.retry_for) else { return false };
        lost.into_iter().for_each(|queue| shared.observe(&Event::GaveUp { queue }));
        true
    }

    /// Waits until there may be something to take, a handler has ended, or the worker drains.
    async fn idle(&mut self, shared: &Arc<Shared>, once: bool) {
        let most = if once { LOOK } else { shared.settings.poll };
        let waiting = async {
            match self.lines.next_try() {
                // A queue that failed says nothing about when it is worth asking again.
                Some(next) => tokio::time::sleep(next.min(most)).await,
                None => shared.parts.broker.wait(&self.lines.names(), most).await,
            }
        };
        tokio::select! {
            () = waiting => {}
            Some(_) = self.running.join_next(), if !self.running.is_empty() => {}
            () = shared.entered(Phase::Draining) => {}
        }
    }

    /// Takes as many tasks as there are permits; with a `trial` there is one.
    async fn take(
        &mut self,
        shared: &Arc<Shared>,
        mut permits: Vec<OwnedSemaphorePermit>,
        mut trial: Option<OwnedSemaphorePermit>,
    ) -> Taken {
        let mut taken = Taken::Nothing;
        for (line, queue) in self.lines.in_turn() {
            if permits.is_empty() {
                break;
            }
            let until = UnixMillis::now().plus(shared.settings.lease);
            let dequeued = shared.parts.broker.dequeue(&queue, permits.len(), shared.settings.lease).await;
            let Dequeued { tasks, corrupt, dropped } = match dequeued {
                Ok(dequeued) => dequeued,
                Err(error) => {
                    shared.observe(&Event::BrokerFailed { doing: "take tasks", error });
                    self.lines.failed(line);
                    continue;
                }
            };
            self.lines.answered(line);
            if !dropped.is_empty() {
                shared.observe(&Event::Dropped { count: dropped.len() });
            }
            if !corrupt.is_empty() {
                refuse::keep_corrupt(shared, &queue, corrupt).await;
                taken = Taken::Some;
            }
            if !tasks.is_empty() {
                taken = Taken::Some;
                let kept = permits.split_off(permits.len().saturating_sub(tasks.len()));
                if !self.dispatch(shared, queue, tasks, until, (kept, trial.take())).await {
                    // All lines lead to the same ledger.
                    self.lines.all_failed();
                    break;
                }
            }
        }
        taken
    }

    /// Answers whether the ledger did.
    async fn dispatch(
        &mut self,
        shared: &Arc<Shared>,
        queue: QueueName,
        tasks: Vec<Leased>,
        until: UnixMillis,
        (permits, mut trial): (Vec<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>),
    ) -> bool {
        let places: Vec<_> =
            tasks.iter().map(|leased| shared.in_flight.add(&queue, &leased.lease, until)).collect();
        let worker = Arc::clone(shared);
        let name = queue.clone();
        let ruled = tokio::task::spawn_blocking(move || {
            let ruled = intake::rule(&worker, &name, &tasks, &places);
            (tasks, places, ruled)
        });
        let (tasks, places, Ruled { rulings, ledger_answered }) = match ruled.await {
            Ok(ruled) => ruled,
            Err(panic) => {
                // The leases run out and the tasks come back; nothing was run.
                shared.observe(&Event::StateFailed { error: format!("intake: {panic}") });
                return false;
            }
        };
        let handouts = tasks.into_iter().zip(places).zip(permits).map(|((leased, place), permit)| {
            let Leased { lease, record } = leased;
            let (queue, trial) = (queue.clone(), trial.take());
            Handout { queue, lease, record, place, _permit: permit, _trial: trial }
        });
        for (handout, ruling) in handouts.zip(rulings) {
            match ruling {
                Ruling::Run(admitted) => {
                    let run = run::run(Arc::clone(shared), *admitted, handout, self.endings.clone());
                    self.running.spawn(run);
                }
                Ruling::NotRun(end) => drop(self.endings.send(handout.ends(end)).await),
            }
        }
        ledger_answered
    }
}
