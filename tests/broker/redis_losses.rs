//! Lists, sets and leases that were lost or forged: every task that was stored is found again.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests to clippy only inside a test")]

use std::time::Duration;

use redis::{ToRedisArgs, cmd};
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::{Broker, Enqueued};
use taskseal_tests::redis::RedisServer;

use crate::fixture::{queue, task};

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn ids_without_a_task_do_not_take_the_place_of_a_task_behind_them() {
    let Some(it) = Fixture::start() else { return };
    let stale: Vec<String> = (0..900).map(|n| format!("stale{n}")).collect();
    it.broker.enqueue(&queue(), &[task("good")]).await.unwrap();
    it.raw("RPUSH", [vec!["asynq:{mail}:pending".to_owned()], stale].concat());

    let dequeued = it.broker.dequeue(&queue(), 2, LEASE).await.unwrap();

    assert_eq!(dequeued.dropped.len(), 900);
    assert_eq!(dequeued.tasks.len(), 1);
}

#[tokio::test]
async fn one_call_looks_at_a_limited_number_of_ids_without_a_task() {
    let Some(it) = Fixture::start() else { return };
    it.broker.enqueue(&queue(), &[task("good")]).await.unwrap();
    let stale: Vec<String> = (0..1500).map(|n| format!("stale{n}")).collect();
    it.raw("RPUSH", [vec!["asynq:{mail}:pending".to_owned()], stale].concat());

    let first = it.broker.dequeue(&queue(), 2, LEASE).await.unwrap();
    let second = it.broker.dequeue(&queue(), 2, LEASE).await.unwrap();

    assert_eq!((first.dropped.len(), first.tasks.len()), (1000, 0));
    assert_eq!((second.dropped.len(), second.tasks.len()), (500, 1));
}

#[tokio::test]
async fn lease_that_ends_in_years_counts_as_none() {
    let Some(it) = Fixture::start() else { return };
    for end in ["+inf", "1e308", "4000000000"] {
        it.broker.enqueue(&queue(), &[task("a")]).await.unwrap();
        assert_eq!(it.broker.dequeue(&queue(), 1, LEASE).await.unwrap().tasks.len(), 1);
        it.raw("ZADD", ["asynq:{mail}:lease", end, "a"]);

        assert_eq!(it.broker.tidy(&queue(), 10).await.unwrap().repaired, 1, "{end}");
        assert_eq!(it.broker.recover(&queue(), 10).await.unwrap().requeued, ["a"], "{end}");
    }
}

#[tokio::test]
async fn lease_of_an_hour_is_the_longest_and_is_kept() {
    let Some(it) = Fixture::start() else { return };
    it.broker.enqueue(&queue(), &[task("a")]).await.unwrap();
    let leased = it.broker.dequeue(&queue(), 1, Duration::from_secs(1 << 30)).await.unwrap().tasks;

    assert_eq!(it.broker.tidy(&queue(), 10).await.unwrap().repaired, 0);
    let lease = leased.first().unwrap().lease.clone();
    assert_eq!(it.broker.extend(&queue(), &[lease], Duration::from_secs(1 << 30)).await.unwrap(), [true]);
    assert_eq!(it.broker.tidy(&queue(), 10).await.unwrap().repaired, 0);
}

#[tokio::test]
async fn task_whose_list_was_lost_is_pending_again_once_it_is_enqueued_again() {
    let Some(it) = Fixture::start() else { return };
    it.broker.enqueue(&queue(), &[task("a"), task("b")]).await.unwrap();
    it.raw("DEL", ["asynq:{mail}:pending"]);

    assert_eq!(it.broker.enqueue(&queue(), &[task("a")]).await.unwrap(), [Enqueued::AlreadyThere]);
    assert_eq!(it.broker.enqueue(&queue(), &[task("a")]).await.unwrap(), [Enqueued::AlreadyThere]);

    assert_eq!(it.broker.dequeue(&queue(), 10, LEASE).await.unwrap().tasks.len(), 1);
    assert_eq!(it.broker.enqueue(&queue(), &[task("a")]).await.unwrap(), [Enqueued::AlreadyThere]);
    assert_eq!(it.broker.stats(&queue()).await.unwrap().pending, 0, "an active task is not listed again");
}

#[tokio::test]
async fn queue_is_registered_again_after_the_server_lost_everything() {
    let Some(it) = Fixture::start() else { return };
    it.broker.enqueue(&queue(), &[task("a")]).await.unwrap();
    it.raw("FLUSHALL", [""; 0]);

    it.broker.enqueue(&queue(), &[task("b")]).await.unwrap();

    assert_eq!(it.broker.queues().await.unwrap(), [queue()]);
}

struct Fixture {
    server: RedisServer,
    broker: RedisBroker,
}

impl Fixture {
    fn start() -> Option<Self> {
        let server = RedisServer::start_or_skip()?;
        let broker = RedisBroker::connect(&RedisConfig::new(server.url())).unwrap();
        Some(Self { server, broker })
    }

    fn raw(&self, command: &str, args: impl IntoIterator<Item = impl ToRedisArgs>) {
        cmd(command).arg(args.into_iter().collect::<Vec<_>>()).exec(&mut self.server.raw()).unwrap();
    }
}
