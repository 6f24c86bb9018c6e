//! What the guides promise, in their own numbers: a handler of 20 seconds survives a Redis that does not answer for 15 seconds, and an intruder
//! who takes its lease ten times.
//!
//! These tests really take that long, unlike the others, which shorten the lease. They wait for nothing but time, so they cost none
//! beside the others.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskseal::Task;
use taskseal::broker::TaskState;
use taskseal::handler::Output;
use taskseal_tests::fleet::{AnyQueue, Fleet, Noted, Running, every_type, until};
use taskseal_tests::redis::RedisServer;

const RUN: Duration = Duration::from_secs(20);
const OUTAGE: Duration = Duration::from_secs(15);

/// Counts the runs that were begun, and those that ended by themselves.
#[derive(Clone, Default)]
struct Runs {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Runs {
    fn counts(&self) -> (usize, usize) {
        (self.begun.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }
}

/// Takes the lease of the task ten times. Each time the worker is handed a copy beside the run, and defers it.
async fn take_ten_times(fleet: &Fleet, worker: &Running, id: &str) {
    let deferred = || worker.seen.count(|noted| matches!(noted, Noted::GivenBack { .. }));
    for times in 1..=10 {
        fleet.queue().hand_out_again(id);
        until("the copy to be deferred", async || (deferred() >= times).then_some(())).await;
    }
}

async fn survives(fleet: &mut Fleet, away: impl AsyncFnOnce(&mut RedisServer)) {
    let runs = Runs::default();
    let handlers = every_type({
        let runs = runs.clone();
        move |_| {
            runs.begun.fetch_add(1, Ordering::SeqCst);
            let runs = runs.clone();
            async move {
                tokio::time::sleep(RUN).await;
                runs.ended.fetch_add(1, Ordering::SeqCst);
                Ok(Output::empty())
            }
        }
    });
    let mut settings = fleet.worker_settings();
    // The default of a worker.
    settings.lease = Duration::from_secs(5);
    let worker = Running::start(settings, fleet.parts(handlers));
    let client = fleet.client();
    let receipt = client.enqueue(Task::new("email:send", &"x").unwrap().attempts(1)).await.unwrap();
    let id = receipt.id.to_string();
    until("the handler", async || (runs.counts().0 == 1).then_some(())).await;

    take_ten_times(fleet, &worker, &id).await;
    let AnyQueue::Redis(server) = fleet.queue_mut() else { panic!("not Redis") };
    away(server).await;
    until("a connection", async || fleet.broker().ping().await.ok()).await;

    fleet.until_in(&id, TaskState::Completed).await;
    assert!(client.result(&receipt).await.unwrap().is_some());
    let tally = worker.stop().await;
    assert_eq!(runs.counts(), (1, 1));
    assert_eq!((tally.started, tally.lock_lost, tally.retried, tally.archived), (1, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_of_20_s_survives_a_redis_that_hangs_for_15_s_and_ten_lost_leases() {
    let Some(mut fleet) = Fleet::redis().await else { return };
    survives(&mut fleet, async |server| {
        server.freeze();
        tokio::time::sleep(OUTAGE).await;
        server.thaw();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_of_20_s_survives_a_redis_that_was_killed_15_s_ago_and_ten_lost_leases() {
    let Some(mut fleet) = Fleet::durable_redis().await else { return };
    survives(&mut fleet, async |server| {
        server.kill();
        tokio::time::sleep(OUTAGE).await;
        server.restart();
    })
    .await;
}
