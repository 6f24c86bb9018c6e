//! A worker whose runtime has few blocking threads: handlers and slow keys may occupy all of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use taskseal::broker::TaskState;
use taskseal::handler::{Failure, OpenedTask, Output};
use taskseal::result::ResultSealer;
use taskseal::time::UnixMillis;
use taskseal::{Receipt, Task, WorkerSettings};
use taskseal_tests::fleet::{Fleet, Running, every_type, until};
use taskseal_tests::signer::TestSigner;
use tokio::runtime;

/// Runs the test in a runtime with this number of blocking threads.
fn with_threads(count: usize, test: impl Future<Output = ()>) {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(count).enable_all().build().unwrap().block_on(test);
}

/// Blocks the threads that enter until it is released: also when a test fails, since the runtime waits for its threads.
#[derive(Debug, Default)]
struct Barrier {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Barrier {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        drop(self.changed.wait_while(state, |(open, _)| !*open).unwrap());
    }

    fn waiting(&self) -> usize {
        self.state.lock().unwrap().1
    }
}

struct OpenOnDrop(Arc<Barrier>);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().0 = true;
        self.0.changed.notify_all();
    }
}

/// Does the same for a token that signs.
struct ReleaseOnDrop(Arc<TestSigner>);

impl Drop for ReleaseOnDrop {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

fn settings(fleet: &Fleet, concurrency: usize) -> WorkerSettings {
    let mut settings = fleet.worker_settings();
    settings.concurrency = concurrency;
    settings.lease = Duration::from_millis(600);
    settings
}

async fn enqueue(fleet: &Fleet, task_type: &str, count: usize) -> Vec<Receipt> {
    let tasks = (0..count).map(|number| Task::new(task_type, &number).unwrap().attempts(1));
    fleet.client().enqueue_all(tasks.collect()).await.unwrap()
}

/// The time when the present claims expire.
fn claimed_until(fleet: &Fleet) -> UnixMillis {
    let file = rusqlite::Connection::open(fleet.path("ledger.db")).unwrap();
    UnixMillis(file.query_row("SELECT max(until) FROM task", [], |row| row.get(0)).unwrap())
}

#[test]
fn handlers_that_take_every_thread_for_what_blocks_keep_their_claims() {
    with_threads(4, async {
        let fleet = Fleet::embedded().await;
        let gate = OpenOnDrop(Arc::default());
        let held = Arc::clone(&gate.0);
        let handlers = every_type(move |_: OpenedTask| {
            let gate = Arc::clone(&held);
            async move {
                tokio::task::spawn_blocking(move || gate.pass()).await.unwrap();
                Ok::<_, Failure>(Output::empty())
            }
        });
        let receipts = enqueue(&fleet, "email:send", 4).await;
        let worker = Running::start(settings(&fleet, 4), fleet.parts(handlers));
        until("every thread to be taken", async || (gate.0.waiting() == 4).then_some(())).await;
        let end = claimed_until(&fleet);
        until("the claims to end by themselves", async || (UnixMillis::now() > end).then_some(())).await;
        assert!(claimed_until(&fleet) > UnixMillis::now());
        drop(gate);
        for receipt in receipts {
            fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
        }
        let tally = worker.stop().await;
        assert_eq!((tally.started, tally.succeeded, tally.lease_lost), (4, 4, 0));
    });
}

#[test]
fn results_that_wait_for_a_slow_key_leave_threads_to_tasks_that_need_no_key() {
    with_threads(40, async {
        let fleet = Fleet::embedded().await;
        let token = ReleaseOnDrop(Arc::new(TestSigner::new(fleet.worker_key())));
        token.0.hold();
        let handlers = every_type(async |task: OpenedTask| match task.task_type.as_str() {
            "email:send" => Ok(Output::empty()),
            _ => Err(Failure::GiveUp("no".to_owned())),
        });
        let mut parts = fleet.parts(handlers);
        let key = fleet.result_key_by(Arc::clone(&token.0) as _);
        parts.results = ResultSealer::new("worker-1", key).unwrap();
        let receipts = enqueue(&fleet, "email:send", 60).await;
        let worker = Running::start(settings(&fleet, 100), parts);
        until("the key to be asked", async || (token.0.asked() > 0).then_some(())).await;
        let failing = enqueue(&fleet, "invoice:send", 1).await;
        fleet.until_in(&failing[0].id.to_string(), TaskState::Archived).await;
        drop(token);
        for receipt in receipts {
            fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
        }
        let tally = worker.stop().await;
        assert_eq!((tally.started, tally.succeeded, tally.archived, tally.lease_lost), (61, 60, 1, 0));
    });
}
