//! Tasks that asynq stored: this broker lists, leases, forwards and settles them, and keeps the fields that it does not use.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use taskseal::broker::redis::asynq::Message;
use taskseal::broker::{Broker, Lease, NewTask, Settled, Settlement, TaskRecord, TaskState};
use taskseal::time::UnixMillis;
use taskseal_tests::redis::RedisServer;
use taskseal_tests::snapshot::{self, Content};

use crate::redis_vectors::{assert_shows, broker, message, now, queue, record, vector};

const LEASE: Duration = Duration::from_secs(30);

/// What a settlement at a time, in Unix seconds, changes in a message.
type Change = fn(&mut Message, i64);

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
    let (delay, retention) = (LEASE, LEASE);
    let cases: [(&str, Settlement, Change); 6] = [
        ("completed", Settlement::Complete { result: Vec::new(), retention }, |message, now| {
            message.completed_at = now;
        }),
        ("failed", Settlement::Retry { delay, failure: Some("no".to_owned()) }, |message, now| {
            (message.retried, message.last_failed_at) = (8, now);
            "no".clone_into(&mut message.error_msg);
        }),
        ("endless", Settlement::Retry { delay, failure: Some(String::new()) }, |message, now| {
            (message.retried, message.last_failed_at) = (i32::MAX, now);
            message.error_msg.clear();
        }),
        ("postponed", Settlement::Retry { delay, failure: None }, |_, _| {}),
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
        Settlement::Retry { delay: LEASE, failure: Some("no".to_owned()) },
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
        assert_eq!(seen, hashes, "{file}");

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
async fn due_task_with_a_group_is_forwarded_to_the_list_where_it_is_not_merged_into_an_unsealed_one() {
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
    assert_eq!(grouped["state"], b"pending");
    assert!(!left.contains_key("asynq:{low}:g:g1") && !left.contains_key("asynq:{low}:groups"));
    assert!(!left.contains_key("asynq:{low}:scheduled"));
    assert_eq!(broker.dequeue(&name, 10, LEASE).await.unwrap().tasks.len(), 2);
}
