//! The statuses that processes publish.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use taskseal::broker::status::MAX_STATUS;

use super::*;

async fn published(broker: &dyn Broker) -> Vec<Vec<u8>> {
    let mut statuses = broker.statuses().await.unwrap();
    statuses.sort();
    statuses
}

pub async fn status_of_a_process_replaces_its_previous_one(store: &dyn Store) {
    let (one, other) = (store.open().await, store.open().await);
    assert_eq!(published(&*one).await, Vec::<Vec<u8>>::new());
    for (process, status) in [("a", "old"), ("b", "other"), ("a", "new")] {
        one.publish_status(process, status.as_bytes(), LONG).await.unwrap();
    }

    assert_eq!(published(&*other).await, [b"new".to_vec(), b"other".to_vec()]);
}

pub async fn status_ends_with_its_time_or_when_it_is_withdrawn(store: &dyn Store) {
    let broker = store.open().await;
    broker.publish_status("short", b"short", Duration::from_secs(1)).await.unwrap();
    broker.publish_status("long", b"long", LONG).await.unwrap();
    eventually(async || (published(&*broker).await == [b"long".to_vec()]).then_some(())).await;

    broker.publish_status("long", b"", Duration::ZERO).await.unwrap();
    assert_eq!(published(&*broker).await, Vec::<Vec<u8>>::new());
}

pub async fn status_that_is_too_long_is_not_returned(store: &dyn Store) {
    let broker = store.open().await;
    broker.publish_status("bytes", &[0, 255, 10], LONG).await.unwrap();
    broker.publish_status("longest", &[1; MAX_STATUS], LONG).await.unwrap();
    broker.publish_status("longer", &[2; MAX_STATUS + 1], LONG).await.unwrap();

    assert_eq!(published(&*broker).await, [vec![0, 255, 10], vec![1; MAX_STATUS]]);
}
