//! One queue file, several processes, one of them killed: every acknowledged task is stored.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use taskseal::broker::sqlite::SqliteBroker;
use taskseal::broker::{Broker, Enqueued, NewTask, Settled, Settlement, TaskRecord};
use taskseal::queue::QueueName;
use taskseal_tests::conformance::eventually;
use taskseal_tests::embedded::QueueFile;
use taskseal_tests::rerun::rerun;
use taskseal_tests::test_path;

const FILE: &str = "TASKSEAL_TEST_QUEUE_FILE";
const BATCHES: &str = "TASKSEAL_TEST_BATCHES";
const BATCH: usize = 32;

fn queue() -> QueueName {
    QueueName::parse("shared").unwrap()
}

fn batch(number: usize) -> Vec<NewTask> {
    let record = |at| TaskRecord {
        task_type: "t".into(),
        id: format!("{number:06}-{at:02}"),
        queue: "shared".into(),
        envelope: vec![0xa5; 400].into(),
        ..TaskRecord::default()
    };
    (0..BATCH).map(|at| NewTask::now(record(at))).collect()
}

/// The other process: enqueues batches and prints the number of each that was acknowledged.
#[tokio::test]
#[ignore = "child process of the tests below"]
async fn producer() {
    let Ok(file) = std::env::var(FILE) else { return };
    let broker = SqliteBroker::open(file).unwrap();
    let batches: usize = std::env::var(BATCHES).unwrap().parse().unwrap();
    for number in 0..batches {
        let answers = broker.enqueue(&queue(), &batch(number)).await.unwrap();
        assert_eq!(answers, [Enqueued::New; BATCH]);
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "acknowledged {number}").unwrap();
        stdout.flush().unwrap();
    }
}

fn start_producer(path: &Path, batches: usize) -> Child {
    rerun(test_path!(producer))
        .env(FILE, path)
        .env(BATCHES, batches.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn acknowledged(line: &str) -> Option<usize> {
    line.split_once("acknowledged ")?.1.parse().ok()
}

#[tokio::test]
async fn tasks_acknowledged_to_a_killed_process_are_stored() {
    for kill_after in [1, 7, 20] {
        let file = QueueFile::new();
        let mut child = start_producer(&file.path(), 1_000_000);

        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut numbers = lines.filter_map(|line| acknowledged(&line));
        let mut last = 0;
        for _ in 0..kill_after {
            last = numbers.next().expect("the other process goes on until it is killed");
        }
        child.kill().unwrap();
        // What it printed before it died was acknowledged too.
        last = numbers.last().unwrap_or(last);
        assert!(!child.wait().unwrap().success());

        let broker = SqliteBroker::open(file.path()).unwrap();
        for number in 0..=last {
            for task in batch(number) {
                let info = broker.find(&queue(), &task.record.id).await.unwrap().expect("acknowledged");
                assert_eq!(info.record.unwrap(), task.record);
            }
        }
        // The batch in progress when it died is stored completely or not at all.
        let stored = broker.stats(&queue()).await.unwrap().pending;
        let batches = u64::try_from(last + 1).unwrap();
        assert!([batches, batches + 1].contains(&(stored / BATCH as u64)), "{stored}");
        assert_eq!(stored % BATCH as u64, 0);
        let check: String =
            file.intruder().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

#[tokio::test]
async fn a_process_consumes_while_another_one_enqueues() {
    const TOTAL: usize = 60;
    let file = QueueFile::new();
    let broker = SqliteBroker::open(file.path()).unwrap();
    let mut child = start_producer(&file.path(), TOTAL);

    let mut seen = Vec::new();
    while seen.len() < TOTAL * BATCH {
        let dequeued = broker.dequeue(&queue(), 50, Duration::from_secs(600)).await.unwrap();
        assert!(dequeued.corrupt.is_empty() && dequeued.dropped.is_empty());
        let ends: Vec<_> = dequeued.tasks.into_iter().map(|task| (task.lease, Settlement::Done)).collect();
        let settled = broker.settle(&queue(), &ends).await.unwrap();
        assert!(settled.iter().all(|&settled| settled == Settled::Done));
        if ends.is_empty() {
            assert!(child.try_wait().unwrap().is_none_or(|status| status.success()));
            broker.wait(&[queue()], Duration::from_secs(1)).await;
        }
        seen.extend(ends.into_iter().map(|(lease, _)| lease.id));
    }

    assert!(seen.is_sorted());
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), TOTAL * BATCH);
    let status = eventually(|| std::future::ready(child.try_wait().unwrap())).await;
    assert!(status.success());
}
