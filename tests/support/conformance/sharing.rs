//! Several handles on one store.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use std::collections::BTreeSet;
use std::slice;

use taskseal::broker::{Enqueued, Settlement, TaskState};

use super::*;

pub async fn new_handle_sees_everything_that_was_acknowledged(store: &dyn Store) {
    let first = store.open().await;
    fill(&*first, &names(4)).await;
    let tasks = take(&*first, 3, LONG).await;
    let ends = [
        (tasks[0].lease.clone(), Settlement::Complete { result: b"r".to_vec(), retention: LONG }),
        (tasks[1].lease.clone(), archive("refused")),
    ];
    first.settle(&queue(), &ends).await.unwrap();
    first.set_paused(&queue(), true).await.unwrap();
    let before = consistent(&*first).await;
    let mut pictures = Vec::new();
    for id in names(4) {
        pictures.push(picture(&found(&*first, &id).await));
    }
    drop(first);

    let second = store.open().await;

    let after = consistent(&*second).await;
    assert_eq!(QueueStats { oldest_pending: None, ..after }, QueueStats { oldest_pending: None, ..before });
    for (id, before) in names(4).iter().zip(pictures) {
        assert_eq!(picture(&found(&*second, id).await), before);
    }
    assert_eq!(settle_one(&*second, &tasks[2].lease, Settlement::Done).await, Settled::Done);
}

pub async fn task_leased_through_one_handle_is_settled_through_another(store: &dyn Store) {
    let (first, second) = (store.open().await, store.open().await);
    fill(&*first, &["a"]).await;

    let task = take(&*second, 1, LONG).await.remove(0);

    assert!(take(&*first, 1, LONG).await.is_empty());
    assert_eq!(first.extend(&queue(), slice::from_ref(&task.lease), LONG).await.unwrap(), [true]);
    assert_eq!(settle_one(&*first, &task.lease, Settlement::Done).await, Settled::Done);
    assert_eq!(settle_one(&*second, &task.lease, Settlement::Done).await, Settled::LeaseLost);
    assert_eq!(consistent(&*second).await.processed, 1);
}

pub async fn two_handles_enqueueing_the_same_tasks_store_each_once(store: &dyn Store) {
    let handles = [store.open().await, store.open().await];
    let producers = handles.clone().map(|broker| {
        tokio::spawn(async move {
            let mut new = 0;
            for chunk in names(1000).chunks(10) {
                let tasks: Vec<NewTask> = chunk.iter().map(|id| task(id)).collect();
                let answers = broker.enqueue(&queue(), &tasks).await.unwrap();
                assert!(!answers.contains(&Enqueued::Conflict));
                new += answers.iter().filter(|&&answer| answer == Enqueued::New).count();
            }
            new
        })
    });

    let mut new = 0;
    for producer in producers {
        new += producer.await.unwrap();
    }

    assert_eq!(new, 1000);
    let stored: BTreeSet<String> = ids_in(&*handles[0], TaskState::Pending).await.into_iter().collect();
    assert_eq!((stored.len(), stats(&*handles[1]).await.pending), (1000, 1000));
}

pub async fn four_consumers_on_two_handles_share_ten_thousand_tasks_and_none_twice(store: &dyn Store) {
    let handles = [store.open().await, store.open().await];
    let ids = names(10_000);
    fill(&*handles[0], &ids).await;

    let consumers: Vec<_> = (0..4)
        .map(|number| {
            let broker = Arc::clone(&handles[number % 2]);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let tasks = take(&*broker, 1 + (seen.len() + number) % 64, LONG).await;
                    if tasks.is_empty() {
                        return seen;
                    }
                    seen.extend(tasks.iter().map(|task| task.lease.id.clone()));
                    let ends: Vec<_> = tasks.into_iter().map(|task| (task.lease, Settlement::Done)).collect();
                    let settled = broker.settle(&queue(), &ends).await.unwrap();
                    assert!(settled.iter().all(|&settled| settled == Settled::Done));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for consumer in consumers {
        let seen = consumer.await.unwrap();
        assert!(seen.is_sorted(), "one consumer sees the tasks in order");
        all.extend(seen);
    }

    all.sort();
    assert_eq!(all, ids);
    assert_eq!(consistent(&*handles[0]).await, QueueStats { processed: 10_000, ..QueueStats::default() });
}

pub async fn wait_ends_when_another_handle_enqueues(store: &dyn Store) {
    let (producer, consumer) = (store.open().await, store.open().await);
    let waiting = tokio::spawn(async move {
        consumer.wait(&[QueueName::parse("idle").unwrap(), queue()], LONG).await;
    });

    // The first tasks may come before the waiting has begun.
    eventually(|| async {
        fill(&*producer, &["a"]).await;
        let ended = tokio::time::timeout(Duration::from_millis(50), async {
            while !waiting.is_finished() {
                tokio::task::yield_now().await;
            }
        });
        let ended = ended.await.is_ok();
        let task = take(&*producer, 1, LONG).await.remove(0);
        settle_one(&*producer, &task.lease, Settlement::Done).await;
        ended.then_some(())
    })
    .await;
}

pub async fn wait_ends_at_its_timeout(store: &dyn Store) {
    let broker = store.open().await;
    let from = Instant::now();

    let timeout = Duration::from_millis(60);
    let ended = tokio::time::timeout(DEADLINE, broker.wait(&[queue()], timeout)).await;

    // A wake-up may be spurious; it must not be missing.
    assert!(ended.is_ok(), "still waiting after {:?}", from.elapsed());
}
