//! Values in a queue file that are too long to be copied: they stop no call, and their task is moved away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use std::time::Duration;

use taskseal::broker::sqlite::{SqliteBroker, SqliteConfig};
use taskseal::broker::{ArchiveLimits, Broker, Operation, Settled, Settlement, TaskState};
use taskseal_tests::embedded::QueueFile;

use crate::fixture::{filled, queue, task_with as task};

const LONG: Duration = Duration::from_secs(3600);

fn names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

#[tokio::test]
async fn ids_too_long_to_copy_are_archived_under_others_and_reported_once() {
    let file = QueueFile::new();
    let broker = filled(&file, 5).await;
    let long = "UPDATE task SET id = hex(zeroblob(30 << 20)) || seq WHERE seq IN (1, 3)";
    file.intruder().execute_batch(long).unwrap();

    let dequeued = broker.dequeue(&queue(), 10, LONG).await.unwrap();
    let rest = broker.dequeue(&queue(), 10, LONG).await.unwrap();

    let ids: Vec<_> = dequeued.tasks.iter().map(|task| &*task.lease.id).collect();
    assert_eq!(ids, ["t1", "t3", "t4"]);
    assert_eq!(dequeued.corrupt.iter().map(|corrupt| &*corrupt.id).collect::<Vec<_>>(), ["seq 1", "seq 3"]);
    assert!(rest.tasks.is_empty() && rest.corrupt.is_empty(), "{rest:?}");
    let archived = broker.list(&queue(), TaskState::Archived, 0, 10).await.unwrap();
    assert_eq!(archived.iter().map(|info| &info.id[..5]).collect::<Vec<_>>(), ["seq 1", "seq 3"]);
    let stats = broker.stats(&queue()).await.unwrap();
    assert_eq!((stats.pending, stats.active, stats.archived), (0, 3, 2));
    let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    assert_eq!(file.intruder().query_row("PRAGMA integrity_check", [], check).unwrap(), "ok");
    // The tables are again those of a queue.
    assert!(SqliteBroker::open(file.path()).unwrap().find(&queue(), "t1").await.unwrap().is_some());
}

#[tokio::test]
async fn archived_id_too_long_to_copy_leaves_the_archive() {
    let file = QueueFile::new();
    let config = SqliteConfig::default().with_archive_limits(ArchiveLimits { tasks: 1, age: LONG });
    let broker = SqliteBroker::open_with(file.path(), &config).unwrap();
    broker.enqueue(&queue(), &[task("a", vec![1]), task("b", vec![1])]).await.unwrap();
    broker.operate(&queue(), &names(&["a", "b"]), Operation::Archive).await.unwrap();
    file.intruder().execute_batch("UPDATE task SET id = hex(zeroblob(30 << 20)) WHERE seq = 1").unwrap();

    assert_eq!(broker.tidy(&queue(), 10).await.unwrap().trimmed, 1);

    assert_eq!(broker.list(&queue(), TaskState::Archived, 0, 10).await.unwrap()[0].id, "b");
}

#[tokio::test]
async fn id_that_cannot_be_kept_is_replaced_even_if_its_number_is_taken() {
    let file = QueueFile::new();
    let broker = filled(&file, 2).await;
    file.intruder().execute_batch("UPDATE task SET id = 'seq 1' WHERE seq = 2").unwrap();
    file.intruder().execute_batch("UPDATE task SET id = '' WHERE seq = 1").unwrap();

    let dequeued = broker.dequeue(&queue(), 10, LONG).await.unwrap();

    assert_eq!((&*dequeued.tasks[0].lease.id, &*dequeued.corrupt[0].id), ("seq 1", "seq 1"));
    let archived = broker.list(&queue(), TaskState::Archived, 0, 10).await.unwrap();
    assert!(archived[0].id.starts_with("seq 1 "), "{archived:?}");
}

#[tokio::test]
async fn text_too_long_to_copy_stops_no_call() {
    let file = QueueFile::new();
    let broker = filled(&file, 2).await;
    let intruder = file.intruder();
    let lengthen = || {
        intruder.execute_batch("UPDATE task SET last_error = hex(zeroblob(30 << 20)) WHERE seq = 1").unwrap();
    };

    lengthen();
    let tasks = broker.dequeue(&queue(), 10, LONG).await.unwrap().tasks;
    let leases: Vec<_> = tasks.into_iter().map(|task| task.lease).collect();
    lengthen();
    assert_eq!(broker.extend(&queue(), &leases, LONG).await.unwrap(), [true, true]);
    lengthen();
    let retry = Settlement::Retry { delay: Duration::ZERO, failure: None };
    let ends: Vec<_> = leases.into_iter().map(|lease| (lease, retry.clone())).collect();
    assert_eq!(broker.settle(&queue(), &ends).await.unwrap(), [Settled::Done; 2]);
    lengthen();
    assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 2);
    lengthen();
    broker.dequeue(&queue(), 10, Duration::ZERO).await.unwrap();
    lengthen();
    assert_eq!(broker.recover(&queue(), 10).await.unwrap().requeued.len(), 2);
}
