//! Workers killed while they run tasks: every acknowledged task runs, and once unless a kill interrupted it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskseal::broker::TaskState;
use taskseal::handler::Output;
use taskseal::time::UnixMillis;
use taskseal::{Task, Worker};
use taskseal_tests::fleet::{Fleet, every_type, mail};
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;

const ADDRESS: &str = "TASKSEAL_TEST_ADDRESS";
const CONCURRENCY: usize = 16;
/// Number of tasks that may wait for a handler. Their runs may have ended without being recorded.
const AHEAD: usize = 8;
const LEASE: Duration = Duration::from_secs(1);
/// Maximum time from the end of a lease to the next run of its task.
const BOUND: Duration = Duration::from_secs(2);

/// The worker process: writes a line for each run before the run does anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "child process of the tests below"]
async fn worker_process() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let fleet = Fleet::join(&address);
    let log = OpenOptions::new().append(true).open(fleet.path("runs")).unwrap();
    let log = Arc::new(log);
    let handlers = every_type(move |task| {
        let line = format!("{} {} {}\n", task.id, std::process::id(), UnixMillis::now().0);
        (&*log).write_all(line.as_bytes()).unwrap();
        async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(Output::empty())
        }
    });
    let mut settings = fleet.worker_settings();
    (settings.lease, settings.concurrency, settings.fetch_ahead) = (LEASE, CONCURRENCY, AHEAD);
    Worker::new(settings, fleet.parts(handlers)).run_until(std::future::pending()).await;
}

/// A worker process, killed when dropped.
struct Process(Child);

impl Process {
    fn start(fleet: &Fleet) -> Self {
        let mut command = rerun(test_path!(worker_process));
        command.env(ADDRESS, fleet.address());
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Returns the process id and the time of death.
    fn kill(mut self) -> (u32, UnixMillis) {
        self.0.kill().unwrap();
        let at = UnixMillis::now();
        let _ = self.0.wait().unwrap();
        (self.0.id(), at)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Run {
    process: u32,
    at: UnixMillis,
}

/// Runs by task id, in the order in which they began.
fn runs(fleet: &Fleet) -> BTreeMap<String, Vec<Run>> {
    let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for line in std::fs::read_to_string(fleet.path("runs")).unwrap().lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap();
        let (id, process, at) = (word(), word().parse().unwrap(), UnixMillis(word().parse().unwrap()));
        runs.entry(id.to_owned()).or_default().push(Run { process, at });
    }
    runs
}

fn lines(fleet: &Fleet) -> usize {
    std::fs::read(fleet.path("runs")).unwrap().iter().filter(|byte| **byte == b'\n').count()
}

async fn wait_for(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(240);
    while !there().await {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn kill_workers_in_the_middle(fleet: Fleet, name: &str) {
    let full = std::env::var_os("TASKSEAL_FULL").is_some_and(|value| value == "1");
    let (tasks, kills): (usize, usize) = if full { (10_000, 20) } else { (2_000, 5) };
    std::fs::write(fleet.path("runs"), "").unwrap();

    let mut settings = fleet.client_settings();
    settings.retention = Duration::ZERO;
    let all = (0..tasks).map(|number| Task::new("email:send", &number).unwrap()).collect();
    let receipts = fleet.client_with(settings).enqueue_all(all).await.unwrap();
    let acknowledged: BTreeSet<String> = receipts.iter().map(|receipt| receipt.id.to_string()).collect();

    let begun = Instant::now();
    let mut processes = std::collections::VecDeque::from([Process::start(&fleet), Process::start(&fleet)]);
    let mut killed: BTreeMap<u32, UnixMillis> = BTreeMap::new();
    for number in 1..=kills {
        wait_for("progress", async || lines(&fleet) >= number * tasks / (kills + 2)).await;
        killed.extend([processes.pop_front().unwrap().kill()]);
        processes.push_back(Process::start(&fleet));
    }
    wait_for("the queue to be drained", async || {
        let stats = fleet.broker().stats(&mail()).await.unwrap();
        stats.pending + stats.active + stats.retry + stats.scheduled == 0
    })
    .await;
    let took = begun.elapsed();
    // A worker that dies between the settlement in the queue and that in the ledger leaves the task finished there,
    // permanently. The claim of a task that was archived because too many of its workers died remains as well.
    wait_for("the entries of the ledger", async || {
        let archived = fleet.broker().stats(&mail()).await.unwrap().archived;
        fleet.ledger().stats().unwrap().locked <= archived
    })
    .await;
    let survivors: Vec<u32> = processes.iter().map(|process| process.0.id()).collect();
    drop(processes);

    let runs = runs(&fleet);
    let done = fleet.done();
    let mut visible = BTreeSet::new();
    for state in TaskState::ALL {
        let listed = fleet.broker().list(&mail(), state, 0, tasks).await.unwrap();
        visible.extend(listed.into_iter().map(|info| info.id));
    }
    // No task is lost, in two places, or was never enqueued.
    for id in &acknowledged {
        assert!(done.contains(id) != visible.contains(id), "{id} is lost or in two places");
    }
    assert!(runs.keys().all(|id| acknowledged.contains(id)) && done.is_subset(&acknowledged));
    assert!(done.iter().all(|id| runs.contains_key(id)), "done without a run");

    // A run is repeated only if a kill interrupted it, and a kill interrupts no more runs than the process had.
    let mut hand_offs = Vec::new();
    let mut cut: BTreeMap<u32, usize> = BTreeMap::new();
    for (id, runs) in &runs {
        for pair in runs.windows(2) {
            let died = killed.get(&pair[0].process);
            let died = died.unwrap_or_else(|| panic!("{id} ran again after a run that no kill cut short"));
            hand_offs.push(pair[1].at.since(*died));
            *cut.entry(pair[0].process).or_default() += 1;
            assert!(pair[1].at > *died, "{id} ran twice at once");
        }
    }
    assert!(cut.values().all(|count| *count <= CONCURRENCY + AHEAD), "{cut:?}");
    let last = |runs: &Vec<Run>| runs.last().map(|run| run.process);
    assert!(runs.values().filter_map(last).any(|process| survivors.contains(&process)));

    hand_offs.sort_unstable();
    let at = |part: usize| hand_offs.get((hand_offs.len() * part / 100).min(hand_offs.len() - 1)).copied();
    println!(
        "{name}: {tasks} tasks, {kills} kills, {} repeated, {} archived; drained in {took:.1?}; hand-off p50 {:?} p99 {:?} \
         (bound {BOUND:?})",
        hand_offs.len(),
        visible.len(),
        at(50),
        at(99)
    );
    assert!(!hand_offs.is_empty(), "no kill cut anything short");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_lose_nothing_and_repeat_nothing_they_had_ended_embedded() {
    kill_workers_in_the_middle(Fleet::embedded().await, "embedded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_lose_nothing_and_repeat_nothing_they_had_ended_redis() {
    let Some(fleet) = Fleet::redis().await else { return };
    kill_workers_in_the_middle(fleet, "redis").await;
}
