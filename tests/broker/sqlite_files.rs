//! A queue file that is moved, deleted or drained while processes use it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use taskseal::broker::sqlite::{SqliteBroker, SqliteConfig};
use taskseal::broker::{Broker, BrokerError, Enqueued, Settlement};
use taskseal_tests::embedded::QueueFile;

use crate::fixture::{filled, queue, task_with as task};

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_moved_queue_file_acknowledges_nothing_until_it_is_back() {
    for suffix in ["", "-wal", "-shm"] {
        let file = QueueFile::new();
        let broker = filled(&file, 1).await;
        let path = file.path().with_file_name(format!("queue.db{suffix}"));
        let elsewhere = file.path().with_file_name("moved");
        std::fs::rename(&path, &elsewhere).unwrap();

        let answer = broker.enqueue(&queue(), &[task("a", vec![1])]).await;
        assert!(matches!(answer, Err(BrokerError::Unavailable(_))), "{suffix}: {answer:?}");
        let answer = broker.dequeue(&queue(), 1, LONG).await;
        assert!(matches!(answer, Err(BrokerError::Unavailable(_))), "{suffix}");
        assert!(broker.queues().await.is_err(), "{suffix}");

        std::fs::rename(&elsewhere, &path).unwrap();
        assert_eq!(broker.enqueue(&queue(), &[task("a", vec![1])]).await.unwrap(), [Enqueued::New]);
    }
}

#[tokio::test]
async fn a_queue_file_under_another_name_acknowledges_nothing_after_its_folder_was_moved() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("queue");
    std::fs::create_dir(&folder).unwrap();
    let broker = SqliteBroker::open(folder.join("queue.db")).unwrap();
    std::fs::rename(&folder, parent.path().join("elsewhere")).unwrap();

    let answer = broker.enqueue(&queue(), &[task("a", vec![1])]).await;
    assert!(matches!(answer, Err(BrokerError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn a_queue_file_opened_as_existing_is_not_created() {
    let file = QueueFile::new();
    let opened = SqliteBroker::open_with(file.path(), &SqliteConfig::default().existing());
    assert!(matches!(opened, Err(BrokerError::Refused(_))));
    assert!(!file.path().exists());
}

#[tokio::test]
async fn a_queue_file_that_is_closed_leaves_no_log_each_time() {
    let file = QueueFile::new();
    for number in 0..500 {
        let broker = SqliteBroker::open(file.path()).unwrap();
        broker.enqueue(&queue(), &[task(&number.to_string(), vec![1])]).await.unwrap();
        drop(broker);
        assert!(!file.path().with_file_name("queue.db-wal").exists(), "closed {number} times before");
    }
}

#[tokio::test]
async fn a_drained_queue_file_gives_its_space_back_and_leaves_no_log() {
    let file = QueueFile::new();
    let broker = SqliteBroker::open(file.path()).unwrap();
    for number in 0..200 {
        broker.enqueue(&queue(), &[task(&number.to_string(), vec![1; 100 << 10])]).await.unwrap();
    }
    drop(broker);
    let full = std::fs::metadata(file.path()).unwrap().len();
    assert!(full > 200 * (100 << 10));
    assert!(!file.path().with_file_name("queue.db-wal").exists(), "the log was folded in");

    let broker = SqliteBroker::open(file.path()).unwrap();
    loop {
        let leased = broker.dequeue(&queue(), 500, LONG).await.unwrap().tasks;
        let ends: Vec<_> = leased.into_iter().map(|leased| (leased.lease, Settlement::Done)).collect();
        if ends.is_empty() {
            break;
        }
        broker.settle(&queue(), &ends).await.unwrap();
    }
    drop(broker);
    let drained = std::fs::metadata(file.path()).unwrap().len();
    assert!(drained < 1 << 20, "{full} bytes, drained {drained}");
}
