//! The layout in Redis is that of asynq: what this broker writes equals what the Go library wrote, and it reads both.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use taskseal::broker::redis::asynq::{Message, NewMessage};
use taskseal::broker::redis::{RedisBroker, RedisConfig, Unique};
use taskseal::broker::{
    Attribute, Broker, Enqueued, Lease, NewTask, Settled, Settlement, TaskInfo, TaskRecord, TaskState,
};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_tests::redis::RedisServer;
use taskseal_tests::snapshot::{self, Content, Snapshot};

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
    let in_an_hour = UnixMillis::now().plus(Duration::from_secs(3600));
    let ends = [
        (
            leases[&kept.id].clone(),
            Settlement::Complete { result: b"result-bytes".to_vec(), retention: Duration::from_secs(3600) },
        ),
        (leases[&retried.id].clone(), Settlement::Retry { at: in_an_hour, failure: Some(retried.error_msg) }),
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
async fn settling_changes_only_the_fields_of_a_message_that_say_how_it_ended() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let (broker, name) = (broker(&server), queue("mail"));
    let before = |id: &str| Message {
        task_type: "email:deliver".to_owned(),
        payload: "sealed".into(),
        id: id.to_owned(),
        queue: "elsewhere".to_owned(),
        retry: i32::MIN,
        retried: 7,
        error_msg: "earlier".to_owned(),
        timeout: i64::MIN,
        deadline: i64::MAX,
        unique_key: "asynq:{mail}:unique:email:deliver:00".to_owned(),
        last_failed_at: -1,
        retention: i64::MAX,
        completed_at: 5,
        group_key: "user:42".to_owned(),
        headers: BTreeMap::from([("trace".to_owned(), "abc".to_owned()), (String::new(), String::new())]),
    };
    let (at, retention) = (UnixMillis::now().plus(LEASE), LEASE);
    type Case = (&'static str, Settlement, fn(&mut Message, i64));
    let cases: [Case; 6] = [
        ("completed", Settlement::Complete { result: Vec::new(), retention }, |message, now| {
            message.completed_at = now;
        }),
        ("failed", Settlement::Retry { at, failure: Some("no".to_owned()) }, |message, now| {
            (message.retried, message.last_failed_at) = (8, now);
            "no".clone_into(&mut message.error_msg);
        }),
        ("endless", Settlement::Retry { at, failure: Some(String::new()) }, |message, now| {
            (message.retried, message.last_failed_at) = (i32::MAX, now);
            message.error_msg.clear();
        }),
        ("postponed", Settlement::Retry { at, failure: None }, |_, _| {}),
        ("archived", Settlement::Archive { reason: "refused".to_owned() }, |message, now| {
            message.last_failed_at = now;
            "refused".clone_into(&mut message.error_msg);
        }),
        ("given-back", Settlement::Requeue, |_, _| {}),
    ];
    let mut stored = cases.each_ref().map(|(id, _, _)| before(id));
    stored[2].retried = i32::MAX;
    broker.enqueue_messages(&name, &stored.clone().map(now)).await.unwrap();
    let leased = broker.dequeue(&name, 10, LEASE).await.unwrap().tasks;

    let from = UnixMillis::now().as_secs();
    let ends: Vec<_> =
        leased.into_iter().zip(&cases).map(|(task, (_, end, _))| (task.lease, end.clone())).collect();
    assert_eq!(broker.settle(&name, &ends).await.unwrap(), [Settled::Done; 6]);
    let until = UnixMillis::now().as_secs();

    let after = snapshot::of_server(&mut server.raw());
    for ((id, _, change), mut expected) in cases.into_iter().zip(stored) {
        let after = message(&after, "mail", id);
        let now =
            [after.completed_at, after.last_failed_at].into_iter().find(|at| (from..=until).contains(at));
        change(&mut expected, now.unwrap_or(i64::MIN));
        assert_eq!(after, expected, "{id}");
    }
}

#[tokio::test]
async fn a_lease_without_the_stored_message_leaves_the_message_as_it_is() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let (broker, name) = (broker(&server), queue("mail"));
    broker.enqueue(&name, &[record("a"), record("b"), record("c")]).await.unwrap();
    let leased = broker.dequeue(&name, 3, LEASE).await.unwrap().tasks;
    let ends = [
        Settlement::Complete { result: b"r".to_vec(), retention: LEASE },
        Settlement::Retry { at: UnixMillis::now().plus(LEASE), failure: Some("no".to_owned()) },
        Settlement::Archive { reason: "refused".to_owned() },
    ];
    let bare = leased.iter().map(|task| Lease::new(task.lease.id.clone(), task.lease.token));
    let ends: Vec<_> = bare.zip(ends).collect();

    assert_eq!(broker.settle(&name, &ends).await.unwrap(), [Settled::Done; 3]);

    for (task, state) in leased.iter().zip([TaskState::Completed, TaskState::Retry, TaskState::Archived]) {
        let info = broker.find(&name, &task.lease.id).await.unwrap().unwrap();
        assert_eq!((info.state, info.record.as_ref()), (state, Some(&task.record)));
    }
}

#[tokio::test]
async fn a_record_without_limits_gets_those_of_asynq() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let (broker, name) = (broker(&server), queue("mail"));
    let limits = |id: &str, max_retries, timeout| {
        NewTask::now(TaskRecord { max_retries, timeout, ..record(id).record })
    };
    let tasks = [
        limits("none", None, None),
        limits("zero", Some(0), Some(Duration::ZERO)),
        limits("most", Some(u32::MAX), Some(Duration::MAX)),
        limits("part", Some(1), Some(Duration::from_millis(1))),
    ];

    broker.enqueue(&name, &tasks).await.unwrap();

    let stored = snapshot::of_server(&mut server.raw());
    for (id, retry, timeout) in
        [("none", 25, 1800), ("zero", 0, 0), ("most", 32_767, i64::MAX), ("part", 1, 1)]
    {
        let message = message(&stored, "mail", id);
        assert_eq!((message.retry, message.timeout), (retry, timeout), "{id}");
    }
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

#[tokio::test]
async fn what_asynq_stored_can_be_listed_and_worked_on() {
    if taskseal_tests::redis::unavailable().is_some() {
        eprintln!("skipped: no redis-server");
        return;
    }
    for (file, queue_name, pending) in [
        ("pending", "critical", 4),
        ("scheduled", "low", 0),
        ("scheduler", "low", 3),
        ("unique", "critical", 2),
        ("worked", "critical", 1),
        ("working", "critical", 0),
        ("group", "low", 0),
    ] {
        let server = RedisServer::start();
        let broker = broker(&server);
        let (theirs, name) = (vector(file), queue(queue_name));
        snapshot::restore(&mut server.raw(), &theirs);
        assert_eq!(broker.queues().await.unwrap(), std::slice::from_ref(&name), "{file}");

        let mut seen = 0;
        for state in TaskState::ALL {
            for task in broker.list(&name, state, 0, 100).await.unwrap() {
                seen += 1;
                let found = broker.find(&name, &task.id).await.unwrap().expect("listed, so it is there");
                assert_eq!((found.state, found.at), (state, task.at), "{file}");
                assert_shows(&found, &message(&theirs, queue_name, &task.id));
                assert_eq!(task.at.is_none(), state == TaskState::Pending, "{file}");
            }
        }
        let hashes = theirs
            .iter()
            .filter(
                |(_, entry)| matches!(&entry.content, Content::Hash(fields) if fields.contains_key("msg")),
            )
            .count();
        let aggregating = usize::from(file == "group");
        assert_eq!(seen, hashes - aggregating, "{file}");

        let stats = broker.stats(&name).await.unwrap();
        let out = broker.dequeue(&name, 100, LEASE).await.unwrap();
        assert_eq!((out.tasks.len(), stats.pending), (pending, pending as u64), "{file}");
        assert!(out.corrupt.is_empty() && out.dropped.is_empty(), "{file}");
        let ends: Vec<_> = out
            .tasks
            .into_iter()
            .map(|task| {
                let retention = Duration::from_secs(60);
                (task.lease, Settlement::Complete { result: vec![0xff], retention })
            })
            .collect();
        let settled = broker.settle(&name, &ends).await.unwrap();
        assert!(settled.iter().all(|settled| *settled == Settled::Done), "{file}");
        let after = broker.stats(&name).await.unwrap();
        assert_eq!(after.completed, stats.completed + pending as u64, "{file}");
        assert_eq!(after.processed, stats.processed + pending as u64, "{file}");
        assert_eq!(after.pending, 0, "{file}");
    }
}

#[tokio::test]
async fn due_tasks_that_asynq_stored_are_forwarded_to_the_list_or_to_their_group() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let name = queue("low");
    snapshot::restore(&mut server.raw(), &vector("scheduled"));
    let id = "66666666-6666-4666-8666-666666666666";
    let key = format!("asynq:{{low}}:t:{id}");
    let () = redis::cmd("HSET").arg(&key).arg("group").arg("g1").query(&mut server.raw()).unwrap();
    for member in [id, "66666666-6666-4666-8666-666666666667"] {
        let () = redis::cmd("ZADD")
            .arg("asynq:{low}:scheduled")
            .arg(1_700_000_000)
            .arg(member)
            .query(&mut server.raw())
            .unwrap();
    }

    assert_eq!(broker.forward(&name, 100).await.unwrap(), 2);

    let left = snapshot::of_server(&mut server.raw());
    let Content::Hash(grouped) = &left[&key].content else { panic!() };
    assert_eq!(grouped["state"], b"aggregating");
    assert!(left.contains_key("asynq:{low}:g:g1") && left.contains_key("asynq:{low}:groups"));
    assert!(!left.contains_key("asynq:{low}:scheduled"));
    assert_eq!(broker.dequeue(&name, 10, LEASE).await.unwrap().tasks.len(), 1);
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

fn broker(server: &RedisServer) -> RedisBroker {
    RedisBroker::connect(&RedisConfig::new(server.url())).unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::parse(name).unwrap()
}

fn now(message: Message) -> NewMessage {
    NewMessage::now(message)
}

fn record(id: &str) -> NewTask {
    NewTask::now(TaskRecord { id: id.to_owned(), ..TaskRecord::default() })
}

fn vector(name: &str) -> Snapshot {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/asynq");
    snapshot::from_file(&folder.join(format!("{name}.json")))
}

fn message(snapshot: &Snapshot, queue: &str, id: &str) -> Message {
    let Content::Hash(fields) = &snapshot[&format!("asynq:{{{queue}}}:t:{id}")].content else { panic!() };
    Message::decode(&fields["msg"]).unwrap()
}

/// Asserts that everything in a message is shown but its headers.
fn assert_shows(info: &TaskInfo, message: &Message) {
    let time = |seconds: i64| (seconds != 0).then(|| UnixMillis::from_secs(seconds));
    let record = info.record.as_ref().unwrap();
    assert_eq!(
        (&record.id, &record.queue, &record.task_type),
        (&message.id, &message.queue, &message.task_type)
    );
    assert_eq!(record.envelope, message.payload);
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap();
    assert_eq!(record.max_retries, u32::try_from(message.retry).ok());
    assert_eq!(record.timeout.map_or(0, seconds), message.timeout);
    assert_eq!(seconds(record.retention), message.retention);
    assert_eq!(i32::try_from(info.retries).unwrap(), message.retried);
    assert_eq!(info.last_error.as_deref().unwrap_or(""), message.error_msg);
    assert_eq!(info.last_failed_at, time(message.last_failed_at));
    assert_eq!(info.completed_at, time(message.completed_at));
    let text = |text: &str| (!text.is_empty()).then(|| Attribute::Text(text.to_owned()));
    let attributes = [
        ("deadline", time(message.deadline).map(Attribute::Time)),
        ("unique_key", text(&message.unique_key)),
        ("group_key", text(&message.group_key)),
    ];
    let set = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    assert_eq!(info.attributes, set.collect::<Vec<_>>());
}

/// Compares everything but times, which differ between two runs and have the same shape only.
fn assert_same_layout(ours: &Snapshot, theirs: &Snapshot) {
    let (ours, theirs) = (shape(ours), shape(theirs));
    let keys = |of: &BTreeMap<String, String>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ours), keys(&theirs));
    for (key, shape) in &ours {
        assert_eq!(shape, &theirs[key], "{key}");
    }
}

fn shape(snapshot: &Snapshot) -> BTreeMap<String, String> {
    // A Go server also stores information on itself.
    let of_servers = |key: &str| key.starts_with("asynq:servers") || key.starts_with("asynq:workers");
    snapshot
        .iter()
        .filter(|(key, _)| !of_servers(key))
        .map(|(key, entry)| {
            let content = match &entry.content {
                Content::Scores(members) => {
                    let unix_seconds = |score: &f64| (1.7e9..5e9).contains(score);
                    assert!(members.values().all(unix_seconds), "{key}");
                    format!("{:?}", members.keys().map(|id| String::from_utf8_lossy(id)).collect::<Vec<_>>())
                }
                Content::Hash(fields) => {
                    let mut fields: BTreeMap<String, Vec<u8>> = fields.clone();
                    fields.retain(|field, _| !field.starts_with("taskseal_"));
                    if let Some(since) = fields.get_mut("pending_since") {
                        assert!(since.len() == 19 && since.iter().all(u8::is_ascii_digit), "{key}");
                        *since = b"nanoseconds".to_vec();
                    }
                    if let Some(message) = fields.get_mut("msg") {
                        *message = without_moments(message);
                    }
                    format!("{fields:?}")
                }
                other => format!("{other:?}"),
            };
            let day = key.len().checked_sub(11).and_then(|at| key.split_at_checked(at));
            let key = match day {
                Some((counter, day)) if is_day(day) => format!("{counter}:<day>"),
                _ => key.clone(),
            };
            (key, format!("expires: {}, {content}", entry.expires))
        })
        .collect()
}

/// A message whose moments of time, where it has them, are all the same.
fn without_moments(bytes: &[u8]) -> Vec<u8> {
    let mut message = Message::decode(bytes).unwrap();
    for at in [&mut message.last_failed_at, &mut message.completed_at] {
        if *at != 0 {
            assert!((1_700_000_000..5_000_000_000).contains(at), "{at}");
            *at = 1;
        }
    }
    message.encode()
}

fn is_day(text: &str) -> bool {
    text.char_indices().all(|(at, digit)| match at {
        0 => digit == ':',
        5 | 8 => digit == '-',
        _ => digit.is_ascii_digit(),
    })
}

/// The date of a day since 1970, counted year by year: another way than the script's.
fn civil(mut days: i64) -> String {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}
