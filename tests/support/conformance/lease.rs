//! Leasing tasks and keeping leases.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use std::collections::BTreeSet;
use std::slice;

use taskseal::broker::{LeaseToken, Settlement, TaskState};

use super::*;

pub async fn dequeue_of_an_empty_queue_hands_out_nothing(store: &dyn Store) {
    let broker = store.open().await;

    assert!(take(&*broker, 10, LONG).await.is_empty());
    assert_eq!(stats(&*broker).await, QueueStats::default());
}

pub async fn dequeue_of_no_tasks_hands_out_none(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["a"]).await;

    assert!(take(&*broker, 0, LONG).await.is_empty());
    assert_eq!(ids_in(&*broker, TaskState::Pending).await, ["a"]);
}

pub async fn dequeue_hands_out_every_task_once_and_the_oldest_first(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(10);
    fill(&*broker, &ids).await;

    let mut seen = Vec::new();
    for limit in [1, 3, 32, 32] {
        seen.extend(take(&*broker, limit, LONG).await);
    }

    assert_eq!(ids_of(&seen), ids);
    let stats = consistent(&*broker).await;
    assert_eq!((stats.pending, stats.active, stats.oldest_pending), (0, 10, None));
}

pub async fn dequeue_of_a_thousand_tasks_in_one_call(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(1100);
    fill(&*broker, &ids).await;

    let taken = take(&*broker, 1000, LONG).await;
    assert_eq!(ids_of(&taken), ids[..1000]);

    let ends: Vec<_> = taken.into_iter().map(|task| (task.lease, Settlement::Done)).collect();
    assert_eq!(broker.settle(&queue(), &ends).await.unwrap(), vec![Settled::Done; 1000]);
    let stats = consistent(&*broker).await;
    assert_eq!((stats.pending, stats.active, stats.processed), (100, 0, 1000));
}

pub async fn every_lease_has_its_own_token(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &names(300)).await;

    let mut tokens = BTreeSet::new();
    for limit in [100, 1, 199] {
        for task in take(&*broker, limit, LONG).await {
            tokens.insert(task.lease.token.to_hex());
        }
    }

    assert_eq!(tokens.len(), 300);
}

pub async fn paused_queue_hands_out_nothing_until_it_is_resumed(store: &dyn Store) {
    let broker = store.open().await;
    let lease = leased(&*broker, "held", LONG).await;

    assert!(broker.set_paused(&queue(), true).await.unwrap());
    fill(&*broker, &["a"]).await;
    assert!(take(&*broker, 10, LONG).await.is_empty());
    assert!(stats(&*broker).await.paused);
    // Pausing stops new leases, not the tasks that are leased.
    assert_eq!(broker.extend(&queue(), slice::from_ref(&lease), LONG).await.unwrap(), [true]);
    assert_eq!(settle_one(&*broker, &lease, Settlement::Done).await, Settled::Done);

    assert!(broker.set_paused(&queue(), false).await.unwrap());
    assert_eq!(ids_of(&take(&*broker, 10, LONG).await), ["a"]);
    assert!(!stats(&*broker).await.paused);
}

pub async fn extend_tells_which_leases_are_held(store: &dyn Store) {
    let broker = store.open().await;
    let held = leased(&*broker, "held", LONG).await;
    let ended = leased(&*broker, "ended", LONG).await;
    settle_one(&*broker, &ended, Settlement::Done).await;
    let forged = Lease { token: LeaseToken::from_bytes([7; 16]), ..held.clone() };
    let unknown = Lease { id: "unknown".into(), ..held.clone() };

    let leases = [forged, held.clone(), ended, unknown, held];

    let answers = broker.extend(&queue(), &leases, LONG).await.unwrap();
    assert_eq!(answers, [false, true, false, false, true]);
    assert_eq!(broker.extend(&queue(), &[], LONG).await.unwrap(), [] as [bool; 0]);
}

pub async fn extended_lease_does_not_run_out(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["kept", "left"]).await;
    let tasks = take(&*broker, 2, SHORT).await;

    // No call has recovered the tasks yet: the holder may still extend.
    let kept = tasks[0].lease.clone();
    assert_eq!(broker.extend(&queue(), slice::from_ref(&kept), LONG).await.unwrap(), [true]);

    assert_eq!(recovered(&*broker, 1).await.requeued, ["left"]);
    assert!(found(&*broker, "kept").await.at.unwrap() > UnixMillis::now().plus(LONG / 2));
    assert_eq!(settle_one(&*broker, &kept, Settlement::Done).await, Settled::Done);
}
