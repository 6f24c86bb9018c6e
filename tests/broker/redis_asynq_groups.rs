//! Tasks in the aggregation groups of asynq: they are shown, not run and not lost.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use redis::cmd;
use taskseal::broker::redis::RedisBroker;
use taskseal::broker::{Broker, Operated, Operation, QueueDeletion, TaskState};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_tests::redis::RedisServer;
use taskseal_tests::snapshot;

use crate::redis_vectors::{broker, queue, vector};

const LEASE: Duration = Duration::from_secs(30);
const GROUPED: &str = "77777777-7777-4777-8777-777777777777";

/// A server with one task in the group `user:42`, as asynq stored it, and one in each of the groups `a` and `b`.
fn grouped() -> Option<(RedisServer, RedisBroker, QueueName)> {
    let server = RedisServer::start_or_skip()?;
    snapshot::restore(&mut server.raw(), &vector("group"));
    for group in ["a", "b"] {
        let script = "redis.call('SADD', 'asynq:{low}:groups', ARGV[1])
            redis.call('ZADD', 'asynq:{low}:g:' .. ARGV[1], 1700000000, 'task ' .. ARGV[1])
            redis.call('HSET', 'asynq:{low}:t:task ' .. ARGV[1], 'msg', '', 'state', 'aggregating', 'group', ARGV[1])";
        cmd("EVAL").arg(script).arg(0).arg(group).exec(&mut server.raw()).unwrap();
    }
    let broker = broker(&server);
    Some((server, broker, queue("low")))
}

async fn listed(broker: &RedisBroker, queue: &QueueName, offset: usize, limit: usize) -> Vec<String> {
    let page = broker.list(queue, TaskState::Aggregating, offset, limit).await.unwrap();
    page.into_iter().map(|info| info.id).collect()
}

#[tokio::test]
async fn grouped_task_is_not_run_and_stays_where_it_is() {
    let Some((server, broker, queue)) = grouped() else { return };
    let before = snapshot::of_server(&mut server.raw());

    assert_eq!(broker.forward(&queue, 100).await.unwrap(), 0);
    broker.recover(&queue, 100).await.unwrap();
    broker.tidy(&queue, 100).await.unwrap();
    let dequeued = broker.dequeue(&queue, 100, LEASE).await.unwrap();

    assert!(dequeued.tasks.is_empty() && dequeued.dropped.is_empty(), "{dequeued:?}");
    assert_eq!(snapshot::of_server(&mut server.raw()), before);
}

#[tokio::test]
async fn grouped_tasks_are_counted_listed_and_found() {
    let Some((_server, broker, queue)) = grouped() else { return };

    assert_eq!(broker.stats(&queue).await.unwrap().aggregating, 3);
    assert_eq!(listed(&broker, &queue, 0, 100).await, ["task a", "task b", GROUPED]);
    for (offset, id) in ["task a", "task b", GROUPED].into_iter().enumerate() {
        assert_eq!(listed(&broker, &queue, offset, 1).await, [id]);
    }
    assert_eq!(listed(&broker, &queue, 1, 5).await, ["task b", GROUPED]);
    assert!(listed(&broker, &queue, 3, 5).await.is_empty());
    let found = broker.find(&queue, GROUPED).await.unwrap().unwrap();
    assert_eq!(found.state, TaskState::Aggregating);
    assert_eq!(found.at, Some(UnixMillis(1_795_289_373_000)));
    assert_eq!(found.record.unwrap().task_type, "notify:digest");
}

#[tokio::test]
async fn grouped_task_is_run_archived_or_deleted_on_request() {
    let Some((_server, broker, queue)) = grouped() else { return };
    for (operation, id) in
        [(Operation::Run, GROUPED), (Operation::Archive, "task a"), (Operation::Delete, "task b")]
    {
        let ids = [id.to_owned()];
        let outcomes = broker.operate(&queue, &ids, operation).await.unwrap();
        assert_eq!(outcomes, [Operated::Done(TaskState::Aggregating)], "{id}");
        assert_ne!(
            broker.operate(&queue, &ids, operation).await.unwrap(),
            [Operated::Done(TaskState::Aggregating)]
        );
    }

    let stats = broker.stats(&queue).await.unwrap();
    assert_eq!((stats.aggregating, stats.pending, stats.archived), (0, 1, 1));
    assert_eq!(broker.dequeue(&queue, 10, LEASE).await.unwrap().tasks[0].lease.id, GROUPED);
}

#[tokio::test]
async fn task_that_names_a_group_without_being_in_it_is_not_changed() {
    let Some((server, broker, queue)) = grouped() else { return };
    cmd("HSET").arg("asynq:{low}:t:task a").arg("group").arg("b").exec(&mut server.raw()).unwrap();

    let outcomes = broker.operate(&queue, &["task a".to_owned()], Operation::Run).await.unwrap();

    assert_eq!(outcomes, [Operated::Unchanged(TaskState::Aggregating)]);
    assert_eq!(broker.stats(&queue).await.unwrap().pending, 0);
}

#[tokio::test]
async fn queue_with_grouped_tasks_is_deleted_only_on_request() {
    let Some((server, broker, queue)) = grouped() else { return };

    assert_eq!(broker.delete_queue(&queue, false).await.unwrap(), QueueDeletion::NotEmpty(3));
    assert_eq!(broker.delete_queue(&queue, true).await.unwrap(), QueueDeletion::Deleted);

    assert!(snapshot::of_server(&mut server.raw()).is_empty());
}

#[tokio::test]
async fn queue_with_more_groups_than_one_call_looks_at_is_deleted_completely() {
    let Some((server, broker, queue)) = grouped() else { return };
    let script = "for n = 1, 5000 do
            redis.call('SADD', 'asynq:{low}:groups', 'more ' .. n)
            redis.call('ZADD', 'asynq:{low}:g:more ' .. n, 1700000000, 'task ' .. n)
            redis.call('HSET', 'asynq:{low}:t:task ' .. n, 'msg', '', 'state', 'aggregating', 'group', 'more ' .. n)
        end";
    cmd("EVAL").arg(script).arg(0).exec(&mut server.raw()).unwrap();

    assert!(matches!(broker.delete_queue(&queue, false).await.unwrap(), QueueDeletion::NotEmpty(_)));
    assert_eq!(broker.delete_queue(&queue, true).await.unwrap(), QueueDeletion::Deleted);

    let keys: Vec<String> = cmd("KEYS").arg("asynq:{low}:*").query(&mut server.raw()).unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}

#[tokio::test]
async fn queue_that_is_not_deleted_for_its_groups_stays_paused() {
    let Some((server, broker, queue)) = grouped() else { return };
    // More names of empty groups than one call looks at.
    let script = "for n = 1, 5000 do redis.call('SADD', 'asynq:{low}:groups', 'more ' .. n) end";
    cmd("EVAL").arg(script).arg(0).exec(&mut server.raw()).unwrap();
    broker.set_paused(&queue, true).await.unwrap();

    assert!(matches!(broker.delete_queue(&queue, false).await.unwrap(), QueueDeletion::NotEmpty(_)));

    assert!(broker.stats(&queue).await.unwrap().paused);
}

#[tokio::test]
async fn keys_of_another_type_in_the_place_of_groups_hide_no_other_task() {
    let Some((server, broker, queue)) = grouped() else { return };
    cmd("SET").arg("asynq:{low}:g:a").arg("x").exec(&mut server.raw()).unwrap();
    assert_eq!(broker.stats(&queue).await.unwrap().aggregating, 2);
    assert_eq!(listed(&broker, &queue, 0, 100).await, ["task b", GROUPED]);

    cmd("SET").arg("asynq:{low}:groups").arg("x").exec(&mut server.raw()).unwrap();
    assert_eq!(broker.stats(&queue).await.unwrap().aggregating, 0);
    assert!(listed(&broker, &queue, 0, 100).await.is_empty());
    assert_eq!(broker.find(&queue, GROUPED).await.unwrap().unwrap().state, TaskState::Aggregating);
}
