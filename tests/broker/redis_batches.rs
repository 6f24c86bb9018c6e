//! Operations on many tasks in one call: lists keep their order, sets their members, locks their owners.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

use std::time::Duration;

use redis::cmd;
use taskseal::broker::redis::asynq::{Message, NewMessage};
use taskseal::broker::redis::{RedisBroker, RedisConfig, Unique};
use taskseal::broker::{Broker, Enqueued, Lease, Settled, Settlement};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_tests::redis::RedisServer;

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn ends_in_any_order_leave_the_other_active_tasks_in_theirs() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    for (count, step) in [(40, 7), (40, 39), (100, 3), (9, 1)] {
        for ending in [2, 5, 20, 40] {
            let (broker, name) = (broker(&server), queue(&format!("q{count}-{step}-{ending}")));
            let leases = leased(&broker, &name, count).await;
            let before = list(&server, &name, "active");
            // `step` shares no factor with `count`, so this takes each position once.
            let picked: Vec<Lease> =
                (0..ending.min(count)).map(|n| leases[n * step % count].clone()).collect();

            let ends: Vec<_> = picked.iter().map(|lease| (lease.clone(), Settlement::Done)).collect();
            let settled = broker.settle(&name, &ends).await.unwrap();

            assert!(settled.iter().all(|settled| *settled == Settled::Done));
            let is_left = |id: &String| picked.iter().all(|lease| lease.id != *id);
            let left: Vec<String> = before.into_iter().filter(is_left).collect();
            assert_eq!(list(&server, &name, "active"), left, "{count} {step} {ending}");
            assert_eq!(leases_of(&server, &name), sorted(left));
        }
    }
}

#[tokio::test]
async fn a_second_copy_on_the_active_list_stays_when_its_task_ends() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let (broker, name) = (broker(&server), queue("mail"));
    let leases = leased(&broker, &name, 4).await;
    let () = cmd("RPUSH").arg("asynq:{mail}:active").arg(&leases[1].id).query(&mut server.raw()).unwrap();

    let ends: Vec<_> = leases[..2].iter().map(|lease| (lease.clone(), Settlement::Done)).collect();
    assert_eq!(broker.settle(&name, &ends).await.unwrap(), [Settled::Done; 2]);

    let copy = leases[1].id.as_str();
    assert_eq!(list(&server, &name, "active"), [leases[3].id.as_str(), &leases[2].id, copy]);
}

#[tokio::test]
async fn a_batch_of_leases_is_an_index_with_no_member_but_the_tasks() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let (broker, name) = (broker(&server), queue("mail"));
    fill(&broker, &name, 41).await;

    let mut taken = broker.dequeue(&name, 1, LEASE).await.unwrap().tasks;
    taken.extend(broker.dequeue(&name, 40, LEASE).await.unwrap().tasks);

    let encoding: String =
        cmd("OBJECT").arg("ENCODING").arg("asynq:{mail}:lease").query(&mut server.raw()).unwrap();
    assert_eq!(encoding, "skiplist");
    let ids = sorted(taken.iter().map(|task| task.lease.id.clone()).collect());
    assert_eq!(leases_of(&server, &name), ids);
}

#[tokio::test]
async fn a_lock_is_freed_at_the_end_of_a_lease_that_was_extended_or_recovered() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let (broker, name) = (broker(&server), queue("mail"));
    let lock = "asynq:{mail}:unique:email:deliver:0123456789abcdef0123456789abcdef";
    let mut task = task(&name, "claimed");
    task.message.unique_key = lock.to_owned();
    let exists = || cmd("EXISTS").arg(lock).query::<bool>(&mut server.raw()).unwrap();

    let stored = broker.enqueue_unique(&name, &task, LEASE).await.unwrap();
    assert_eq!(stored, Unique::Enqueued(Enqueued::New));
    broker.dequeue(&name, 1, Duration::ZERO).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while broker.recover(&name, 1).await.unwrap().requeued.is_empty() {
        assert!(std::time::Instant::now() < deadline, "nothing to recover");
    }
    let lease = broker.dequeue(&name, 1, LEASE).await.unwrap().tasks.remove(0).lease;
    assert_eq!(broker.extend(&name, std::slice::from_ref(&lease), LEASE).await.unwrap(), [true]);
    assert!(exists());

    assert_eq!(broker.settle(&name, &[(lease, Settlement::Done)]).await.unwrap(), [Settled::Done]);
    assert!(!exists());
}

#[tokio::test]
async fn one_call_frees_the_locks_of_the_tasks_it_ends_and_no_others() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let (broker, name) = (broker(&server), queue("mail"));
    let lock = |id: &str| format!("asynq:{{mail}}:unique:email:deliver:{id}");
    for (id, len) in [("short", 6), ("long", 100_000), ("lost", 6), ("kept", 6), ("retried", 6)] {
        let mut task = task(&name, id);
        task.message.payload = vec![b's'; len].into();
        task.message.unique_key = lock(id);
        broker.enqueue_unique(&name, &task, LEASE).await.unwrap();
    }
    let mut free = task(&name, "free");
    // Says the words of a lock, and has none.
    free.message.payload = lock("kept").into();
    broker.enqueue_messages(&name, &[free]).await.unwrap();

    let mut ends: Vec<_> = broker.dequeue(&name, 10, LEASE).await.unwrap().tasks;
    ends.sort_by(|one, other| one.lease.id.cmp(&other.lease.id));
    let [free, kept, long, lost, retried, short] = ends.try_into().unwrap();
    let foreign = Lease { token: short.lease.token, ..lost.lease };
    let retry = Settlement::Retry { delay: Duration::ZERO, failure: Some("failed".into()) };
    let complete = Settlement::Complete { result: b"sealed".to_vec(), retention: LEASE };
    let ends = [
        (long.lease, complete),
        (free.lease, Settlement::Done),
        (foreign, Settlement::Done),
        (short.lease, Settlement::Done),
        (retried.lease, retry),
        (kept.lease, Settlement::Requeue),
    ];
    let settled = broker.settle(&name, &ends).await.unwrap();

    let is_lost = settled.iter().map(|settled| *settled == Settled::LeaseLost).collect::<Vec<_>>();
    assert_eq!(is_lost, [false, false, true, false, false, false]);
    let exists = |id| cmd("EXISTS").arg(lock(id)).query::<bool>(&mut server.raw()).unwrap();
    let held: Vec<_> =
        ["short", "long", "lost", "kept", "retried"].into_iter().filter(|id| exists(id)).collect();
    assert_eq!(held, ["lost", "kept", "retried"]);
    let stats = broker.stats(&name).await.unwrap();
    assert_eq!((stats.pending, stats.active, stats.retry, stats.completed), (1, 1, 1, 1));
    assert_eq!((stats.processed, stats.failed), (4, 1));
}

#[tokio::test]
async fn one_call_stores_new_tasks_beside_taken_ids_and_tasks_for_later() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let (broker, name) = (broker(&server), queue("mail"));
    let known = task(&name, "known");
    broker.enqueue_messages(&name, std::slice::from_ref(&known)).await.unwrap();
    let () = cmd("SET").arg("asynq:{mail}:t:no-task").arg("x").query(&mut server.raw()).unwrap();
    let mut other = task(&name, "known");
    other.message.payload = "other".into();
    let plain = [task(&name, "new"), known.clone(), task(&name, "no-task")];
    let mut later = task(&name, "later");
    later.process_at = Some(UnixMillis::now().plus(LEASE));
    let mixed = [later, other, task(&name, "newer"), known];

    let stored = broker.enqueue_messages(&name, &plain).await.unwrap();
    assert_eq!(stored, [Enqueued::New, Enqueued::AlreadyThere, Enqueued::Conflict]);
    let stored = broker.enqueue_messages(&name, &mixed).await.unwrap();
    assert_eq!(stored, [Enqueued::New, Enqueued::Conflict, Enqueued::New, Enqueued::AlreadyThere]);

    assert_eq!(list(&server, &name, "pending"), ["newer", "new", "known"]);
    assert_eq!(broker.stats(&name).await.unwrap().scheduled, 1);
}

fn broker(server: &RedisServer) -> RedisBroker {
    RedisBroker::connect(&RedisConfig::new(server.url())).unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::parse(name).unwrap()
}

fn task(queue: &QueueName, id: &str) -> NewMessage {
    let message = Message {
        id: id.to_owned(),
        queue: queue.to_string(),
        payload: "sealed".into(),
        timeout: 1800,
        ..Message::default()
    };
    NewMessage::now(message)
}

async fn fill(broker: &RedisBroker, queue: &QueueName, count: usize) {
    let tasks: Vec<NewMessage> = (0..count).map(|number| task(queue, &format!("t{number:03}"))).collect();
    broker.enqueue_messages(queue, &tasks).await.unwrap();
}

async fn leased(broker: &RedisBroker, queue: &QueueName, count: usize) -> Vec<Lease> {
    fill(broker, queue, count).await;
    broker.dequeue(queue, count, LEASE).await.unwrap().tasks.into_iter().map(|task| task.lease).collect()
}

fn list(server: &RedisServer, queue: &QueueName, name: &str) -> Vec<String> {
    let key = format!("asynq:{{{queue}}}:{name}");
    cmd("LRANGE").arg(key).arg(0).arg(-1).query(&mut server.raw()).unwrap()
}

fn leases_of(server: &RedisServer, queue: &QueueName) -> Vec<String> {
    let key = format!("asynq:{{{queue}}}:lease");
    sorted(cmd("ZRANGE").arg(key).arg(0).arg(-1).query(&mut server.raw()).unwrap())
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}
