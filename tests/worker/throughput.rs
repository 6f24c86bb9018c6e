//! Tasks a second through client, broker and worker, with handlers that do nothing. Run by hand, in release:
//! `cargo test --release -p taskseal-tests --test worker -- --ignored --nocapture throughput::`
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use taskseal::{Client, Task, Worker};
use taskseal_core::Suite;
use taskseal_tests::fleet::{Fleet, nothing_to_do};

const TASKS: usize = 10_000;

/// Measures tasks with `attempts` each. Returns how many a second were run.
async fn measure(fleet: Fleet, name: &str, suite: Suite, concurrency: usize, attempts: u16) -> f64 {
    let mut settings = fleet.client_settings();
    settings.retention = Duration::ZERO;
    let client = Client::new(settings, fleet.broker(), fleet.sealing_key_in(suite), fleet.keyring());
    let body = "x".repeat(200);
    let tasks = (0..TASKS).map(|_| Task::new("email:send", &body).unwrap().attempts(attempts)).collect();
    let start = Instant::now();
    client.enqueue_all(tasks).await.unwrap();
    let enqueued = start.elapsed();

    let mut settings = fleet.worker_settings();
    (settings.concurrency, settings.fetch_batch) = (concurrency, 128);
    let (start, before) = (Instant::now(), cpu_time());
    let tally = Worker::new(settings, fleet.parts(nothing_to_do())).run_once().await;
    let (ran, worked) = (start.elapsed(), cpu_time().saturating_sub(before));
    assert_eq!((tally.succeeded, tally.lease_lost), (TASKS as u64, 0));
    let rate = |took: Duration| TASKS as f64 / took.as_secs_f64();
    println!(
        "{name} {} concurrency {concurrency}, {attempts} attempts: enqueued {:.0}/s, run {:.0}/s, {:.0} us of cpu a task",
        suite.short_name(),
        rate(enqueued),
        rate(ran),
        worked.as_secs_f64() * 1e6 / TASKS as f64
    );
    rate(ran)
}

/// CPU time of this process. On a busy machine it says more than the elapsed time.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // 100 a second on every Linux.
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn throughput() {
    for concurrency in [10, 128, 512] {
        for suite in [Suite::Se, Suite::Sp] {
            measure(Fleet::embedded().await, "embedded", suite, concurrency, 25).await;
            if let Some(fleet) = Fleet::redis().await {
                measure(fleet, "redis", suite, concurrency, 25).await;
            }
        }
    }
}

/// The ledger records the beginning of a last attempt apart from its lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn throughput_of_last_attempts() {
    for concurrency in [2, 64] {
        let [first, last] = [25, 1].map(|attempts| async move {
            measure(Fleet::embedded().await, "embedded", Suite::Se, concurrency, attempts).await
        });
        println!(
            "concurrency {concurrency}: first attempts / last attempts = {:.1}",
            first.await / last.await
        );
    }
}
