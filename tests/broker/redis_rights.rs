//! A Redis user with few rights: the documented ones are enough, and a missing one loses no task.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use redis::cmd;
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::{Broker, BrokerError, NewTask, Operation, Settlement, TaskRecord, TaskState};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_tests::redis::RedisServer;

use crate::fixture::{queue, task};

const LEASE: Duration = Duration::from_secs(30);

/// Returns the words of the rule in the documentation, without the name of the user.
fn documented() -> Vec<String> {
    let page = include_str!("../../host/docs/redis.md");
    let line = page.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER taskseal ")).unwrap();
    line.split_whitespace().filter(|word| !word.starts_with('>')).map(str::to_owned).collect()
}

/// Gives the user these rights and no others.
fn set_user(server: &RedisServer, rights: &[String]) {
    let rule = ["taskseal", "reset", ">secret"].into_iter().chain(rights.iter().map(String::as_str));
    cmd("ACL").arg("SETUSER").arg(rule.collect::<Vec<_>>()).exec(&mut server.raw()).unwrap();
}

fn broker(server: &RedisServer) -> RedisBroker {
    let url = server.url().replace("redis://", "redis://taskseal:secret@");
    RedisBroker::connect(&RedisConfig::new(url)).unwrap()
}

/// Calls every operation once, whatever the others reply. Returns the errors.
async fn work(broker: &RedisBroker, ids: &[String]) -> Vec<BrokerError> {
    let mut errors = Vec::new();
    let tasks: Vec<NewTask> = ids.iter().map(|id| task(id)).collect();
    let later = NewTask { not_before: Some(UnixMillis::now().plus(LEASE)), ..task("later") };
    errors.extend(broker.enqueue(&queue(), &[later]).await.err());
    errors.extend(broker.enqueue(&queue(), &tasks).await.err());
    errors.extend(broker.forward(&queue(), 10).await.err());
    match broker.dequeue(&queue(), 5, LEASE).await {
        Ok(dequeued) => {
            let leases: Vec<_> = dequeued.tasks.into_iter().map(|task| task.lease).collect();
            errors.extend(broker.extend(&queue(), &leases, LEASE).await.err());
            let ends: Vec<_> = leases.into_iter().zip(ends()).collect();
            errors.extend(broker.settle(&queue(), &ends).await.err());
        }
        Err(error) => errors.push(error),
    }
    // Leases that have ended at once.
    errors.extend(broker.dequeue(&queue(), 2, Duration::ZERO).await.err());
    errors.extend(broker.recover(&queue(), 10).await.err());
    errors.extend(broker.tidy(&queue(), 10).await.err());
    errors.extend(broker.set_paused(&queue(), true).await.err());
    errors.extend(broker.set_paused(&queue(), false).await.err());
    errors.extend(broker.queues().await.err());
    errors.extend(broker.stats(&queue()).await.err());
    for state in [TaskState::Pending, TaskState::Active, TaskState::Archived] {
        errors.extend(broker.list(&queue(), state, 0, 10).await.err());
    }
    errors.extend(broker.find(&queue(), "0").await.err());
    for operation in [Operation::Run, Operation::Archive, Operation::Delete] {
        errors.extend(broker.operate(&queue(), ids, operation).await.err());
    }
    let other = QueueName::parse("other").unwrap();
    let record = TaskRecord { id: "other".into(), queue: "other".into(), ..TaskRecord::default() };
    errors.extend(broker.enqueue(&other, &[NewTask::now(record)]).await.err());
    errors.extend(broker.delete_queue(&other, true).await.err());
    errors.extend(broker.ping().await.err());
    errors.extend(broker.health().await.err());
    errors
}

fn ends() -> [Settlement; 4] {
    [
        Settlement::Requeue,
        Settlement::Retry { delay: Duration::ZERO, failure: Some("failed".to_owned()) },
        Settlement::Archive { reason: "refused".to_owned() },
        Settlement::Complete { result: vec![1], retention: LEASE },
    ]
}

#[tokio::test]
async fn documented_rights_are_enough_for_every_operation() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    set_user(&server, &documented());
    let ids: Vec<String> = (0..8).map(|n| n.to_string()).collect();

    let errors = work(&broker(&server), &ids).await;

    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn missing_right_loses_no_task() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let all = documented();
    let commands: Vec<&String> = all.iter().filter(|word| word.starts_with('+')).collect();
    assert!(commands.len() > 30);
    for missing in commands {
        cmd("FLUSHALL").exec(&mut server.raw()).unwrap();
        set_user(&server, &all);
        let broker = broker(&server);
        // Stored before the right is missing.
        let ids: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        let tasks: Vec<NewTask> = ids.iter().map(|id| task(id)).collect();
        broker.enqueue(&queue(), &tasks).await.unwrap();
        let rights: Vec<String> = all.iter().filter(|word| *word != missing).cloned().collect();
        set_user(&server, &rights);

        work(&broker, &["8".to_owned(), "9".to_owned()]).await;
        work(&broker, &[]).await;

        set_user(&server, &all);
        let kept = kept(&server).await;
        for id in &ids {
            assert!(kept.contains(id), "without {missing} task {id} is in no list: {kept:?}");
        }
    }
}

/// Returns the ids in all lists, after leases have expired and been recovered.
async fn kept(server: &RedisServer) -> BTreeSet<String> {
    // As if all leases had expired long ago.
    let leased: Vec<String> =
        cmd("ZRANGE").arg("asynq:{mail}:lease").arg(0).arg(-1).query(&mut server.raw()).unwrap();
    for id in leased {
        cmd("ZADD").arg("asynq:{mail}:lease").arg(1).arg(id).exec(&mut server.raw()).unwrap();
    }
    let broker = broker(server);
    broker.tidy(&queue(), 100).await.unwrap();
    broker.recover(&queue(), 100).await.unwrap();
    let mut kept = BTreeSet::new();
    for state in TaskState::ALL {
        let page = broker.list(&queue(), state, 0, 100).await.unwrap();
        kept.extend(page.into_iter().map(|task| task.id));
    }
    kept
}
