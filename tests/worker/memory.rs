//! The memory of a worker does not depend on the length of its queue.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskseal::broker::{NewTask, TaskRecord};
use taskseal::handler::Output;
use taskseal::{Task, Worker};
use taskseal_tests::fleet::{Fleet, every_type, mail};
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;
use tokio::sync::Notify;

const ADDRESS: &str = "TASKSEAL_TEST_ADDRESS";
/// Tasks run before the memory is read.
const PROCESSED: usize = 1000;

/// The worker process: runs [`PROCESSED`] tasks and prints its peak memory, in KiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "child process of the tests below"]
async fn worker_process() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    static ENOUGH: Notify = Notify::const_new();
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let fleet = Fleet::join(&address);
    let handlers = every_type(async |_| {
        if RAN.fetch_add(1, Ordering::SeqCst) + 1 == PROCESSED {
            ENOUGH.notify_one();
        }
        Ok(Output::empty())
    });
    let mut settings = fleet.worker_settings();
    settings.lease = Duration::from_secs(30);
    Worker::new(settings, fleet.parts(handlers)).run_until(ENOUGH.notified()).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("most {}", most.trim().trim_end_matches(" kB"));
}

async fn most_memory(fleet: &Fleet, pending: usize) -> usize {
    let mut settings = fleet.client_settings();
    settings.retention = Duration::ZERO;
    let real = (0..2 * PROCESSED).map(|number| Task::new("email:send", &number).unwrap()).collect();
    let receipts = fleet.client_with(settings).enqueue_all(real).await.unwrap();
    // The worker never reaches the others, so they need no valid envelope.
    let like = fleet.find(&receipts[0].id.to_string()).await.unwrap().record.unwrap();
    let filler = |number: usize| NewTask::now(TaskRecord { id: format!("filler-{number}"), ..like.clone() });
    let broker = fleet.broker();
    let fillers: Vec<usize> = (receipts.len()..pending).collect();
    for chunk in fillers.chunks(1000) {
        let tasks: Vec<NewTask> = chunk.iter().copied().map(filler).collect();
        broker.enqueue(&mail(), &tasks).await.unwrap();
    }
    assert_eq!(broker.stats(&mail()).await.unwrap().pending, pending as u64);

    let worker = rerun(test_path!(worker_process))
        .env(ADDRESS, fleet.address())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8(worker.stdout).unwrap();
    assert!(worker.status.success(), "{said}");
    let most = said.lines().find_map(|line| line.rsplit_once("most ")).unwrap();
    assert!(broker.stats(&mail()).await.unwrap().pending >= (pending - 2 * PROCESSED) as u64);
    most.1.parse().unwrap()
}

async fn memory_of_a_worker_does_not_grow_with_its_queue(short: &Fleet, long: &Fleet, name: &str) {
    let many =
        if std::env::var_os("TASKSEAL_FULL").is_some_and(|value| value == "1") { 1_000_000 } else { 200_000 };
    let little = most_memory(short, 10_000).await;
    let much = most_memory(long, many).await;
    println!("{name}: {little} KiB with 10000 pending, {much} KiB with {many}");
    assert!(much * 10 <= little * 11, "{little} KiB with 10000 pending, {much} KiB with {many}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_a_worker_does_not_grow_with_its_queue_embedded() {
    let (short, long) = (Fleet::embedded().await, Fleet::embedded().await);
    memory_of_a_worker_does_not_grow_with_its_queue(&short, &long, "embedded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_a_worker_does_not_grow_with_its_queue_redis() {
    let (Some(short), Some(long)) = (Fleet::redis().await, Fleet::redis().await) else { return };
    memory_of_a_worker_does_not_grow_with_its_queue(&short, &long, "redis").await;
}
