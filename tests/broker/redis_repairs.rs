//! Damage in Redis, by a crash, an eviction or an attacker, affects no other task than the damaged one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

mod archive;

use std::time::{Duration, Instant};

use redis::{Connection, cmd};
use taskseal::broker::redis::asynq::Message;
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::{
    Broker, BrokerError, Dequeued, Enqueued, Lease, NewTask, Recovered, Settled, Settlement, TaskRecord,
    TaskState,
};
use taskseal::queue::QueueName;
use taskseal_tests::redis::RedisServer;

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_id_whose_task_is_gone_is_dropped_and_the_next_one_handed_out() {
    let Some(it) = Fixture::with(&["gone", "healthy"]).await else { return };
    it.raw().del("gone");

    let out = it.dequeue(10).await;

    assert_eq!(out.dropped, ["gone"]);
    assert_eq!(ids(&out), ["healthy"]);
    assert_eq!(it.broker.stats(&it.queue).await.unwrap().active, 1);
}

#[tokio::test]
async fn a_hash_with_nothing_but_a_state_is_removed_so_that_its_id_is_free_again() {
    let Some(it) = Fixture::with(&["hollow"]).await else { return };
    it.raw().field("hollow", "HDEL", &["msg"]);

    assert_eq!(it.dequeue(10).await.dropped, ["hollow"]);

    assert_eq!(it.enqueue(&["hollow"]).await, [Enqueued::New]);
    assert_eq!(ids(&it.dequeue(10).await), ["hollow"]);
}

#[tokio::test]
async fn a_task_key_of_another_type_costs_no_other_task() {
    let Some(it) = Fixture::with(&["odd", "healthy"]).await else { return };
    it.raw().del("odd");
    let () = cmd("SET").arg(key("odd")).arg("x").query(&mut it.server.raw()).unwrap();

    let out = it.dequeue(10).await;

    assert_eq!(out.dropped, ["odd"]);
    assert_eq!(ids(&out), ["healthy"]);
    assert_eq!(it.enqueue(&["odd", "new"]).await, [Enqueued::Conflict, Enqueued::New]);
}

#[tokio::test]
async fn an_undecodable_message_is_archived_at_once_and_kept_whole() {
    let Some(it) = Fixture::with(&["bad", "healthy"]).await else { return };
    it.raw().field("bad", "HSET", &["msg", "\u{1}garbage"]);

    let out = it.dequeue(10).await;

    assert_eq!(ids(&out), ["healthy"]);
    assert_eq!((out.corrupt[0].id.as_str(), out.corrupt[0].bytes.as_slice()), ("bad", &b"\x01garbage"[..]));
    let archived = it.broker.list(&it.queue, TaskState::Archived, 0, 10).await.unwrap();
    assert_eq!((archived[0].id.as_str(), &archived[0].record), ("bad", &None));
    assert_eq!(it.raw().field("bad", "HGET", &["msg"]), "\u{1}garbage");
    assert_eq!(it.raw().field("bad", "HGET", &["taskseal_corrupt"]), "1");
    let stats = it.broker.stats(&it.queue).await.unwrap();
    assert_eq!((stats.active, stats.archived, stats.failed), (1, 1, 1));
}

#[tokio::test]
async fn a_message_too_long_to_be_one_is_archived_without_being_carried() {
    let Some(it) = Fixture::with(&["huge", "healthy"]).await else { return };
    it.raw().stretch("huge", "msg", Message::MAX_ENCODED_LEN + 1);

    let out = it.dequeue(10).await;

    assert_eq!(ids(&out), ["healthy"]);
    assert_eq!((out.corrupt[0].id.as_str(), out.corrupt[0].bytes.len()), ("huge", 0));
    let archived = it.broker.list(&it.queue, TaskState::Archived, 0, 10).await.unwrap();
    assert_eq!((archived[0].id.as_str(), &archived[0].record), ("huge", &None));
    let found = it.broker.find(&it.queue, "huge").await.unwrap().unwrap();
    assert_eq!((found.state, found.record), (TaskState::Archived, None));
    assert_eq!(it.enqueue(&["huge"]).await, [Enqueued::Conflict]);
}

#[tokio::test]
async fn a_result_too_long_to_be_one_is_not_carried() {
    let Some(it) = Fixture::with(&["huge"]).await else { return };
    it.raw().stretch("huge", "result", Message::MAX_ENCODED_LEN + 1);

    assert_eq!(it.broker.find(&it.queue, "huge").await.unwrap().unwrap().result, None);
}

#[tokio::test]
async fn large_messages_are_handed_out_a_few_at_a_time_and_in_order() {
    let Some(it) = Fixture::with(&["1", "2", "3", "4"]).await else { return };
    for id in ["1", "2", "3", "4"] {
        // Zero bytes after a message make it invalid: it is transferred and reported as corrupt.
        it.raw().stretch(id, "msg", Message::MAX_ENCODED_LEN / 2);
    }

    let corrupt = |out: &Dequeued| out.corrupt.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    let first = it.dequeue(10).await;
    let page = it.broker.list(&it.queue, TaskState::Pending, 0, 10).await.unwrap();
    let second = it.dequeue(10).await;

    assert_eq!(
        (corrupt(&first), corrupt(&second)),
        (vec!["1".into(), "2".into()], vec!["3".into(), "4".into()])
    );
    assert_eq!(page.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["3", "4"]);
}

#[tokio::test]
async fn what_is_too_long_to_be_an_id_is_dropped_and_named_in_short() {
    let Some(it) = Fixture::with(&["healthy"]).await else { return };
    let long = "x".repeat(1025);
    it.raw().push(&long);
    it.raw().lease(&long, -60.0);

    let out = it.dequeue(10).await;
    let recovered = it.broker.recover(&it.queue, 100).await.unwrap();

    assert_eq!((ids(&out), &out.dropped), (vec!["healthy".to_owned()], &vec!["x".repeat(64)]));
    assert_eq!(recovered, Recovered { dropped: vec!["x".repeat(64)], ..Recovered::default() });
    let task = NewTask::now(TaskRecord { id: long, ..TaskRecord::default() });
    assert!(matches!(it.broker.enqueue(&it.queue, &[task]).await, Err(BrokerError::Refused(_))));
}

#[tokio::test]
async fn an_undecodable_message_does_not_stop_the_recovery_of_others() {
    let Some(it) = Fixture::with(&["bad", "gone", "healthy"]).await else { return };
    it.dequeue(10).await;
    it.raw().field("bad", "HSET", &["msg", "\u{1}garbage"]);
    it.raw().del("gone");
    for id in ["bad", "gone", "healthy"] {
        it.raw().lease(id, -31.0);
    }

    let recovered = it.broker.recover(&it.queue, 100).await.unwrap();

    assert_eq!(sorted(recovered.requeued), ["bad", "healthy"]);
    assert_eq!(recovered.dropped, ["gone"]);
    let out = it.dequeue(10).await;
    assert_eq!((ids(&out), out.corrupt.len()), (vec!["healthy".to_owned()], 1));
}

#[tokio::test]
async fn an_active_task_without_a_lease_is_found_and_recovered() {
    let Some(it) = Fixture::with(&["stranded", "running"]).await else { return };
    it.dequeue(10).await;
    let () = cmd("ZREM").arg("asynq:{mail}:lease").arg("stranded").query(&mut it.server.raw()).unwrap();

    assert_eq!(it.broker.recover(&it.queue, 100).await.unwrap(), Recovered::default());
    assert_eq!(it.broker.tidy(&it.queue, 100).await.unwrap().repaired, 1);

    assert_eq!(it.broker.recover(&it.queue, 100).await.unwrap().requeued, ["stranded"]);
    assert_eq!(it.broker.tidy(&it.queue, 100).await.unwrap().repaired, 0);
}

#[tokio::test]
async fn a_second_copy_of_a_running_task_is_dropped_and_the_running_one_untouched() {
    let Some(it) = Fixture::with(&["once"]).await else { return };
    let lease = it.dequeue(10).await.tasks.remove(0).lease;
    it.raw().push("once");

    let second = it.dequeue(10).await;

    assert_eq!((ids(&second).len(), second.dropped), (0, vec!["once".to_owned()]));
    assert_eq!(it.settle(&lease, Settlement::Done).await, Settled::Done);
}

#[tokio::test]
async fn an_id_that_is_listed_twice_is_handed_out_once() {
    let Some(it) = Fixture::with(&["once"]).await else { return };
    it.raw().push("once");

    let out = it.dequeue(10).await;

    assert_eq!((ids(&out), out.dropped), (vec!["once".to_owned()], vec!["once".to_owned()]));
}

#[tokio::test]
async fn a_second_copy_of_a_finished_task_is_not_run_again() {
    let Some(it) = Fixture::with(&["finished"]).await else { return };
    let task = it.dequeue(10).await.tasks.remove(0);
    let complete = Settlement::Complete { result: b"sealed".to_vec(), retention: Duration::from_secs(60) };
    it.settle(&task.lease, complete).await;
    it.raw().push("finished");

    assert_eq!(it.dequeue(10).await.dropped, ["finished"]);

    let found = it.broker.find(&it.queue, "finished").await.unwrap().unwrap();
    assert_eq!((found.state, found.result), (TaskState::Completed, Some(b"sealed".to_vec())));
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_changes_nothing_whatever_it_asks_for() {
    let Some(it) = Fixture::with(&["task"]).await else { return };
    let lost = it.broker.dequeue(&it.queue, 1, Duration::ZERO).await.unwrap().tasks.remove(0);
    it.recover_one().await;
    let held = it.dequeue(1).await.tasks.remove(0).lease;

    for end in [
        Settlement::Done,
        Settlement::Requeue,
        Settlement::Archive { reason: "refused".into() },
        Settlement::Retry { delay: LEASE, failure: Some("failed".into()) },
        Settlement::Complete { result: Vec::new(), retention: LEASE },
    ] {
        assert_eq!(it.settle(&lost.lease, end).await, Settled::LeaseLost);
    }
    let leases = [lost.lease, held.clone()];
    assert_eq!(it.broker.extend(&it.queue, &leases, LEASE).await.unwrap(), [false, true]);

    let stats = it.broker.stats(&it.queue).await.unwrap();
    assert_eq!((stats.active, stats.processed, stats.retry + stats.archived + stats.completed), (1, 0, 0));
    assert_eq!(it.settle(&held, Settlement::Done).await, Settled::Done);
    assert_eq!(it.settle(&held, Settlement::Done).await, Settled::LeaseLost);
}

#[tokio::test]
async fn a_task_that_a_worker_of_another_make_took_over_is_no_longer_ours_to_settle() {
    let Some(it) = Fixture::with(&["task"]).await else { return };
    let lease = it.dequeue(1).await.tasks.remove(0).lease;
    // Its dequeue writes state and lease, and leaves our hash field as it was.
    it.raw().lease("task", 29.0);

    assert_eq!(it.settle(&lease, Settlement::Done).await, Settled::LeaseLost);
    assert_eq!(it.broker.extend(&it.queue, &[lease], LEASE).await.unwrap(), [false]);
}

#[tokio::test]
async fn a_lease_of_another_make_keeps_its_grace_and_ours_does_not_wait() {
    let Some(it) = Fixture::with(&["theirs", "stale", "ours"]).await else { return };
    it.broker.dequeue(&it.queue, 3, Duration::ZERO).await.unwrap();
    it.raw().field("theirs", "HDEL", &["taskseal_lease"]);
    it.raw().lease("theirs", -25.0);
    it.raw().lease("stale", -25.0);

    assert_eq!(it.recover_one().await.requeued, ["ours"]);
    assert_eq!(it.broker.recover(&it.queue, 10).await.unwrap(), Recovered::default());

    it.raw().lease("theirs", -31.0);
    it.raw().lease("stale", -31.0);
    let recovered = it.broker.recover(&it.queue, 10).await.unwrap();
    assert_eq!(sorted(recovered.requeued), ["stale", "theirs"]);
}

#[tokio::test]
async fn a_crash_count_that_was_written_into_a_task_has_no_effect() {
    let Some(it) = Fixture::with(&["innocent"]).await else { return };
    it.raw().field("innocent", "HSET", &["taskseal_crashes", "99"]);

    it.broker.dequeue(&it.queue, 1, Duration::ZERO).await.unwrap();
    assert_eq!(it.recover_one().await.requeued, ["innocent"]);
    assert_eq!(ids(&it.dequeue(1).await), ["innocent"]);
}

#[tokio::test]
async fn a_lease_left_over_from_a_task_that_is_elsewhere_is_cleared_without_running_it_again() {
    let Some(it) = Fixture::with(&["finished", "waiting"]).await else { return };
    let out = it.broker.dequeue(&it.queue, 1, LEASE).await.unwrap();
    it.settle(&out.tasks[0].lease, Settlement::Archive { reason: "refused".into() }).await;
    it.raw().lease("finished", -31.0);
    it.raw().lease("waiting", -31.0);

    assert_eq!(it.broker.recover(&it.queue, 10).await.unwrap(), Recovered::default());

    let leases: usize = cmd("ZCARD").arg("asynq:{mail}:lease").query(&mut it.server.raw()).unwrap();
    let stats = it.broker.stats(&it.queue).await.unwrap();
    assert_eq!((leases, stats.pending, stats.archived), (0, 1, 1));
}

#[tokio::test]
async fn a_full_or_broken_counter_never_stops_a_task() {
    let Some(it) = Fixture::with(&["a", "b"]).await else { return };
    let leases: Vec<Lease> = it.dequeue(2).await.tasks.into_iter().map(|task| task.lease).collect();
    let mut raw = it.server.raw();
    let () = cmd("SET").arg("asynq:{mail}:processed").arg(i64::MAX).query(&mut raw).unwrap();
    let () = cmd("SET").arg("asynq:{mail}:failed").arg(7).query(&mut raw).unwrap();

    assert_eq!(it.settle(&leases[0], Settlement::Done).await, Settled::Done);
    let stats = it.broker.stats(&it.queue).await.unwrap();
    assert_eq!((stats.processed, stats.failed), (1, 0));

    let () = cmd("SET").arg("asynq:{mail}:processed").arg("many").query(&mut raw).unwrap();
    assert_eq!(it.settle(&leases[1], Settlement::Done).await, Settled::Done);
    assert_eq!(it.broker.stats(&it.queue).await.unwrap().processed, 0);
}

#[tokio::test]
async fn a_completed_task_is_deleted_once_its_retention_is_over_and_not_before() {
    let Some(it) = Fixture::with(&["short", "long"]).await else { return };
    for task in it.dequeue(2).await.tasks {
        let retention = if task.lease.id == "short" { Duration::ZERO } else { LEASE };
        let end = Settlement::Complete { result: Vec::new(), retention };
        it.settle(&task.lease, end).await;
    }

    let deadline = Instant::now() + Duration::from_secs(10);
    while it.broker.tidy(&it.queue, 10).await.unwrap().expired == 0 {
        assert!(Instant::now() < deadline, "nothing expired");
    }

    assert!(it.broker.find(&it.queue, "short").await.unwrap().is_none());
    assert!(it.broker.find(&it.queue, "long").await.unwrap().is_some());
}

struct Fixture {
    server: RedisServer,
    broker: RedisBroker,
    queue: QueueName,
}

impl Fixture {
    /// A private server with these tasks pending, the first one at the head.
    async fn with(ids: &[&str]) -> Option<Self> {
        let server = RedisServer::start_or_skip()?;
        // Some tests transfer many MiB, which takes long on a busy machine.
        let config = RedisConfig::new(server.url()).with_response_timeout(Duration::from_secs(60));
        let broker = RedisBroker::connect(&config).unwrap();
        let it = Self { server, broker, queue: QueueName::parse("mail").unwrap() };
        it.enqueue(ids).await;
        Some(it)
    }

    async fn enqueue(&self, ids: &[&str]) -> Vec<Enqueued> {
        let task = |id: &&str| {
            NewTask::now(TaskRecord {
                id: (*id).to_owned(),
                queue: "mail".to_owned(),
                envelope: "sealed".into(),
                ..TaskRecord::default()
            })
        };
        let tasks: Vec<NewTask> = ids.iter().map(task).collect();
        self.broker.enqueue(&self.queue, &tasks).await.unwrap()
    }

    async fn dequeue(&self, limit: usize) -> Dequeued {
        self.broker.dequeue(&self.queue, limit, LEASE).await.unwrap()
    }

    async fn settle(&self, lease: &Lease, end: Settlement) -> Settled {
        self.broker.settle(&self.queue, &[(lease.clone(), end)]).await.unwrap()[0]
    }

    /// Recovers until something was recovered: a lease of no length ends within the millisecond.
    async fn recover_one(&self) -> Recovered {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let recovered = self.broker.recover(&self.queue, 1).await.unwrap();
            if recovered != Recovered::default() {
                return recovered;
            }
            assert!(Instant::now() < deadline, "nothing to recover");
        }
    }

    fn raw(&self) -> Raw {
        Raw(self.server.raw())
    }
}

/// Changes made without the broker.
struct Raw(Connection);

impl Raw {
    fn del(&mut self, id: &str) {
        let () = cmd("DEL").arg(key(id)).query(&mut self.0).unwrap();
    }

    fn field(&mut self, id: &str, command: &str, args: &[&str]) -> String {
        let answer: redis::Value = cmd(command).arg(key(id)).arg(args).query(&mut self.0).unwrap();
        redis::from_redis_value(answer).unwrap()
    }

    /// Makes a field `len` bytes long, with zeros at its end.
    fn stretch(&mut self, id: &str, field: &str, len: usize) {
        let script = "local old = redis.call('HGET', KEYS[1], ARGV[1]) or ''
                      redis.call('HSET', KEYS[1], ARGV[1], old .. string.rep('\\0', ARGV[2] - #old))";
        let () = cmd("EVAL").arg(script).arg(1).arg(key(id)).arg(field).arg(len).query(&mut self.0).unwrap();
    }

    /// Archives tasks `old1` and on, a millisecond apart.
    fn archive_old(&mut self, count: usize, from: f64) {
        let fill = "for n = 1, tonumber(ARGV[1]) do
            redis.call('ZADD', KEYS[1], ARGV[2] + n / 1000, 'old' .. n)
            redis.call('HSET', 'asynq:{mail}:t:old' .. n, 'msg', '', 'state', 'archived')
        end";
        let mut call = cmd("EVAL");
        let () = call
            .arg(fill)
            .arg(1)
            .arg("asynq:{mail}:archived")
            .arg(count)
            .arg(from)
            .query(&mut self.0)
            .unwrap();
    }

    fn push(&mut self, id: &str) {
        let () = cmd("LPUSH").arg("asynq:{mail}:pending").arg(id).query(&mut self.0).unwrap();
    }

    fn lease(&mut self, id: &str, seconds_from_now: f64) {
        let score = unix_now() + seconds_from_now;
        let () = cmd("ZADD").arg("asynq:{mail}:lease").arg(score).arg(id).query(&mut self.0).unwrap();
    }
}

fn unix_now() -> f64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

fn key(id: &str) -> String {
    format!("asynq:{{mail}}:t:{id}")
}

fn ids(out: &Dequeued) -> Vec<String> {
    out.tasks.iter().map(|task| task.lease.id.clone()).collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}
