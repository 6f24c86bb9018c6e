//! The layout in Redis is that of asynq: what this broker writes equals what the Go library wrote.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use taskseal::broker::redis::asynq::{Message, NewMessage};
use taskseal::broker::redis::{RedisBroker, RedisConfig, Unique};
use taskseal::broker::{Broker, Enqueued, Lease, Settled, Settlement};
use taskseal::time::UnixMillis;
use taskseal_tests::redis::RedisServer;
use taskseal_tests::snapshot::{self, Content};

use crate::redis_vectors::{assert_same_layout, broker, civil, message, now, queue, record, vector};

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn tasks_enqueued_now_are_stored_as_asynq_stores_them() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let body = br#"{"user_id":42,"template":"welcome"}"#.to_vec();
    let task = |id: &str, task_type: &str, payload: &[u8]| Message {
        task_type: task_type.to_owned(),
        payload: payload.to_vec().into(),
        id: id.to_owned(),
        queue: "critical".to_owned(),
        retry: 25,
        timeout: 1800,
        ..Message::default()
    };
    let mut with_options = task("22222222-2222-4222-8222-222222222222", "email:deliver", &body);
    with_options.retry = 3;
    with_options.timeout = 90;
    with_options.retention = 7200;
    with_options.headers.insert("trace".to_owned(), "abc".to_owned());
    with_options.headers.insert("taskseal".to_owned(), "1;kid=0102030405060708".to_owned());
    let mut with_deadline = task("33333333-3333-4333-8333-333333333333", "email:empty", b"");
    with_deadline.timeout = 0;
    with_deadline.deadline = 4_102_444_800;
    let messages = [
        task("11111111-1111-4111-8111-111111111111", "email:deliver", &body),
        with_options,
        with_deadline,
        task("44444444-4444-4444-8444-444444444444", "bin:blob", &[0, 1, 2, 0xff, 0xfe]),
    ];

    let stored = broker.enqueue_messages(&queue("critical"), &messages.map(now)).await.unwrap();

    assert_eq!(stored, [Enqueued::New; 4]);
    assert_same_layout(&snapshot::of_server(&mut server.raw()), &vector("pending"));
}

#[tokio::test]
async fn tasks_for_later_are_stored_as_asynq_stores_them() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let theirs = vector("scheduled");
    let plain = message(&theirs, "low", "66666666-6666-4666-8666-666666666666");
    let unique = message(&theirs, "low", "66666666-6666-4666-8666-666666666667");
    let in_an_hour = UnixMillis::now().plus(Duration::from_secs(3600));

    let first = NewMessage { message: plain, process_at: Some(UnixMillis::from_secs(4_102_444_800)) };
    let second = NewMessage { message: unique, process_at: Some(in_an_hour) };
    broker.enqueue_messages(&queue("low"), &[first]).await.unwrap();
    let locked = broker.enqueue_unique(&queue("low"), &second, Duration::from_secs(3600)).await.unwrap();

    assert_eq!(locked, Unique::Enqueued(Enqueued::New));
    let ours = snapshot::of_server(&mut server.raw());
    assert_same_layout(&ours, &theirs);
    let lock = "asynq:{low}:unique:report:daily:5ffd757b9d8e0c297fc2e3ccb36435e8";
    let ttl: i64 = redis::cmd("TTL").arg(lock).query(&mut server.raw()).unwrap();
    assert!((7198..=7201).contains(&ttl), "{ttl}");
    let Content::Scores(scores) = &ours["asynq:{low}:scheduled"].content else { panic!() };
    assert_eq!(scores[b"66666666-6666-4666-8666-666666666666".as_slice()], 4_102_444_800.0);
}

#[tokio::test]
async fn unique_tasks_are_stored_as_asynq_stores_them_and_leave_no_lock_behind_on_a_conflict() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let (theirs, name) = (vector("unique"), queue("critical"));
    let first = now(message(&theirs, "critical", "55555555-5555-4555-8555-555555555555"));
    let second = now(message(&theirs, "critical", "55555555-5555-4555-8555-555555555557"));
    let hour = Duration::from_secs(3600);

    assert_eq!(broker.enqueue_unique(&name, &first, hour).await.unwrap(), Unique::Enqueued(Enqueued::New));
    assert_eq!(broker.enqueue_unique(&name, &second, hour).await.unwrap(), Unique::Enqueued(Enqueued::New));
    let mut same_content = first.clone();
    same_content.message.id = "another".to_owned();
    let mut same_id = first.clone();
    same_id.message.payload = "another payload".into();
    same_id.message.unique_key.push('!');

    assert_eq!(
        broker.enqueue_unique(&name, &same_content, hour).await.unwrap(),
        Unique::Locked(first.message.id.clone())
    );
    assert_eq!(
        broker.enqueue_unique(&name, &same_id, hour).await.unwrap(),
        Unique::Enqueued(Enqueued::Conflict)
    );
    assert_eq!(
        broker.enqueue_unique(&name, &first, hour).await.unwrap(),
        Unique::Enqueued(Enqueued::AlreadyThere)
    );
    assert_same_layout(&snapshot::of_server(&mut server.raw()), &theirs);
}

#[tokio::test]
async fn finishing_a_unique_task_frees_its_own_lock_only() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let (theirs, name) = (vector("unique"), queue("critical"));
    snapshot::restore(&mut server.raw(), &theirs);
    let foreign = "asynq:{critical}:unique:email:empty:";
    let () = redis::cmd("SET").arg(foreign).arg("another owner").query(&mut server.raw()).unwrap();

    let leases: Vec<_> = broker.dequeue(&name, 10, LEASE).await.unwrap().tasks;
    let ends: Vec<_> = leases.into_iter().map(|task| (task.lease, Settlement::Done)).collect();
    assert_eq!(broker.settle(&name, &ends).await.unwrap(), [Settled::Done; 2]);

    let left = snapshot::of_server(&mut server.raw());
    let locks: Vec<&String> = left.keys().filter(|key| key.contains(":unique:")).collect();
    assert_eq!(locks, [foreign]);
}

#[tokio::test]
async fn worked_tasks_are_stored_as_asynq_stores_them_while_working_and_after() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let (working, worked, name) = (vector("working"), vector("worked"), queue("critical"));
    let id = |last: u8| format!("88888888-8888-4888-8888-88888888888{last}");
    let [kept, retried, archived, hanging] = [0, 1, 2, 3].map(|last| message(&worked, "critical", &id(last)));
    let mut gone = message(&worked, "critical", &id(3));
    gone.id = id(4);
    let fresh = |message: &Message| {
        now(Message {
            completed_at: 0,
            last_failed_at: 0,
            retried: 0,
            error_msg: String::new(),
            ..message.clone()
        })
    };
    assert_eq!((retried.retried, archived.retried), (1, 0));
    let tasks: Vec<NewMessage> = [&kept, &retried, &archived, &hanging, &gone].map(fresh).into();
    broker.enqueue_messages(&name, &tasks).await.unwrap();
    let leases: BTreeMap<String, Lease> = broker
        .dequeue(&name, 10, LEASE)
        .await
        .unwrap()
        .tasks
        .into_iter()
        .map(|task| (task.lease.id.clone(), task.lease))
        .collect();
    let hour = Duration::from_secs(3600);
    let ends = [
        (
            leases[&kept.id].clone(),
            Settlement::Complete { result: b"result-bytes".to_vec(), retention: hour },
        ),
        (leases[&retried.id].clone(), Settlement::Retry { delay: hour, failure: Some(retried.error_msg) }),
        (leases[&archived.id].clone(), Settlement::Archive { reason: archived.error_msg }),
        (leases[&gone.id].clone(), Settlement::Done),
    ];

    assert_eq!(broker.settle(&name, &ends).await.unwrap(), [Settled::Done; 4]);
    assert_same_layout(&snapshot::of_server(&mut server.raw()), &working);

    let back = [(leases[&hanging.id].clone(), Settlement::Requeue)];
    assert_eq!(broker.settle(&name, &back).await.unwrap(), [Settled::Done]);
    assert_same_layout(&snapshot::of_server(&mut server.raw()), &worked);
}

#[tokio::test]
async fn the_day_of_the_statistics_is_the_servers_utc_day() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let name = queue("mail");
    broker.enqueue(&name, &[record("a")]).await.unwrap();
    let lease = broker.dequeue(&name, 1, LEASE).await.unwrap().tasks.remove(0).lease;
    let day = || {
        let days = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86400).unwrap();
        civil(days)
    };

    let before = day();
    broker.settle(&name, &[(lease, Settlement::Done)]).await.unwrap();
    let after = day();

    let keys = snapshot::of_server(&mut server.raw());
    let key = |day: &str| keys.get(&format!("asynq:{{mail}}:processed:{day}"));
    let counter = key(&before).or_else(|| key(&after)).expect("a counter of today");
    assert!(counter.expires);
    assert_eq!(counter.content, Content::Text(b"1".to_vec()));
}

#[test]
fn every_message_that_asynq_wrote_encodes_to_the_same_bytes() {
    let mut count = 0;
    for file in ["group", "pending", "scheduled", "scheduler", "unique", "worked", "working"] {
        for (key, entry) in vector(file) {
            let Content::Hash(fields) = entry.content else { continue };
            let Some(bytes) = fields.get("msg") else { continue };
            let message = Message::decode(bytes).unwrap_or_else(|error| panic!("{key}: {error}"));
            assert_eq!(&message.encode(), bytes, "{key}");
            assert!(key.ends_with(&message.id), "{key}");
            count += 1;
        }
    }
    assert_eq!(count, 20);
}

#[tokio::test]
async fn another_prefix_keeps_two_systems_apart() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let ours = broker(&server);
    let config = RedisConfig::new(server.url()).with_prefix("plant-a").unwrap();
    let theirs = RedisBroker::connect(&config).unwrap();
    let name = queue("mail");
    ours.enqueue(&name, &[record("a")]).await.unwrap();

    assert!(theirs.queues().await.unwrap().is_empty());
    assert!(theirs.dequeue(&name, 1, LEASE).await.unwrap().tasks.is_empty());
    assert_eq!(ours.stats(&name).await.unwrap().pending, 1);
}

#[test]
fn a_prefix_that_could_break_out_of_a_key_is_refused() {
    for prefix in ["", "a{b", "a}b", "a b", "a\n", "a*", &"a".repeat(65)] {
        assert!(RedisConfig::new("redis://127.0.0.1").with_prefix(prefix).is_err(), "{prefix:?}");
    }
}
