//! A queue file counts leases and delays by the clock of its broker.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use taskseal::broker::sqlite::{SqliteBroker, SqliteConfig};
use taskseal::broker::{Broker, Settled, Settlement};
use taskseal::time::UnixMillis;
use taskseal_tests::embedded::QueueFile;

use crate::fixture::{queue, task_with as task};

/// Opens a queue file whose broker reads its time, in milliseconds, from the counter.
pub(crate) fn on_its_clock(start: i64) -> (QueueFile, Arc<AtomicI64>, SqliteBroker) {
    let file = QueueFile::new();
    let time = Arc::new(AtomicI64::new(start));
    let clock = Arc::clone(&time);
    let config = SqliteConfig::default().with_clock(move || UnixMillis(clock.load(Ordering::SeqCst)));
    let broker = SqliteBroker::open_with(file.path(), &config).unwrap();
    (file, time, broker)
}

#[tokio::test]
async fn a_clock_that_steps_back_delays_and_loses_nothing() {
    let (_file, time, broker) = on_its_clock(1_000_000);
    broker.enqueue(&queue(), &[task("a", vec![1])]).await.unwrap();
    let lease = broker.dequeue(&queue(), 1, Duration::from_secs(5)).await.unwrap().tasks.remove(0).lease;

    time.store(900_000, Ordering::SeqCst);
    assert!(broker.recover(&queue(), 1).await.unwrap().requeued.is_empty());
    time.store(1_004_999, Ordering::SeqCst);
    assert!(broker.recover(&queue(), 1).await.unwrap().requeued.is_empty());
    time.store(1_005_000, Ordering::SeqCst);
    assert_eq!(broker.recover(&queue(), 1).await.unwrap().requeued, ["a"]);
    assert_eq!(broker.settle(&queue(), &[(lease, Settlement::Done)]).await.unwrap(), [Settled::LeaseLost]);
    assert_eq!(broker.stats(&queue()).await.unwrap().oldest_pending, Some(Duration::ZERO));
}

#[tokio::test]
async fn retried_task_is_due_by_the_clock_of_the_broker_and_not_by_that_of_the_worker() {
    // Years behind the clock of this host.
    let (_file, time, broker) = on_its_clock(1_000_000);
    broker.enqueue(&queue(), &[task("a", vec![1])]).await.unwrap();
    let lease = broker.dequeue(&queue(), 1, Duration::from_secs(3600)).await.unwrap().tasks.remove(0).lease;

    let retry = Settlement::Retry { delay: Duration::from_secs(5), failure: None };
    assert_eq!(broker.settle(&queue(), &[(lease, retry)]).await.unwrap(), [Settled::Done]);

    assert_eq!(broker.find(&queue(), "a").await.unwrap().unwrap().at, Some(UnixMillis(1_005_000)));
    time.store(1_004_999, Ordering::SeqCst);
    assert_eq!(broker.forward(&queue(), 1).await.unwrap(), 0);
    time.store(1_005_000, Ordering::SeqCst);
    assert_eq!(broker.forward(&queue(), 1).await.unwrap(), 1);
}
