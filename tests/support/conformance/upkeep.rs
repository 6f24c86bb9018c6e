//! Periodic maintenance, and what an operator sees.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use taskseal::broker::{Eviction, Settlement, TaskState, Tidied};

use super::*;

async fn retry_after(broker: &dyn Broker, ids: &[impl AsRef<str>], delay: Duration) {
    fill(broker, ids).await;
    let tasks = take(broker, ids.len(), LONG).await;
    assert_eq!(tasks.len(), ids.len());
    let ends: Vec<_> = tasks.into_iter().map(|task| (task.lease, failed(delay))).collect();
    broker.settle(&queue(), &ends).await.unwrap();
}

async fn complete(broker: &dyn Broker, ids: &[impl AsRef<str>], retention: Duration) {
    fill(broker, ids).await;
    let tasks = take(broker, ids.len(), LONG).await;
    assert_eq!(tasks.len(), ids.len());
    let end = Settlement::Complete { result: b"result".to_vec(), retention };
    let ends: Vec<_> = tasks.into_iter().map(|task| (task.lease, end.clone())).collect();
    broker.settle(&queue(), &ends).await.unwrap();
}

async fn archived(broker: &dyn Broker, id: &str) {
    let lease = leased(broker, id, LONG).await;
    assert_eq!(settle_one(broker, &lease, archive("failed")).await, Settled::Done);
}

pub async fn health_of_a_broker_in_order_is_found_without_a_change(store: &dyn Store) {
    let broker = store.open().await;
    assert_eq!(broker.health().await.unwrap(), Eviction::Never);
    assert_eq!(broker.queues().await.unwrap(), []);
    fill(&*broker, &["a"]).await;

    assert_eq!(broker.health().await.unwrap(), Eviction::Never);

    assert_eq!(consistent(&*broker).await.pending, 1);
    assert_eq!(broker.queues().await.unwrap(), [queue()]);
    assert_eq!(take(&*broker, 10, LONG).await.len(), 1);
}

pub async fn forward_moves_no_more_than_its_limit(store: &dyn Store) {
    let broker = store.open().await;
    retry_after(&*broker, &names(5), Duration::ZERO).await;

    for (limit, moved) in [(0, 0), (2, 2), (2, 2), (2, 1), (2, 0)] {
        assert_eq!(broker.forward(&queue(), limit).await.unwrap(), moved);
    }

    assert_eq!(consistent(&*broker).await.pending, 5);
}

pub async fn forward_leaves_what_is_not_due(store: &dyn Store) {
    let broker = store.open().await;
    let later = UnixMillis::now().plus(LONG);
    retry_after(&*broker, &["retry later"], LONG).await;
    broker.enqueue(&queue(), &[task_at("scheduled", later)]).await.unwrap();
    retry_after(&*broker, &["retry"], Duration::ZERO).await;

    assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 1);

    assert_eq!(ids_in(&*broker, TaskState::Pending).await, ["retry"]);
    let stats = consistent(&*broker).await;
    assert_eq!((stats.scheduled, stats.retry), (1, 1));
}

pub async fn tidy_deletes_completed_tasks_past_their_retention_only(store: &dyn Store) {
    let broker = store.open().await;
    complete(&*broker, &["kept"], LONG).await;
    complete(&*broker, &["expired"], SHORT).await;
    fill(&*broker, &["pending"]).await;

    let tidied = eventually(|| async {
        let tidied = broker.tidy(&queue(), 10).await.unwrap();
        (tidied != Tidied::default()).then_some(tidied)
    })
    .await;

    assert_eq!(tidied, Tidied { expired: 1, ..Tidied::default() });
    assert!(broker.find(&queue(), "expired").await.unwrap().is_none());
    let stats = consistent(&*broker).await;
    assert_eq!((stats.completed, stats.pending, stats.processed), (1, 1, 2));
}

pub async fn tidy_deletes_no_more_than_its_limit(store: &dyn Store) {
    let broker = store.open().await;
    complete(&*broker, &names(5), SHORT).await;

    assert_eq!(broker.tidy(&queue(), 0).await.unwrap(), Tidied::default());
    let mut left = 5;
    while left > 0 {
        let expired = broker.tidy(&queue(), 2).await.unwrap().expired;
        assert!(expired <= 2);
        left -= expired;
        assert_eq!(consistent(&*broker).await.completed, left as u64);
    }
}

pub async fn archived_tasks_beyond_the_limit_are_deleted_by_tidy_oldest_first_and_counted(store: &dyn Store) {
    let broker = store.open_with(ArchiveLimits { tasks: 3, age: LONG }).await;
    for id in names(8) {
        archived(&*broker, &id).await;
    }
    assert_eq!((stats(&*broker).await.archived, stats(&*broker).await.trimmed), (8, 0));

    let trimmed = |count| Tidied { trimmed: count, ..Tidied::default() };
    assert_eq!(broker.tidy(&queue(), 0).await.unwrap(), trimmed(0));
    for count in [4, 1, 0] {
        assert_eq!(broker.tidy(&queue(), 4).await.unwrap(), trimmed(count));
    }

    let stats = consistent(&*broker).await;
    assert_eq!((stats.archived, stats.trimmed, stats.failed), (3, 5, 8));
    assert_eq!(ids_in(&*broker, TaskState::Archived).await, names(8)[5..]);
    assert!(broker.find(&queue(), "t00000").await.unwrap().is_none());
}

pub async fn archived_tasks_past_the_age_limit_are_deleted_by_tidy_and_counted(store: &dyn Store) {
    let broker = store.open_with(ArchiveLimits { tasks: 10, age: SHORT }).await;
    archived(&*broker, "old").await;
    complete(&*broker, &["completed"], LONG).await;

    let tidied = eventually(|| async {
        let tidied = broker.tidy(&queue(), 10).await.unwrap();
        (tidied != Tidied::default()).then_some(tidied)
    })
    .await;

    assert_eq!(tidied, Tidied { trimmed: 1, ..Tidied::default() });
    let stats = consistent(&*broker).await;
    assert_eq!((stats.archived, stats.trimmed, stats.completed), (0, 1, 1));
}

pub async fn active_task_without_a_lease_is_repaired_and_recovered(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["stranded", "held"]).await;
    let tasks = take(&*broker, 2, LONG).await;
    store.lose_lease(&queue(), "stranded").await;
    assert_eq!(broker.recover(&queue(), 10).await.unwrap(), Recovered::default());

    let repaired = Tidied { repaired: 1, ..Tidied::default() };
    assert_eq!(broker.tidy(&queue(), 10).await.unwrap(), repaired);

    assert_eq!(recovered(&*broker, 1).await.requeued, ["stranded"]);
    assert_eq!(broker.tidy(&queue(), 10).await.unwrap(), Tidied::default());
    assert_eq!(settle_one(&*broker, &tasks[1].lease, Settlement::Done).await, Settled::Done);
    assert_eq!(ids_of(&take(&*broker, 2, LONG).await), ["stranded"]);
    assert_eq!(consistent(&*broker).await.active, 1);
}

pub async fn pausing_twice_changes_nothing_the_second_time(store: &dyn Store) {
    let broker = store.open().await;

    for (paused, changed) in [(false, false), (true, true), (true, false), (false, true), (false, false)] {
        assert_eq!(broker.set_paused(&queue(), paused).await.unwrap(), changed);
        assert_eq!(stats(&*broker).await.paused, paused);
    }
}

pub async fn unknown_queue_is_empty(store: &dyn Store) {
    let broker = store.open().await;

    assert_eq!(consistent(&*broker).await, QueueStats::default());
    assert_eq!(broker.recover(&queue(), 10).await.unwrap(), Recovered::default());
    assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 0);
    assert_eq!(broker.tidy(&queue(), 10).await.unwrap(), Tidied::default());
}

pub async fn unknown_task_is_not_found(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["a"]).await;

    for id in ["b", "", "A", "a ", "*"] {
        assert!(broker.find(&queue(), id).await.unwrap().is_none());
    }
}

pub async fn list_pages_through_a_state_in_order(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(25);
    fill(&*broker, &ids).await;

    let mut seen = Vec::new();
    for page in 0..4 {
        let page = broker.list(&queue(), TaskState::Pending, page * 10, 10).await.unwrap();
        seen.push(page.iter().map(|info| info.id.clone()).collect::<Vec<_>>());
    }

    assert_eq!(seen, [&ids[..10], &ids[10..20], &ids[20..], &[]]);
    assert!(broker.list(&queue(), TaskState::Pending, 3, 0).await.unwrap().is_empty());
}

pub async fn find_tells_the_state_of_every_task(store: &dyn Store) {
    let broker = store.open().await;
    let later = UnixMillis::now().plus(LONG);
    retry_after(&*broker, &["retry"], LONG).await;
    complete(&*broker, &["completed"], LONG).await;
    let archived = leased(&*broker, "archived", LONG).await;
    settle_one(&*broker, &archived, archive("archived")).await;
    leased(&*broker, "active", LONG).await;
    broker.enqueue(&queue(), &[task_at("scheduled", later), task("pending")]).await.unwrap();

    for state in OURS {
        let info = found(&*broker, state.as_str()).await;
        assert_eq!((info.state, info.record.unwrap()), (state, record(state.as_str())));
        assert_eq!(info.at.is_some(), state != TaskState::Pending);
        let listed = listed(&*broker, state).await;
        assert_eq!((listed.len(), &*listed[0].id, listed[0].at), (1, state.as_str(), info.at));
    }
}

pub async fn statistics_equal_what_lists_show_after_every_step(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &names(40)).await;
    consistent(&*broker).await;

    for round in 0..8 {
        let tasks = take(&*broker, 4, LONG).await;
        let lost = take(&*broker, 1, SHORT).await;
        consistent(&*broker).await;
        let ends = every_end();
        let ends: Vec<_> = tasks
            .into_iter()
            .enumerate()
            .map(|(n, task)| (task.lease, ends[(n + round) % ends.len()].clone()))
            .collect();
        broker.settle(&queue(), &ends).await.unwrap();
        consistent(&*broker).await;
        recovered(&*broker, lost.len()).await;
        consistent(&*broker).await;
    }

    let stats = consistent(&*broker).await;
    assert!(stats.oldest_pending.is_some());
    assert!(stats.failed < stats.processed);
}
