//! Takes tasks from the queues, as many as there is room for, and hands them to intake and handlers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::backoff::Backoff;
use super::event::Event;
use super::intake::{self, Ruling};
use super::settle::{End, Ending};
use super::{Phase, Shared, refuse, run};
use crate::broker::{Dequeued, Leased};
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// Runs until the worker drains, or, with `once`, until there is nothing left to do; ends when every task that it took
/// has been handed to the settler.
pub(super) async fn run(shared: Arc<Shared>, endings: mpsc::Sender<Ending>, once: bool) {
    let room = Arc::new(Semaphore::new(shared.settings.concurrency.max(1)));
    let mut running = JoinSet::new();
    let mut failures = 0;
    let mut turn = 0;
    while *shared.phase.borrow() == Phase::Running {
        while running.try_join_next().is_some() {}
        let Some(permits) = permits(&shared, &room).await else { break };
        match take(&shared, permits, &mut turn, &mut running, &endings).await {
            Taken::Some => failures = 0,
            Taken::Nothing if once && running.is_empty() => break,
            Taken::Nothing => {
                failures = 0;
                idle(&shared, &mut running).await;
            }
            Taken::Failed => {
                failures += 1;
                shared.sleep_unless(Phase::Draining, Backoff::RECONNECT.delay(failures)).await;
            }
        }
    }
    while running.join_next().await.is_some() {}
}

/// What a round over the queues gave.
enum Taken {
    Some,
    Nothing,
    Failed,
}

/// Waits for room for one task and takes as much more as there is, up to a batch.
async fn permits(shared: &Arc<Shared>, room: &Arc<Semaphore>) -> Option<Vec<OwnedSemaphorePermit>> {
    let first = tokio::select! {
        permit = Arc::clone(room).acquire_owned() => permit.ok()?,
        () = shared.entered(Phase::Draining) => return None,
    };
    let more = std::iter::from_fn(|| Arc::clone(room).try_acquire_owned().ok());
    Some(std::iter::once(first).chain(more).take(shared.settings.batch.max(1)).collect())
}

/// Waits until there may be something to take, a handler has ended, or the worker drains.
async fn idle(shared: &Arc<Shared>, running: &mut JoinSet<()>) {
    let queues: Vec<QueueName> = shared.settings.queues.iter().map(|queue| queue.name.clone()).collect();
    tokio::select! {
        () = shared.parts.broker.wait(&queues, shared.settings.poll) => {}
        Some(_) = running.join_next(), if !running.is_empty() => {}
        () = shared.entered(Phase::Draining) => {}
    }
}

async fn take(
    shared: &Arc<Shared>,
    mut permits: Vec<OwnedSemaphorePermit>,
    turn: &mut usize,
    running: &mut JoinSet<()>,
    endings: &mpsc::Sender<Ending>,
) -> Taken {
    let mut taken = Taken::Nothing;
    for queue in queues_in_turn(shared, turn) {
        if permits.is_empty() {
            break;
        }
        let until = UnixMillis::now().plus(shared.settings.lease);
        let dequeued = match shared.parts.broker.dequeue(&queue, permits.len(), shared.settings.lease).await {
            Ok(dequeued) => dequeued,
            Err(error) => {
                shared.observe(&Event::BrokerFailed { doing: "take tasks", error });
                return Taken::Failed;
            }
        };
        let Dequeued { tasks, corrupt, dropped } = dequeued;
        if !dropped.is_empty() {
            shared.observe(&Event::Dropped { count: dropped.len() });
        }
        if !corrupt.is_empty() {
            refuse::keep_corrupt(shared, &queue, corrupt).await;
            taken = Taken::Some;
        }
        if !tasks.is_empty() {
            let kept = permits.split_off(permits.len().saturating_sub(tasks.len()));
            dispatch(shared, queue, tasks, until, kept, running, endings).await;
            taken = Taken::Some;
        }
    }
    taken
}

/// All queues, beginning with the one whose turn it is: each gets as many turns as its weight.
fn queues_in_turn(shared: &Shared, turn: &mut usize) -> Vec<QueueName> {
    let queues = &shared.settings.queues;
    let turns = queues.iter().enumerate();
    let turns: Vec<usize> =
        turns.flat_map(|(index, queue)| std::iter::repeat_n(index, queue.weight.max(1) as usize)).collect();
    let first = turns.get(*turn % turns.len().max(1)).copied().unwrap_or_default();
    *turn = turn.wrapping_add(1);
    let (before, after) = queues.split_at(first.min(queues.len()));
    after.iter().chain(before).map(|queue| queue.name.clone()).collect()
}

async fn dispatch(
    shared: &Arc<Shared>,
    queue: QueueName,
    tasks: Vec<Leased>,
    until: UnixMillis,
    permits: Vec<OwnedSemaphorePermit>,
    running: &mut JoinSet<()>,
    endings: &mpsc::Sender<Ending>,
) {
    let tickets: Vec<_> =
        tasks.iter().map(|leased| shared.in_flight.add(&queue, &leased.lease, until)).collect();
    let worker = Arc::clone(shared);
    let name = queue.clone();
    let ruled = tokio::task::spawn_blocking(move || {
        let rulings = intake::rule(&worker, &name, &tasks, until);
        (tasks, rulings)
    });
    let (tasks, rulings) = match ruled.await {
        Ok(ruled) => ruled,
        Err(panic) => {
            // The leases run out and the tasks come back; nothing was run.
            shared.observe(&Event::StateFailed { error: format!("intake: {panic}") });
            tickets.into_iter().for_each(|ticket| shared.in_flight.remove(ticket));
            return;
        }
    };
    for (((leased, ruling), ticket), permit) in tasks.into_iter().zip(rulings).zip(tickets).zip(permits) {
        let mut ending = Ending {
            queue: queue.clone(),
            lease: leased.lease,
            message: leased.message,
            ticket,
            end: End::Lost,
            _permit: Some(permit),
        };
        match ruling {
            Ruling::Run(admitted) => {
                shared.in_flight.claimed(ticket, admitted.key.clone());
                running.spawn(run::run(Arc::clone(shared), *admitted, ending, endings.clone()));
            }
            Ruling::NotRun(end) => {
                ending.end = end;
                let _ = endings.send(ending).await;
            }
        }
    }
}
