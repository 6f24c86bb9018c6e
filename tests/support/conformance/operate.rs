//! What an operator does with stored tasks and queues.
#![allow(missing_docs)] // the name of a behaviour is its sentence

use taskseal::broker::{Operated, Operation, QueueDeletion};

use super::*;

/// Stores one task in each state, with the name of the state as its id.
async fn one_in_each_state(broker: &dyn Broker) {
    let end = async |id: &str, settlement| {
        let lease = leased(broker, id, LONG).await;
        assert_eq!(settle_one(broker, &lease, settlement).await, Settled::Done);
    };
    let later = UnixMillis::now().plus(LONG);
    end("retry", failed(LONG)).await;
    end("archived", archive("failed")).await;
    end("completed", Settlement::Complete { result: b"result".to_vec(), retention: LONG }).await;
    leased(broker, "active", LONG).await;
    broker.enqueue(&queue(), &[task_at("scheduled", later)]).await.unwrap();
    fill(broker, &["pending"]).await;
}

fn every_id() -> Vec<String> {
    let states = OURS.map(|state| state.as_str().to_owned());
    states.into_iter().chain(["unknown".to_owned()]).collect()
}

/// Returns the ids of the tasks that `operation` changes, of one in each state.
async fn changed_by(broker: &dyn Broker, operation: Operation) -> Vec<String> {
    one_in_each_state(broker).await;
    let ids = every_id();
    let outcomes = broker.operate(&queue(), &ids, operation).await.unwrap();
    assert_eq!(outcomes.len(), ids.len());
    let mut changed = Vec::new();
    for (id, outcome) in ids.into_iter().zip(outcomes) {
        match outcome {
            Operated::Done(state) => {
                assert_eq!(state.as_str(), id);
                changed.push(id);
            }
            Operated::Unchanged(state) => assert_eq!(state.as_str(), id),
            _ => assert_eq!(id, "unknown"),
        }
    }
    changed
}

pub async fn run_makes_every_waiting_and_archived_task_pending(store: &dyn Store) {
    let broker = store.open().await;
    let changed = changed_by(&*broker, Operation::Run).await;

    assert_eq!(changed, ["scheduled", "retry", "archived"]);
    let stats = consistent(&*broker).await;
    assert_eq!((stats.pending, stats.active, stats.completed), (4, 1, 1));
    assert_eq!(ids_of(&take(&*broker, 9, LONG).await), ["pending", "scheduled", "retry", "archived"]);
}

pub async fn archive_keeps_every_task_that_waits(store: &dyn Store) {
    let broker = store.open().await;
    let changed = changed_by(&*broker, Operation::Archive).await;

    assert_eq!(changed, ["pending", "scheduled", "retry"]);
    let stats = consistent(&*broker).await;
    assert_eq!((stats.archived, stats.active, stats.completed), (4, 1, 1));
    assert!(take(&*broker, 9, LONG).await.is_empty());
}

pub async fn delete_removes_every_task_that_no_worker_holds(store: &dyn Store) {
    let broker = store.open().await;
    let changed = changed_by(&*broker, Operation::Delete).await;

    assert_eq!(changed, ["pending", "scheduled", "retry", "archived", "completed"]);
    let stats = consistent(&*broker).await;
    assert_eq!(stats.pending + stats.scheduled + stats.retry + stats.archived + stats.completed, 0);
    assert_eq!(stats.active, 1);
    // The ids are free.
    fill(&*broker, &["pending", "archived"]).await;
}

pub async fn operation_repeated_changes_nothing(store: &dyn Store) {
    let broker = store.open().await;
    one_in_each_state(&*broker).await;
    let id = ["archived".to_owned()];
    let expected = [Operated::Done(TaskState::Archived)];
    assert_eq!(broker.operate(&queue(), &id, Operation::Run).await.unwrap(), expected);
    let expected = [Operated::Unchanged(TaskState::Pending)];
    assert_eq!(broker.operate(&queue(), &id, Operation::Run).await.unwrap(), expected);
    assert_eq!(consistent(&*broker).await.pending, 2);
}

pub async fn queue_with_tasks_is_deleted_only_on_request_and_never_while_one_is_active(store: &dyn Store) {
    let broker = store.open().await;
    fill(&*broker, &names(200)).await;
    let held = take(&*broker, 1, LONG).await.remove(0).lease;
    assert_eq!(broker.delete_queue(&queue(), true).await.unwrap(), QueueDeletion::Active(1));
    assert_eq!(settle_one(&*broker, &held, archive("failed")).await, Settled::Done);
    assert_eq!(broker.delete_queue(&queue(), false).await.unwrap(), QueueDeletion::NotEmpty(200));
    assert_eq!(consistent(&*broker).await.pending, 199);

    assert_eq!(broker.delete_queue(&queue(), true).await.unwrap(), QueueDeletion::Deleted);

    assert_eq!(consistent(&*broker).await, QueueStats::default());
    assert!(broker.queues().await.unwrap().is_empty());
    // It is made again by the next task.
    fill(&*broker, &["anew"]).await;
    assert_eq!(broker.queues().await.unwrap(), [queue()]);
}
