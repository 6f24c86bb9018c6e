//! Lost leases and lost locks: only a lock of the ledger that is lost ends a run.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskseal::broker::{Broker, TaskState};
use taskseal::handler::{Failure, Handlers, Output};
use taskseal::{Task, WorkerParts, WorkerSettings};
use taskseal_tests::faulty::{Call, Fault, FaultyBroker};
use taskseal_tests::fleet::{Fleet, Noted, Running, every_type, until};
use taskseal_tests::on_both_brokers;
use tokio::sync::Notify;

on_both_brokers! {
    handler_whose_lease_is_taken_ten_times_runs_once,
    failure_of_a_task_whose_lease_was_taken_counts_once,
    handler_survives_several_leases_without_a_reachable_queue,
    only_the_loss_of_the_lock_cancels_a_handler,
    tasks_that_were_lost_with_two_workers_run_one_at_a_time,
}

/// A handler whose first run waits for the test.
struct Gated {
    runs: Arc<AtomicUsize>,
    cancelled: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
}

/// Counts a run that was dropped before its end.
struct Cancelled(Option<Arc<AtomicUsize>>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Gated {
    fn new() -> Self {
        Self { runs: Arc::default(), cancelled: Arc::default(), go_on: Arc::default() }
    }

    fn handlers(
        &self,
        end: impl Fn() -> Result<Output, Failure> + Send + Sync + Clone + 'static,
    ) -> Handlers {
        let (runs, cancelled, go_on) =
            (Arc::clone(&self.runs), Arc::clone(&self.cancelled), Arc::clone(&self.go_on));
        every_type(move |_| {
            let first = runs.fetch_add(1, Ordering::SeqCst) == 0;
            let (cancelled, go_on, end) = (Arc::clone(&cancelled), Arc::clone(&go_on), end.clone());
            async move {
                if first {
                    let mut guard = Cancelled(Some(cancelled));
                    go_on.notified().await;
                    guard.0 = None;
                }
                end()
            }
        })
    }

    async fn started(&self) {
        until("the handler", async || (self.runs.load(Ordering::SeqCst) == 1).then_some(())).await;
    }

    fn counts(&self) -> (usize, usize) {
        (self.runs.load(Ordering::SeqCst), self.cancelled.load(Ordering::SeqCst))
    }
}

/// Leases that expire while a test can wait for it.
fn short(fleet: &Fleet) -> WorkerSettings {
    let mut settings = fleet.worker_settings();
    (settings.lease, settings.concurrency) = (Duration::from_millis(600), 2);
    settings
}

fn task() -> Task {
    Task::new("email:send", &"x").unwrap().attempts(2)
}

/// Takes the lease of the task ten times. Each time the worker is handed a copy, which it defers.
async fn take_ten_times(fleet: &Fleet, worker: &Running, id: &str) {
    let deferred = || worker.seen.count(|noted| matches!(noted, Noted::GivenBack { .. }));
    for times in 1..=10 {
        fleet.queue().hand_out_again(id);
        until("the copy to be deferred", async || (deferred() >= times).then_some(())).await;
        until("the copy to be leased again", async || {
            let state = fleet.find(id).await?.state;
            (state == TaskState::Active || deferred() > times).then_some(())
        })
        .await;
    }
}

async fn handler_whose_lease_is_taken_ten_times_runs_once(fleet: Fleet) {
    let gated = Gated::new();
    let worker = Running::start(short(&fleet), fleet.parts(gated.handlers(|| Ok(Output::empty()))));
    let client = fleet.client();
    let receipt = client.enqueue(task()).await.unwrap();
    let id = receipt.id.to_string();
    gated.started().await;
    take_ten_times(&fleet, &worker, &id).await;
    gated.go_on.notify_one();
    fleet.until_in(&id, TaskState::Completed).await;
    assert!(client.result(&receipt).await.unwrap().is_some());
    let tally = worker.stop().await;
    assert_eq!(gated.counts(), (1, 0));
    assert_eq!((tally.started, tally.lock_lost, tally.retried, tally.archived), (1, 0, 0, 0));
    assert!(tally.lease_lost >= 1);
}

async fn failure_of_a_task_whose_lease_was_taken_counts_once(fleet: Fleet) {
    let gated = Gated::new();
    let fails = || Err(Failure::TryAgain("told to fail".to_owned()));
    let worker = Running::start(short(&fleet), fleet.parts(gated.handlers(fails)));
    let id = fleet.client().enqueue(task()).await.unwrap().id.to_string();
    gated.started().await;
    fleet.queue().hand_out_again(&id);
    worker.seen.until("the copy to be deferred", |noted| matches!(noted, Noted::GivenBack { .. })).await;
    gated.go_on.notify_one();
    // The next delivery is the second and last attempt.
    fleet.until_in(&id, TaskState::Archived).await;
    let tally = worker.stop().await;
    assert_eq!(gated.counts(), (2, 0));
    assert_eq!((tally.started, tally.archived, tally.lock_lost), (2, 1, 0));
}

async fn handler_survives_several_leases_without_a_reachable_queue(fleet: Fleet) {
    let gated = Gated::new();
    let broker = FaultyBroker::new(fleet.broker());
    // Three in each lease.
    broker.fail(Call::Extend, Fault::Unavailable, 10);
    let parts = fleet.parts(gated.handlers(|| Ok(Output::empty())));
    let parts = WorkerParts { broker: Arc::clone(&broker) as Arc<dyn Broker>, ..parts };
    let worker = Running::start(short(&fleet), parts);
    let id = fleet.client().enqueue(task()).await.unwrap().id.to_string();
    gated.started().await;
    until("three leases to pass", async || (broker.left(Call::Extend) == 0).then_some(())).await;
    gated.go_on.notify_one();
    fleet.until_in(&id, TaskState::Completed).await;
    let tally = worker.stop().await;
    assert_eq!(gated.counts(), (1, 0));
    assert_eq!((tally.started, tally.lock_lost, tally.retried, tally.archived), (1, 0, 0, 0));
}

async fn only_the_loss_of_the_lock_cancels_a_handler(fleet: Fleet) {
    let gated = Gated::new();
    let worker = Running::start(short(&fleet), fleet.parts(gated.handlers(|| Ok(Output::empty()))));
    fleet.client().enqueue(task()).await.unwrap();
    gated.started().await;
    let file = rusqlite::Connection::open(fleet.path("ledger.db")).unwrap();
    assert_eq!(file.execute("UPDATE task SET owner = 'another'", []), Ok(1));
    worker.seen.until("the loss", |noted| matches!(noted, Noted::LockLost { .. })).await;
    until("the handler to be cancelled", async || (gated.counts() == (1, 1)).then_some(())).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.succeeded, tally.lock_lost), (1, 0, 1));
    // Nothing was recorded about a lock of another worker.
    let counts = file.query_row("SELECT owner, attempts, crashes FROM task", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, u32>(2)?))
    });
    assert_eq!(counts, Ok(("another".to_owned(), 1, 0)));
}

async fn tasks_that_were_lost_with_two_workers_run_one_at_a_time(fleet: Fleet) {
    let tasks = (0..3).map(|number| Task::new("email:send", &number).unwrap().attempts(5));
    let receipts = fleet.client().enqueue_all(tasks.collect()).await.unwrap();
    let fails = every_type(|_| async { Err(Failure::TryAgain("told to fail".to_owned())) });
    let first = fleet.start(fails);
    let retried = |noted: &Noted| matches!(noted, Noted::Retried { .. });
    until("all to fail", async || (first.seen.count(retried) >= 3).then_some(())).await;
    first.stop().await;
    let file = rusqlite::Connection::open(fleet.path("ledger.db")).unwrap();
    file.execute("UPDATE task SET crashes = 2", []).unwrap();

    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    let handlers = every_type(move |_| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&counted));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(Output::empty())
        }
    });
    let mut settings = fleet.worker_settings();
    settings.concurrency = 8;
    let second = Running::start(settings, fleet.parts(handlers));
    for receipt in &receipts {
        fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
    }
    let tally = second.stop().await;
    assert_eq!((most.load(Ordering::SeqCst), tally.succeeded), (1, 3));
}
