//! Recovering tasks from workers that were lost, and refusing late calls of those workers.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use std::slice;

use taskseal::broker::{Settlement, TaskState};

use super::*;

pub async fn lease_that_runs_is_not_recovered(store: &dyn Store) {
    let broker = store.open().await;
    leased(&*broker, "a", LONG).await;

    assert_eq!(broker.recover(&queue(), 10).await.unwrap(), Recovered::default());
    assert_eq!(found(&*broker, "a").await.state, TaskState::Active);
}

pub async fn lease_that_ran_out_puts_the_task_back_in_front(store: &dyn Store) {
    let broker = store.open().await;
    leased(&*broker, "lost", SHORT).await;
    fill(&*broker, &["waiting"]).await;

    let expected = Recovered { requeued: vec!["lost".into()], ..Recovered::default() };
    assert_eq!(recovered(&*broker, 1).await, expected);

    let info = found(&*broker, "lost").await;
    assert_eq!(picture(&info), Picture::of("lost", TaskState::Pending));
    let stats = consistent(&*broker).await;
    assert_eq!((stats.pending, stats.active, stats.processed, stats.failed), (2, 0, 0, 0));
    assert_eq!(ids_of(&take(&*broker, 2, LONG).await), ["lost", "waiting"]);
}

pub async fn tasks_recovered_together_keep_their_order(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(5);
    fill(&*broker, &ids).await;
    take(&*broker, 4, SHORT).await;

    recovered(&*broker, 4).await;

    assert_eq!(ids_of(&take(&*broker, 5, LONG).await), ids);
}

pub async fn recover_takes_no_more_than_its_limit(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(5);
    fill(&*broker, &ids).await;
    take(&*broker, 5, SHORT).await;

    assert_eq!(broker.recover(&queue(), 0).await.unwrap(), Recovered::default());
    let mut left = 5;
    while left > 0 {
        let some = broker.recover(&queue(), 2).await.unwrap().requeued.len();
        assert!(some <= 2);
        left -= some;
        assert_eq!(consistent(&*broker).await.active, left as u64);
    }
}

pub async fn late_settle_of_a_recovered_task_changes_nothing(store: &dyn Store) {
    let broker = store.open().await;
    let lease = leased(&*broker, "a", SHORT).await;
    recovered(&*broker, 1).await;
    let before = picture(&found(&*broker, "a").await);

    for end in every_end() {
        assert_eq!(settle_one(&*broker, &lease, end).await, Settled::LeaseLost);
    }

    assert_eq!(picture(&found(&*broker, "a").await), before);
    assert_eq!(ids_of(&take(&*broker, 2, LONG).await), ["a"]);
}

pub async fn late_settle_of_a_task_leased_to_another_changes_nothing(store: &dyn Store) {
    let broker = store.open().await;
    let late = leased(&*broker, "a", SHORT).await;
    recovered(&*broker, 1).await;
    let held = take(&*broker, 1, LONG).await.remove(0).lease;
    let before = picture(&found(&*broker, "a").await);

    for end in every_end() {
        assert_eq!(settle_one(&*broker, &late, end).await, Settled::LeaseLost);
    }

    assert_eq!(picture(&found(&*broker, "a").await), before);
    assert_eq!(settle_one(&*broker, &held, Settlement::Done).await, Settled::Done);
    assert_eq!(consistent(&*broker).await, QueueStats { processed: 1, ..QueueStats::default() });
}

pub async fn late_extend_is_refused(store: &dyn Store) {
    let broker = store.open().await;
    let late = leased(&*broker, "a", SHORT).await;
    recovered(&*broker, 1).await;
    assert_eq!(broker.extend(&queue(), slice::from_ref(&late), LONG).await.unwrap(), [false]);

    let held = take(&*broker, 1, SHORT).await.remove(0).lease;
    assert_eq!(broker.extend(&queue(), &[late], LONG).await.unwrap(), [false]);

    // The late call must not have kept the other worker's lease alive either.
    recovered(&*broker, 1).await;
    assert_eq!(broker.extend(&queue(), &[held], LONG).await.unwrap(), [false]);
}

pub async fn task_is_recovered_however_many_of_its_leases_expire(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["stalled"]).await;

    for _ in 0..10 {
        let late = take(&*broker, 1, SHORT).await.remove(0).lease;
        let expected = Recovered { requeued: vec!["stalled".into()], ..Recovered::default() };
        assert_eq!(recovered(&*broker, 1).await, expected);
        assert_eq!(settle_one(&*broker, &late, Settlement::Done).await, Settled::LeaseLost);
    }
    assert_eq!(picture(&found(&*broker, "stalled").await), Picture::of("stalled", TaskState::Pending));
    let stats = consistent(&*broker).await;
    assert_eq!((stats.pending, stats.archived, stats.processed, stats.failed), (1, 0, 0, 0));
}
