//! Storing tasks.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use taskseal::broker::{Enqueued, NewTask, Settlement, TaskState};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;

use super::*;

pub async fn enqueue_of_nothing_stores_nothing(store: &dyn Store) {
    let broker = store.open().await;

    assert_eq!(broker.enqueue(&queue(), &[]).await.unwrap(), []);
    assert_eq!(stats(&*broker).await, QueueStats::default());
}

pub async fn enqueue_answers_in_the_order_of_the_tasks(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["known", "taken"]).await;

    let other = TaskRecord { envelope: "other".into(), ..record("taken") };
    let tasks = [task("new"), task("known"), NewTask::now(other), task("twice"), task("twice")];

    let answers = broker.enqueue(&queue(), &tasks).await.unwrap();
    use Enqueued::{AlreadyThere, Conflict, New};
    assert_eq!(answers, [New, AlreadyThere, Conflict, New, AlreadyThere]);
    assert_eq!(ids_in(&*broker, TaskState::Pending).await, ["known", "taken", "new", "twice"]);
}

pub async fn enqueue_of_another_payload_under_a_known_id_is_a_conflict_and_changes_nothing(
    store: &dyn Store,
) {
    let broker = store.open().await;
    let lease = leased(&*broker, "a", LONG).await;
    let other = [NewTask::now(TaskRecord { envelope: "other".into(), ..record("a") })];

    assert_eq!(broker.enqueue(&queue(), &other).await.unwrap(), [Enqueued::Conflict]);
    assert_eq!(found(&*broker, "a").await.record, Some(record("a")));
    assert_eq!(settle_one(&*broker, &lease, Settlement::Requeue).await, Settled::Done);
    assert_eq!(broker.enqueue(&queue(), &other).await.unwrap(), [Enqueued::Conflict]);
    assert_eq!(take(&*broker, 9, LONG).await[0].record, record("a"));
}

pub async fn enqueue_of_a_stored_task_changes_nothing_whatever_its_state(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &["active", "archived", "completed", "retry"]).await;
    let tasks = take(&*broker, 4, LONG).await;
    let later = UnixMillis::now().plus(LONG);
    let ends =
        [archive("archived"), Settlement::Complete { result: b"r".to_vec(), retention: LONG }, failed(LONG)];
    let ends: Vec<_> = tasks[1..].iter().map(|task| task.lease.clone()).zip(ends).collect();
    broker.settle(&queue(), &ends).await.unwrap();
    broker.enqueue(&queue(), &[task_at("scheduled", later), task("pending")]).await.unwrap();
    let before = consistent(&*broker).await;

    for id in ["active", "archived", "completed", "retry", "scheduled", "pending"] {
        let answer = broker.enqueue(&queue(), &[task(id)]).await.unwrap();
        assert_eq!(answer, [Enqueued::AlreadyThere], "{id}");
        assert_eq!(found(&*broker, id).await.state.as_str(), id);
    }
    let after = consistent(&*broker).await;
    assert_eq!(QueueStats { oldest_pending: None, ..after }, QueueStats { oldest_pending: None, ..before });
}

pub async fn dequeued_records_equal_the_enqueued_ones(store: &dyn Store) {
    let broker = store.open().await;
    let least = TaskRecord {
        id: "least".into(),
        queue: "mail".into(),
        max_retries: Some(0),
        timeout: Some(Duration::from_secs(1)),
        ..TaskRecord::default()
    };
    let records = [full_record("full"), least];

    broker.enqueue(&queue(), &records.clone().map(NewTask::now)).await.unwrap();

    let listed: Vec<_> = listed(&*broker, TaskState::Pending).await;
    assert_eq!(listed.into_iter().map(|info| info.record.unwrap()).collect::<Vec<_>>(), records);
    let taken = take(&*broker, 2, LONG).await;
    assert_eq!(taken.into_iter().map(|task| task.record).collect::<Vec<_>>(), records);
}

pub async fn payloads_keep_every_byte_value(store: &dyn Store) {
    let broker = store.open().await;
    let payloads: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte; 3]).collect();
    let tasks: Vec<NewTask> = payloads
        .iter()
        .zip(names(256))
        .map(|(payload, id)| NewTask::now(TaskRecord { envelope: payload.clone().into(), ..record(&id) }))
        .collect();

    broker.enqueue(&queue(), &tasks).await.unwrap();

    let taken = take(&*broker, 256, LONG).await;
    assert_eq!(taken.into_iter().map(|task| task.record.envelope).collect::<Vec<_>>(), payloads);
}

pub async fn payload_of_16_mib_comes_out_whole(store: &dyn Store) {
    let broker = store.open().await;
    let payload: Vec<u8> = (0_u32..4 << 20).flat_map(u32::to_le_bytes).collect();
    assert_eq!(payload.len(), 16 << 20);
    let big = TaskRecord { envelope: payload.clone().into(), ..record("big") };

    broker.enqueue(&queue(), &[NewTask::now(big.clone())]).await.unwrap();

    let taken = take(&*broker, 2, LONG).await.remove(0);
    assert!(taken.record == big);
    let end = Settlement::Complete { result: payload.clone(), retention: LONG };
    assert_eq!(settle_one(&*broker, &taken.lease, end).await, Settled::Done);
    assert!(found(&*broker, "big").await.result == Some(payload));
}

pub async fn ids_are_kept_whatever_characters_they_have(store: &dyn Store) {
    let broker = store.open().await;
    let ids = [
        "a b",
        "ü\u{1F9FE}",
        "'; DROP TABLE task; --",
        "%_*?[x]",
        "{q}:t:x",
        "line\nbreak",
        &"x".repeat(200),
    ];

    fill(&*broker, &ids).await;

    let taken = take(&*broker, 10, LONG).await;
    assert_eq!(ids_of(&taken), ids);
    for task in taken {
        assert_eq!(task.record.id, task.lease.id);
        assert_eq!(settle_one(&*broker, &task.lease, Settlement::Done).await, Settled::Done);
    }
}

pub async fn thousand_tasks_in_one_call_keep_their_order(store: &dyn Store) {
    let broker = store.open().await;
    let ids = names(1000);
    let tasks: Vec<NewTask> = ids.iter().map(|id| task(id)).collect();

    let answers = broker.enqueue(&queue(), &tasks).await.unwrap();

    assert_eq!(answers, vec![Enqueued::New; 1000]);
    assert_eq!(ids_in(&*broker, TaskState::Pending).await, ids);
}

pub async fn queues_do_not_see_each_other(store: &dyn Store) {
    let broker = store.open().await;
    let other = QueueName::parse("other").unwrap();
    let elsewhere = TaskRecord { queue: "other".into(), envelope: "elsewhere".into(), ..record("a") };
    fill(&*broker, &["a"]).await;

    let answer = broker.enqueue(&other, &[NewTask::now(elsewhere.clone())]).await.unwrap();

    assert_eq!(answer, [Enqueued::New]);
    let here = take(&*broker, 9, LONG).await;
    let there = broker.dequeue(&other, 9, LONG).await.unwrap().tasks;
    assert_eq!((&here[0].record, here.len()), (&record("a"), 1));
    assert_eq!((&there[0].record, there.len()), (&elsewhere, 1));
    let ends = [(here[0].lease.clone(), Settlement::Done)];
    assert_eq!(broker.settle(&other, &ends).await.unwrap(), [Settled::LeaseLost]);
    assert_eq!(broker.stats(&other).await.unwrap().active, 1);
}

pub async fn queues_are_listed_by_name_once_a_task_was_enqueued(store: &dyn Store) {
    let broker = store.open().await;
    assert_eq!(broker.queues().await.unwrap(), []);
    let names = ["b", "a", "Z"].map(|name| QueueName::parse(name).unwrap());
    for name in &names {
        let record = TaskRecord { queue: name.to_string(), ..record("t") };
        broker.enqueue(name, &[NewTask::now(record)]).await.unwrap();
    }
    broker.set_paused(&QueueName::parse("c").unwrap(), true).await.unwrap();
    let emptied = broker.dequeue(&names[0], 1, LONG).await.unwrap().tasks.remove(0);
    broker.settle(&names[0], &[(emptied.lease, Settlement::Done)]).await.unwrap();

    let listed = broker.queues().await.unwrap();

    assert_eq!(listed.iter().map(QueueName::as_str).collect::<Vec<_>>(), ["Z", "a", "b"]);
}

pub async fn task_for_the_past_is_pending_at_once(store: &dyn Store) {
    let broker = store.open().await;

    broker.enqueue(&queue(), &[task_at("a", UnixMillis(1000))]).await.unwrap();

    assert_eq!(ids_of(&take(&*broker, 1, LONG).await), ["a"]);
}

pub async fn task_for_later_is_not_handed_out_before_its_time(store: &dyn Store) {
    let broker = store.open().await;
    let at = UnixMillis::now().plus(LONG);

    broker.enqueue(&queue(), &[task_at("a", at)]).await.unwrap();

    assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 0);
    assert!(take(&*broker, 1, LONG).await.is_empty());
    let info = found(&*broker, "a").await;
    assert_eq!((info.state, info.at), (TaskState::Scheduled, Some(at)));
    assert_eq!(consistent(&*broker).await.scheduled, 1);
}

pub async fn task_for_later_is_handed_out_after_its_time(store: &dyn Store) {
    let broker = store.open().await;
    let soon = UnixMillis::now().plus(Duration::from_millis(20));

    broker.enqueue(&queue(), &[task_at("a", soon)]).await.unwrap();

    let tasks = eventually(|| async {
        broker.forward(&queue(), 10).await.unwrap();
        let tasks = take(&*broker, 1, LONG).await;
        (!tasks.is_empty()).then_some(tasks)
    })
    .await;
    assert!(UnixMillis::now() >= soon);
    assert_eq!(ids_of(&tasks), ["a"]);
}
