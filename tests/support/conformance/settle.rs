//! Ending leases.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use taskseal::broker::{LeaseToken, Settlement, TaskState};

use super::*;

pub async fn settle_of_nothing_answers_nothing(store: &dyn Store) {
    let broker = store.open().await;

    assert_eq!(broker.settle(&queue(), &[]).await.unwrap(), []);
}

pub async fn settle_with_the_token_of_another_lease_changes_nothing(store: &dyn Store) {
    let broker = store.open().await;
    let other = leased(&*broker, "b", LONG).await;
    let lease = leased(&*broker, "a", LONG).await;
    let before = picture(&found(&*broker, "a").await);

    for token in [LeaseToken::from_bytes([0; 16]), other.token] {
        let forged = Lease { token, ..lease.clone() };
        for end in every_end() {
            assert_eq!(settle_one(&*broker, &forged, end).await, Settled::LeaseLost);
        }
    }

    assert_eq!(picture(&found(&*broker, "a").await), before);
    assert_eq!(consistent(&*broker).await, QueueStats { active: 2, ..QueueStats::default() });
}

pub async fn settle_of_an_unknown_task_is_a_lost_lease(store: &dyn Store) {
    let broker = store.open().await;
    let lease = Lease::new("unknown".into(), LeaseToken::from_bytes([1; 16]));

    for end in every_end() {
        assert_eq!(settle_one(&*broker, &lease, end).await, Settled::LeaseLost);
    }

    assert_eq!(consistent(&*broker).await, QueueStats::default());
}

pub async fn settle_twice_changes_nothing_the_second_time(store: &dyn Store) {
    let broker = store.open().await;
    for (number, end) in every_end().into_iter().enumerate() {
        let id = format!("t{number}");
        let lease = leased(&*broker, &id, LONG).await;
        assert_eq!(settle_one(&*broker, &lease, end.clone()).await, Settled::Done);
        let before = consistent(&*broker).await;

        for again in every_end() {
            assert_eq!(settle_one(&*broker, &lease, again).await, Settled::LeaseLost);
        }

        let after = consistent(&*broker).await;
        assert_eq!(
            QueueStats { oldest_pending: None, ..after },
            QueueStats { oldest_pending: None, ..before }
        );
    }
}

pub async fn settle_of_one_lease_twice_in_one_call_counts_once(store: &dyn Store) {
    let broker = store.open().await;
    for (number, end) in every_end().into_iter().enumerate() {
        let lease = leased(&*broker, &format!("t{number}"), LONG).await;

        let ends = [(lease.clone(), end), (lease.clone(), Settlement::Done), (lease, Settlement::Requeue)];

        let answers = broker.settle(&queue(), &ends).await.unwrap();
        assert_eq!(answers, [Settled::Done, Settled::LeaseLost, Settled::LeaseLost]);
    }
    let stats = consistent(&*broker).await;
    assert_eq!((stats.completed, stats.retry, stats.archived, stats.pending), (1, 2, 1, 1));
    assert_eq!((stats.active, stats.processed, stats.failed), (0, 4, 2));
}

pub async fn settle_answers_in_the_order_of_the_ends(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &names(4)).await;
    let tasks = take(&*broker, 4, LONG).await;
    let lost = |n: usize| Lease { token: LeaseToken::from_bytes([9; 16]), ..tasks[n].lease.clone() };

    let ends = [
        (lost(0), Settlement::Done),
        (tasks[3].lease.clone(), archive("refused")),
        (lost(1), Settlement::Requeue),
        (tasks[1].lease.clone(), Settlement::Done),
    ];

    let answers = broker.settle(&queue(), &ends).await.unwrap();
    assert_eq!(answers, [Settled::LeaseLost, Settled::Done, Settled::LeaseLost, Settled::Done]);
    let mut active = ids_in(&*broker, TaskState::Active).await;
    active.sort();
    assert_eq!(active, ["t00000", "t00002"]);
}

pub async fn done_task_is_gone_and_its_id_free(store: &dyn Store) {
    let broker = store.open().await;
    let lease = leased(&*broker, "a", LONG).await;

    assert_eq!(settle_one(&*broker, &lease, Settlement::Done).await, Settled::Done);

    assert!(broker.find(&queue(), "a").await.unwrap().is_none());
    assert_eq!(consistent(&*broker).await, QueueStats { processed: 1, ..QueueStats::default() });
    leased(&*broker, "a", LONG).await;
}

pub async fn completed_task_is_kept_with_its_result(store: &dyn Store) {
    let broker = store.open().await;
    let lease = leased(&*broker, "a", LONG).await;
    let result: Vec<u8> = (0..=255).collect();

    let end = Settlement::Complete { result: result.clone(), retention: LONG };
    let from = UnixMillis::now();
    assert_eq!(settle_one(&*broker, &lease, end).await, Settled::Done);

    let info = found(&*broker, "a").await;
    assert_set_since(info.completed_at, from);
    let expected = Picture {
        result: Some(result),
        completed_at: info.completed_at,
        ..Picture::of("a", TaskState::Completed)
    };
    assert_eq!(picture(&info), expected);
    let at = info.at.unwrap();
    assert!(at >= from.plus(LONG) && at <= UnixMillis::now().plus(LONG), "{at:?}");
    assert_eq!(broker.tidy(&queue(), 10).await.unwrap().expired, 0);
    let expected = QueueStats { completed: 1, processed: 1, ..QueueStats::default() };
    assert_eq!(consistent(&*broker).await, expected);
}

pub async fn retried_task_waits_for_its_delay(store: &dyn Store) {
    let broker = store.open().await;
    let lease = leased(&*broker, "a", LONG).await;
    let from = UnixMillis::now();

    let end = Settlement::Retry { delay: LONG, failure: Some("no".into()) };
    assert_eq!(settle_one(&*broker, &lease, end).await, Settled::Done);

    let info = found(&*broker, "a").await;
    assert_set_since(info.last_failed_at, from);
    let expected = Picture {
        retries: 1,
        last_error: Some("no".into()),
        last_failed_at: info.last_failed_at,
        ..Picture::of("a", TaskState::Retry)
    };
    assert_eq!(picture(&info), expected);
    let at = info.at.expect("a retried task has a time");
    assert!((from.plus(LONG)..=UnixMillis::now().plus(LONG)).contains(&at), "{at:?}");
    assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 0);
    assert!(take(&*broker, 1, LONG).await.is_empty());
    let expected = QueueStats { retry: 1, processed: 1, failed: 1, ..QueueStats::default() };
    assert_eq!(consistent(&*broker).await, expected);
}

pub async fn every_failed_attempt_counts_one_retry_and_replaces_the_last_error(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["a"]).await;

    for (retries, error) in [(1, "first"), (2, "second"), (3, "third")] {
        let lease = take(&*broker, 1, LONG).await.remove(0).lease;
        let end = Settlement::Retry { delay: Duration::ZERO, failure: Some(error.into()) };
        assert_eq!(settle_one(&*broker, &lease, end).await, Settled::Done);
        let info = found(&*broker, "a").await;
        assert_eq!((info.retries, info.last_error.as_deref()), (retries, Some(error)));
        assert_eq!(info.record, Some(record("a")));
        assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 1);
    }
}

pub async fn retry_without_a_failure_is_not_counted(store: &dyn Store) {
    let broker = store.open().await;
    let lease = leased(&*broker, "a", LONG).await;

    let end = Settlement::Retry { delay: Duration::ZERO, failure: None };
    assert_eq!(settle_one(&*broker, &lease, end).await, Settled::Done);

    assert_eq!(picture(&found(&*broker, "a").await), Picture::of("a", TaskState::Retry));
    assert_eq!(consistent(&*broker).await, QueueStats { retry: 1, ..QueueStats::default() });
    assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 1);
    assert_eq!(ids_of(&take(&*broker, 1, LONG).await), ["a"]);
}

pub async fn retried_tasks_become_pending_in_the_order_of_their_delays(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["third", "first", "second"]).await;
    let tasks = take(&*broker, 3, LONG).await;
    let ends: Vec<_> = tasks
        .into_iter()
        .zip([3, 1, 2])
        .map(|(task, delay)| (task.lease, failed(Duration::from_millis(delay))))
        .collect();
    broker.settle(&queue(), &ends).await.unwrap();
    assert_eq!(ids_in(&*broker, TaskState::Retry).await, ["first", "second", "third"]);

    eventually(|| async {
        broker.forward(&queue(), 10).await.unwrap();
        (stats(&*broker).await.pending == 3).then_some(())
    })
    .await;

    assert_eq!(ids_of(&take(&*broker, 3, LONG).await), ["first", "second", "third"]);
}

pub async fn archived_task_is_kept_and_never_handed_out(store: &dyn Store) {
    let broker = store.open().await;
    let lease = leased(&*broker, "a", LONG).await;
    let from = UnixMillis::now();

    assert_eq!(settle_one(&*broker, &lease, archive("refused")).await, Settled::Done);

    let info = found(&*broker, "a").await;
    assert_set_since(info.last_failed_at, from);
    let expected = Picture {
        last_error: Some("refused".into()),
        last_failed_at: info.last_failed_at,
        ..Picture::of("a", TaskState::Archived)
    };
    assert_eq!(picture(&info), expected);
    let at = info.at.unwrap();
    assert!(at >= from && at <= UnixMillis::now(), "{at:?}");
    assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 0);
    assert_eq!(broker.recover(&queue(), 10).await.unwrap(), Recovered::default());
    assert!(take(&*broker, 1, LONG).await.is_empty());
    let expected = QueueStats { archived: 1, processed: 1, failed: 1, ..QueueStats::default() };
    assert_eq!(consistent(&*broker).await, expected);
}

pub async fn requeued_task_is_next_in_line(store: &dyn Store) {
    let broker = store.open().await;
    let lease = leased(&*broker, "given back", LONG).await;
    fill(&*broker, &["waiting"]).await;

    assert_eq!(settle_one(&*broker, &lease, Settlement::Requeue).await, Settled::Done);

    let stats = consistent(&*broker).await;
    assert_eq!((stats.pending, stats.active, stats.processed, stats.failed), (2, 0, 0, 0));
    let tasks = take(&*broker, 2, LONG).await;
    assert_eq!(ids_of(&tasks), ["given back", "waiting"]);
    assert_ne!(tasks[0].lease, lease);
    assert_eq!(tasks[0].record, record("given back"));
    assert_eq!(picture(&found(&*broker, "given back").await), Picture::of("given back", TaskState::Active));
}

pub async fn tasks_requeued_together_keep_their_order(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(6);
    fill(&*broker, &ids).await;
    let tasks = take(&*broker, 4, LONG).await;

    let ends: Vec<_> = tasks.into_iter().map(|task| (task.lease, Settlement::Requeue)).collect();
    broker.settle(&queue(), &ends).await.unwrap();

    assert_eq!(ids_of(&take(&*broker, 6, LONG).await), ids);
}
