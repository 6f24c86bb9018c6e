//! A worker killed while tasks wait for its handlers: a task that has not begun keeps its last attempt.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskseal::broker::TaskState;
use taskseal::handler::Output;
use taskseal::{Receipt, Task, Worker};
use taskseal_core::Refusal;
use taskseal_tests::fleet::{Fleet, Noted, every_type, nothing_to_do, until};
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;

const ADDRESS: &str = "TASKSEAL_TEST_ADDRESS";
const HANDLERS: usize = 4;

/// The worker process: its handlers return at once, except those of tasks with the body `block`, which are noted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "child process of the test below"]
async fn worker_with_handlers_that_block() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let fleet = Fleet::join(&address);
    let started = Arc::new(OpenOptions::new().append(true).open(fleet.path("started")).unwrap());
    let handlers = every_type(move |task| {
        let blocks = task.json::<String>().unwrap() == "block";
        if blocks {
            (&*started).write_all(b"*").unwrap();
        }
        async move {
            if blocks {
                std::future::pending::<()>().await;
            }
            Ok(Output::empty())
        }
    });
    let mut settings = fleet.worker_settings();
    (settings.lease, settings.concurrency) = (Duration::from_secs(1), HANDLERS);
    Worker::new(settings, fleet.parts(handlers)).run_until(std::future::pending()).await;
}

/// A worker process, killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Enqueues tasks with one attempt each.
async fn enqueue_last_attempts(fleet: &Fleet, body: &str, count: usize) -> Vec<Receipt> {
    let task = |_| Task::new("email:send", &body).unwrap().attempts(1);
    fleet.client().enqueue_all((0..count).map(task).collect()).await.unwrap()
}

/// Kills a worker whose handlers are all busy. Returns the tasks that they ran and those behind, or `None` if this worker has fetched
/// nothing ahead: it does so only if its handlers were fast.
async fn kill_while_tasks_wait(fleet: &Fleet) -> Option<(Vec<Receipt>, Vec<Receipt>)> {
    fs::write(fleet.path("started"), "").unwrap();
    let quick = (0..50).map(|number| Task::new("email:send", &number.to_string()).unwrap());
    fleet.client().enqueue_all(quick.collect()).await.unwrap();
    let blocked = enqueue_last_attempts(fleet, "block", HANDLERS).await;
    let behind = enqueue_last_attempts(fleet, "behind", 8).await;
    let mut command = rerun(test_path!(worker_with_handlers_that_block));
    command.env(ADDRESS, fleet.address()).stdin(Stdio::null()).stdout(Stdio::null());
    let process = Process(command.spawn().unwrap());

    until("all handlers to be busy", async || {
        (fs::read(fleet.path("started")).unwrap().len() == HANDLERS).then_some(())
    })
    .await;
    let ledger = fleet.ledger();
    let deadline = Instant::now() + Duration::from_secs(2);
    while ledger.stats().unwrap().locked <= HANDLERS as u64 {
        if Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(process);
    Some((blocked, behind))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_attempt_that_waited_for_a_handler_of_a_killed_worker_runs() {
    let mut found = None;
    for _ in 0..20 {
        let fleet = Fleet::embedded().await;
        if let Some(tasks) = kill_while_tasks_wait(&fleet).await {
            found = Some((fleet, tasks));
            break;
        }
    }
    let (fleet, (blocked, behind)) = found.expect("a worker that fetches ahead");

    let next = fleet.start(nothing_to_do());
    for receipt in &behind {
        fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
    }
    for receipt in &blocked {
        fleet.until_in(&receipt.id.to_string(), TaskState::Archived).await;
    }
    let seen = next.seen.clone();
    next.stop().await;
    let ids = |receipts: &[Receipt]| -> BTreeSet<String> {
        receipts.iter().map(|receipt| receipt.id.to_string()).collect()
    };
    let refused = seen.all().into_iter().filter_map(|noted| match noted {
        Noted::Refused { id, refusal, .. } => Some((id, refusal)),
        _ => None,
    });
    let expected = ids(&blocked).into_iter().map(|id| (id, Refusal::AttemptsExhausted));
    assert_eq!(refused.collect::<BTreeSet<_>>(), expected.collect());
}
