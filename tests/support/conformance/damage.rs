//! Damaged data: reported, kept, and without an effect on other tasks.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use taskseal::broker::{Corrupt, Enqueued, Settlement, TaskState};

use super::*;

/// No protobuf message and no text: a field number 0 and a length past the end.
const NONSENSE: &[u8] = &[0x07, 0xff, 0x00, 0xfe];

pub async fn damaged_message_is_reported_archived_whole_and_stops_no_other_task(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["before", "damaged", "after"]).await;
    store.damage(&queue(), "damaged", NONSENSE).await;

    let dequeued = broker.dequeue(&queue(), 10, LONG).await.unwrap();

    assert_eq!(ids_of(&dequeued.tasks), ["before", "after"]);
    let expected = Corrupt { id: "damaged".into(), bytes: NONSENSE.to_vec(), is_too_large: false };
    assert_eq!(dequeued.corrupt, [expected]);
    assert!(dequeued.dropped.is_empty());
    let info = found(&*broker, "damaged").await;
    assert_eq!((info.state, info.record), (TaskState::Archived, None));
    let stats = consistent(&*broker).await;
    assert_eq!((stats.active, stats.archived, stats.processed, stats.failed), (2, 1, 1, 1));
    let ends: Vec<_> = dequeued.tasks.into_iter().map(|task| (task.lease, Settlement::Requeue)).collect();
    broker.settle(&queue(), &ends).await.unwrap();
    assert_eq!(ids_of(&take(&*broker, 10, LONG).await), ["before", "after"]);
}

pub async fn damaged_messages_do_not_take_the_place_of_good_ones(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(20);
    fill(&*broker, &ids).await;
    for id in &ids[..19] {
        store.damage(&queue(), id, NONSENSE).await;
    }

    let mut corrupt = 0;
    let mut dequeued = broker.dequeue(&queue(), 5, LONG).await.unwrap();
    // A call may stop early, but each must get something out of the way.
    while dequeued.tasks.is_empty() {
        assert!(!dequeued.corrupt.is_empty());
        corrupt += dequeued.corrupt.len();
        dequeued = broker.dequeue(&queue(), 5, LONG).await.unwrap();
    }
    corrupt += dequeued.corrupt.len();

    assert_eq!((ids_of(&dequeued.tasks), corrupt), (vec!["t00019"], 19));
    assert_eq!(consistent(&*broker).await.archived, 19);
}

pub async fn damaged_task_that_is_active_does_not_stop_the_recovery_of_others(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(3);
    fill(&*broker, &ids).await;
    take(&*broker, 3, SHORT).await;
    store.damage(&queue(), "t00001", NONSENSE).await;

    let all = recovered(&*broker, 3).await;

    assert!(all.requeued.contains(&"t00000".into()) && all.requeued.contains(&"t00002".into()));
    let dequeued = broker.dequeue(&queue(), 10, LONG).await.unwrap();
    assert_eq!(ids_of(&dequeued.tasks), ["t00000", "t00002"]);
    assert_eq!(found(&*broker, "t00001").await.state, TaskState::Archived);
    consistent(&*broker).await;
}

pub async fn damaged_task_is_listed_without_a_record(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["good", "damaged"]).await;
    store.damage(&queue(), "damaged", NONSENSE).await;

    let listed = listed(&*broker, TaskState::Pending).await;

    let seen: Vec<_> = listed.iter().map(|info| (&*info.id, info.record.is_some())).collect();
    assert_eq!(seen, [("good", true), ("damaged", false)]);
    consistent(&*broker).await;
}

pub async fn lost_message_is_dropped_and_stops_no_other_task(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["before", "lost", "after"]).await;
    store.lose(&queue(), "lost").await;

    let mut dequeued = broker.dequeue(&queue(), 10, LONG).await.unwrap();
    dequeued.tasks.extend(broker.dequeue(&queue(), 10, LONG).await.unwrap().tasks);

    assert_eq!(ids_of(&dequeued.tasks), ["before", "after"]);
    assert_eq!((dequeued.dropped, dequeued.corrupt.len()), (vec!["lost".to_owned()], 0));
    assert!(broker.find(&queue(), "lost").await.unwrap().is_none());
    let stats = consistent(&*broker).await;
    assert_eq!((stats.pending, stats.active, stats.archived), (0, 2, 0));
}

pub async fn lost_message_of_an_active_task_is_dropped_by_recover(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["lost", "kept"]).await;
    take(&*broker, 2, SHORT).await;
    store.lose(&queue(), "lost").await;

    let all = recovered(&*broker, 2).await;

    assert_eq!((all.requeued, all.dropped), (vec!["kept".to_owned()], vec!["lost".to_owned()]));
    assert_eq!(ids_of(&take(&*broker, 10, LONG).await), ["kept"]);
    assert_eq!(consistent(&*broker).await.active, 1);
}

pub async fn lost_message_does_not_block_its_id(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["a"]).await;
    store.lose(&queue(), "a").await;

    assert_eq!(broker.enqueue(&queue(), &[task("a")]).await.unwrap(), [Enqueued::New]);

    let dequeued = broker.dequeue(&queue(), 10, LONG).await.unwrap();
    assert_eq!(ids_of(&dequeued.tasks), ["a"]);
    assert_eq!(consistent(&*broker).await.active, 1);
}
