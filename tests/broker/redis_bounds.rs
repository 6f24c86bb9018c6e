//! Values in Redis that are larger than any task: they do not reach the memory of the caller.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

use std::time::Duration;

use redis::cmd;
use taskseal::broker::redis::asynq::NewMessage;
use taskseal::broker::redis::{RedisBroker, RedisConfig, Unique};
use taskseal::broker::{Broker, BrokerError, DequeueLimits, NewTask, QueueDeletion, TaskState};
use taskseal::time::UnixMillis;
use taskseal_tests::fake_redis::FakeRedis;
use taskseal_tests::redis::RedisServer;

use crate::fixture::{queue, task};

const LEASE: Duration = Duration::from_secs(30);
const HUGE: usize = 20 << 20;
/// More than every reply of a test without a huge value.
const SMALL: u64 = 1 << 20;

/// Returns the number of bytes that the server has sent in all.
fn sent(server: &RedisServer) -> u64 {
    let stats: String = cmd("INFO").arg("stats").query(&mut server.raw()).unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).unwrap();
    line.parse().unwrap()
}

fn set(server: &RedisServer, key: &str, field: &str, value: &[u8]) {
    cmd("HSET").arg(key).arg(field).arg(value).exec(&mut server.raw()).unwrap();
}

#[tokio::test]
async fn message_above_the_limit_is_archived_and_never_sent() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    broker.enqueue(&queue(), &[task("huge"), task("good")]).await.unwrap();
    set(&server, "asynq:{mail}:t:huge", "msg", &vec![0; HUGE]);
    let before = sent(&server);

    let limits = DequeueLimits::tasks(10).with_task_bytes(1 << 16);
    let dequeued = broker.dequeue_within(&queue(), limits, LEASE).await.unwrap();

    assert_eq!(dequeued.tasks.len(), 1);
    assert_eq!((dequeued.corrupt[0].id.as_str(), dequeued.corrupt[0].bytes.len()), ("huge", 0));
    assert!(dequeued.corrupt[0].is_too_large);
    assert!(sent(&server) - before < SMALL);
    assert_eq!(broker.stats(&queue()).await.unwrap().archived, 1);
}

#[tokio::test]
async fn dequeue_takes_no_more_bytes_than_asked_for_and_at_least_one_task() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let mut tasks: Vec<NewTask> = (0..300).map(|n| task(&n.to_string())).collect();
    tasks.iter_mut().for_each(|task| task.record.envelope = vec![1; 1000].into());
    broker.enqueue(&queue(), &tasks).await.unwrap();

    let one = broker.dequeue_within(&queue(), DequeueLimits::tasks(10).with_total_bytes(1), LEASE).await;
    let many =
        broker.dequeue_within(&queue(), DequeueLimits::tasks(300).with_total_bytes(200_000), LEASE).await;

    assert_eq!(one.unwrap().tasks.len(), 1);
    let many: usize = many.unwrap().tasks.iter().map(|task| task.lease.stored.as_ref().unwrap().len()).sum();
    assert!((150_000..=200_000).contains(&many), "{many}");
}

#[tokio::test]
async fn names_that_are_not_those_of_queues_are_not_sent() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    broker.enqueue(&queue(), &[task("a")]).await.unwrap();
    cmd("SADD").arg("asynq:queues").arg(vec![b'x'; HUGE]).exec(&mut server.raw()).unwrap();
    let before = sent(&server);

    broker.ping().await.unwrap();
    assert_eq!(broker.queues().await.unwrap(), [queue()]);

    assert!(sent(&server) - before < SMALL);
}

#[tokio::test]
async fn many_names_in_the_set_of_queues_are_read_up_to_a_limit() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let names: Vec<String> = (0..20_000).map(|n| format!("q{n}")).collect();
    cmd("SADD").arg("asynq:queues").arg(names).exec(&mut server.raw()).unwrap();

    assert_eq!(broker.queues().await.unwrap().len(), 10_000);
}

#[tokio::test]
async fn huge_fields_and_counters_are_not_sent_to_who_looks_at_a_task() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    broker.enqueue(&queue(), &[task("a")]).await.unwrap();
    broker.dequeue(&queue(), 1, LEASE).await.unwrap();
    let huge = vec![b'1'; HUGE];
    set(&server, "asynq:{mail}:t:a", "taskseal_lease", &huge);
    set(&server, "asynq:{mail}:t:b", "state", &huge);
    cmd("SET").arg("asynq:{mail}:processed").arg(&huge).exec(&mut server.raw()).unwrap();
    let before = sent(&server);

    assert!(broker.find(&queue(), "a").await.unwrap().is_some());
    assert!(broker.find(&queue(), "b").await.unwrap().is_none());
    assert_eq!(broker.list(&queue(), TaskState::Active, 0, 10).await.unwrap().len(), 1);
    assert_eq!(broker.stats(&queue()).await.unwrap().processed, 0);

    assert!(sent(&server) - before < SMALL);
}

#[tokio::test]
async fn deleted_queue_leaves_no_key_and_no_lock_of_its_tasks() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let lock = |id: &str| format!("asynq:{{mail}}:unique:email:{id}");
    for (id, at) in [("pending", None), ("scheduled", Some(UnixMillis::now().plus(LEASE)))] {
        let mut locking = NewMessage::from(&task(id));
        locking.message.unique_key = lock(id);
        locking.process_at = at;
        let stored = broker.enqueue_unique(&queue(), &locking, LEASE).await.unwrap();
        assert!(matches!(stored, Unique::Enqueued(_)), "{stored:?}");
    }
    // A lock that another task holds, and a key outside the locks of this queue.
    broker.enqueue(&queue(), &[task("liar"), task("stray")]).await.unwrap();
    cmd("SET").arg(lock("held")).arg("another").exec(&mut server.raw()).unwrap();
    cmd("SET").arg("elsewhere").arg("stray").exec(&mut server.raw()).unwrap();
    set(&server, "asynq:{mail}:t:liar", "unique_key", lock("held").as_bytes());
    set(&server, "asynq:{mail}:t:stray", "unique_key", b"elsewhere");

    assert_eq!(broker.delete_queue(&queue(), true).await.unwrap(), QueueDeletion::Deleted);

    let mut keys: Vec<String> = cmd("KEYS").arg("*").query(&mut server.raw()).unwrap();
    keys.sort();
    assert_eq!(keys, [lock("held"), "elsewhere".to_owned()]);
}

#[tokio::test]
async fn huge_holder_of_a_lock_is_not_sent() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let lock = "asynq:{mail}:unique:email:00";
    cmd("SET").arg(lock).arg(vec![b'1'; HUGE]).exec(&mut server.raw()).unwrap();
    let mut locking = NewMessage::from(&task("a"));
    lock.clone_into(&mut locking.message.unique_key);
    let before = sent(&server);

    let Unique::Locked(holder) = broker.enqueue_unique(&queue(), &locking, LEASE).await.unwrap() else {
        panic!()
    };

    assert!(holder.len() <= 1024);
    assert!(sent(&server) - before < SMALL);
}

#[tokio::test]
async fn archived_message_is_not_sent_back_and_says_why() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let mut large = task("large");
    large.record.envelope = vec![1; 2 << 20].into();
    broker.enqueue(&queue(), &[large.clone()]).await.unwrap();
    let lease = broker.dequeue(&queue(), 1, LEASE).await.unwrap().tasks.remove(0).lease;
    let received = |server: &RedisServer| -> u64 {
        let stats: String = cmd("INFO").arg("stats").query(&mut server.raw()).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:")).unwrap();
        line.parse().unwrap()
    };
    let before = received(&server);

    let end = taskseal::broker::Settlement::Archive { reason: "refused".to_owned() };
    broker.settle(&queue(), &[(lease, end)]).await.unwrap();

    assert!(received(&server) - before < SMALL);
    let archived = broker.find(&queue(), "large").await.unwrap().unwrap();
    assert_eq!(archived.last_error.as_deref(), Some("refused"));
    assert_eq!(archived.record.unwrap().envelope, large.record.envelope);
}

#[tokio::test]
async fn server_that_replies_with_more_tasks_than_asked_for_is_an_error() {
    let message = NewMessage::from(&task("a")).message.encode();
    let bulk = |bytes: &[u8]| [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let two = |item: &[u8]| [b"*2\r\n".as_slice(), &bulk(item), &bulk(item)].concat();
    let leased = [b"*3\r\n".as_slice(), &two(b"a"), &two(&message), b"*0\r\n"].concat();
    let ids = [b"*2\r\n".as_slice(), &two(b"a"), b"*0\r\n"].concat();
    let rows = b"*2\r\n:2\r\n*0\r\n".to_vec();
    let unexpected = |error: BrokerError| assert!(matches!(error, BrokerError::Corrupt(_)), "{error}");

    let server = FakeRedis::start(move |_| leased.clone());
    unexpected(connect(server.url()).dequeue(&queue(), 1, LEASE).await.unwrap_err());
    let server = FakeRedis::start(move |_| ids.clone());
    unexpected(connect(server.url()).recover(&queue(), 1).await.unwrap_err());
    let server = FakeRedis::start(move |_| rows.clone());
    unexpected(connect(server.url()).list(&queue(), TaskState::Pending, 0, 1).await.unwrap_err());
    let server = FakeRedis::start(|_| b"*2\r\n:2\r\n:2\r\n".to_vec());
    unexpected(connect(server.url()).forward(&queue(), 1).await.unwrap_err());
    unexpected(connect(server.url()).tidy(&queue(), 1).await.unwrap_err());
}

fn connect(url: String) -> RedisBroker {
    RedisBroker::connect(&RedisConfig::new(url)).unwrap()
}

fn broker(server: &RedisServer) -> RedisBroker {
    connect(server.url())
}
