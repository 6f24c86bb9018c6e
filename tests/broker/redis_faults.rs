//! A Redis that is unavailable, frozen, full, a replica or misconfigured: the error says whether to repeat the call.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::{Commands, cmd};
use taskseal::broker::redis::asynq::NewMessage;
use taskseal::broker::redis::{Password, RedisBroker, RedisConfig};
use taskseal::broker::{Broker, BrokerError, Enqueued, NewTask, Settled, Settlement, TaskState};
use taskseal::queue::QueueName;
use taskseal_tests::fake_redis::FakeRedis;
use taskseal_tests::redis::{RedisServer, unavailable};

use crate::fixture::{queue, task};

/// Where tasks are announced.
const CHANNEL: &str = "asynq:taskseal:wake";
const LEASE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn closed_port_is_unavailable_at_once() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let broker = RedisBroker::connect(&RedisConfig::new(format!("redis://127.0.0.1:{port}"))).unwrap();

    for _ in 0..100 {
        let error = broker.enqueue(&queue(), &[task("a")]).await.unwrap_err();
        assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_was_killed_is_unavailable_and_then_used_again() {
    let Some(mut server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    broker.enqueue(&queue(), &[task("before")]).await.unwrap();
    server.kill();

    let deadline = Instant::now() + PATIENCE;
    loop {
        // The result of a call in flight when the server died may be unknown; that of later calls is not.
        match broker.enqueue(&queue(), &[task("during")]).await.unwrap_err() {
            BrokerError::Unavailable(_) => break,
            BrokerError::Ambiguous(_) => assert!(Instant::now() < deadline),
            other => panic!("{other}"),
        }
    }
    server.restart();

    let stored = eventually(async || broker.enqueue(&queue(), &[task("after")]).await).await;
    assert_eq!(stored, [Enqueued::New]);
    assert_eq!(broker.queues().await.unwrap(), [queue()], "the name is stored again");
}

#[tokio::test]
async fn a_frozen_server_leaves_a_doubt_and_the_repeated_call_settles_it() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let config = RedisConfig::new(server.url()).with_response_timeout(Duration::from_millis(200));
    let broker = RedisBroker::connect(&config).unwrap();
    broker.enqueue(&queue(), &[task("before")]).await.unwrap();
    server.freeze();

    let error = broker.enqueue(&queue(), &[task("during")]).await.unwrap_err();
    assert!(matches!(error, BrokerError::Ambiguous(_)), "{error}");
    server.thaw();

    let again = eventually(async || broker.enqueue(&queue(), &[task("during")]).await).await;
    assert!(matches!(again[0], Enqueued::New | Enqueued::AlreadyThere));
    assert_eq!(broker.stats(&queue()).await.unwrap().pending, 2);
}

#[tokio::test]
async fn connection_that_returns_nothing_but_errors_is_replaced() {
    for reply in [
        "-NOPERM no\r\n",
        "-ERR proxy: no\r\n",
        "-LOADING wait\r\n",
        "-ERR READONLY no\r\n",
        "-NOAUTH no\r\n",
    ] {
        let server = FakeRedis::start_numbered(move |connection, _| {
            if connection == 1 { reply.as_bytes().to_vec() } else { b"+PONG\r\n".to_vec() }
        });
        let broker = RedisBroker::connect(&RedisConfig::new(server.url())).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while broker.ping().await.is_err() {
            assert!(Instant::now() < deadline, "{reply}");
            tokio::task::yield_now().await;
        }
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn password_is_read_again_for_each_connection() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let set = |password: &str| {
        cmd("CONFIG").arg("SET").arg("requirepass").arg(password).exec(&mut server.raw()).unwrap();
    };
    let password = Arc::new(Mutex::new("first".to_owned()));
    let read = Arc::clone(&password);
    let config = RedisConfig::new(server.url())
        .with_password_reader(move || Ok(Password::from(read.lock().unwrap().clone())));
    let mut admin = server.raw();
    set("first");
    let broker = RedisBroker::connect(&config).unwrap();
    broker.ping().await.unwrap();
    cmd("CONFIG").arg("SET").arg("requirepass").arg("second").exec(&mut admin).unwrap();
    cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut admin).unwrap();
    assert!(broker.ping().await.is_err());

    *password.lock().unwrap() = "second".to_owned();

    let deadline = Instant::now() + PATIENCE;
    while broker.ping().await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_given_to_it_again() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let flush = || cmd("SCRIPT").arg("FLUSH").exec(&mut server.raw()).unwrap();

    flush();
    assert_eq!(broker.enqueue(&queue(), &[task("a")]).await.unwrap(), [Enqueued::New]);
    flush();
    let lease = broker.dequeue(&queue(), 1, LEASE).await.unwrap().tasks.remove(0).lease;
    flush();
    assert_eq!(broker.settle(&queue(), &[(lease, Settlement::Done)]).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn a_server_without_room_takes_no_task_and_still_lets_work_end() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let tasks: Vec<NewTask> = (0..6).map(|n| task(&n.to_string())).collect();
    broker.enqueue(&queue(), &tasks).await.unwrap();
    let mut taken = broker.dequeue(&queue(), 5, LEASE).await.unwrap().tasks;
    let maxmemory = |bytes: &str| {
        cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec(&mut server.raw()).unwrap();
    };
    maxmemory("1mb");

    let error = broker.enqueue(&queue(), &[task("new")]).await.unwrap_err();
    assert!(matches!(error, BrokerError::Full(_)), "{error}");
    let mut end = |end: Settlement| (taken.remove(0).lease, end);
    let ends = [
        end(Settlement::Done),
        end(Settlement::Complete { result: vec![1], retention: LEASE }),
        end(Settlement::Retry { delay: LEASE, failure: Some("failed".into()) }),
        end(Settlement::Archive { reason: "refused".into() }),
        end(Settlement::Requeue),
    ];
    assert_eq!(broker.settle(&queue(), &ends).await.unwrap(), [Settled::Done; 5]);
    assert_eq!(broker.dequeue(&queue(), 10, LEASE).await.unwrap().tasks.len(), 2);

    maxmemory("0");
    assert!(broker.find(&queue(), "new").await.unwrap().is_none());
    assert_eq!(broker.enqueue(&queue(), &[task("new")]).await.unwrap(), [Enqueued::New]);
}

#[tokio::test]
async fn a_server_that_became_a_replica_is_unavailable_until_it_is_master_again() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    broker.enqueue(&queue(), &[task("before")]).await.unwrap();
    cmd("REPLICAOF").arg("127.0.0.1").arg(1).exec(&mut server.raw()).unwrap();

    let error = broker.enqueue(&queue(), &[task("during")]).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    let error = broker.health().await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut server.raw()).unwrap();

    let stored = eventually(async || broker.enqueue(&queue(), &[task("during")]).await).await;
    assert_eq!(stored, [Enqueued::New]);
}

#[tokio::test]
async fn a_key_of_another_type_is_refused_and_loses_no_task() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    broker.enqueue(&queue(), &[task("a")]).await.unwrap();
    for name in ["active", "lease"] {
        let key = format!("asynq:{{mail}}:{name}");
        cmd("SET").arg(&key).arg("x").exec(&mut server.raw()).unwrap();

        let error = broker.dequeue(&queue(), 1, LEASE).await.unwrap_err();
        assert!(matches!(error, BrokerError::Refused(_)), "{error}");
        cmd("DEL").arg(&key).exec(&mut server.raw()).unwrap();
    }
    assert_eq!(broker.dequeue(&queue(), 1, LEASE).await.unwrap().tasks.len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_a_right_one_shown_nowhere() {
    if let Some(reason) = unavailable() {
        eprintln!("skipped: {reason}");
        return;
    }
    let server = RedisServer::start_with(&["--requirepass", "correct-horse"]);
    let config = |password: &str| RedisConfig::new(server.url()).with_password(password.to_owned().into());

    for config in [config("wrong"), RedisConfig::new(server.url())] {
        let broker = RedisBroker::connect(&config).unwrap();
        let error = broker.enqueue(&queue(), &[task("a")]).await.unwrap_err();
        assert!(matches!(error, BrokerError::Refused(_)), "{error}");
        assert!(!format!("{error:?} {error}").contains("wrong "), "{error:?}");
    }
    let right = config("correct-horse");
    let broker = RedisBroker::connect(&right).unwrap();
    assert_eq!(broker.enqueue(&queue(), &[task("a")]).await.unwrap(), [Enqueued::New]);
    let in_url = RedisConfig::new(server.url().replace("//", "//:correct-horse@"));
    assert_eq!(RedisBroker::connect(&in_url).unwrap().stats(&queue()).await.unwrap().pending, 1);
    let shown = format!("{right:?} {in_url:?} {broker:?} {:?}", Password::from("correct-horse".to_owned()));
    assert!(!shown.contains("correct-horse"), "{shown}");
}

#[tokio::test]
async fn a_producer_without_a_right_to_publish_can_enqueue() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    cmd("ACL")
        .arg("SETUSER")
        .arg(&["producer", "on", ">pw", "resetchannels", "~asynq:*"])
        .arg(&[
            "+eval", "+evalsha", "+sadd", "+time", "+exists", "+hget", "+hset", "+lpush", "+zadd", "+publish",
        ])
        .exec(&mut server.raw())
        .unwrap();
    let config =
        RedisConfig::new(server.url()).with_username("producer").with_password("pw".to_owned().into());
    let broker = RedisBroker::connect(&config).unwrap();

    assert_eq!(broker.enqueue(&queue(), &[task("a")]).await.unwrap(), [Enqueued::New]);
    let error = broker.dequeue(&queue(), 1, LEASE).await.unwrap_err();
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
}

#[tokio::test]
async fn addresses_that_make_no_sense_are_refused_before_anything_is_sent() {
    for url in ["", "http://127.0.0.1", "redis://", "redis://127.0.0.1/x", "rediss://127.0.0.1/#insecure"] {
        let error = RedisBroker::connect(&RedisConfig::new(url)).unwrap_err();
        assert!(matches!(error, BrokerError::Refused(_)), "{url}: {error}");
    }
}

#[tokio::test]
async fn tls_to_a_server_that_speaks_none_fails_without_falling_back() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let url = server.url().replace("redis://", "rediss://");
    let broker = RedisBroker::connect(&RedisConfig::new(url)).unwrap();

    let error = broker.enqueue(&queue(), &[task("a")]).await.unwrap_err();

    assert!(matches!(error, BrokerError::Unavailable(_) | BrokerError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    for scheme in ["unix", "redis+unix"] {
        let url = format!("{scheme}://{}", server.socket().display());
        let broker = RedisBroker::connect(&RedisConfig::new(url)).unwrap();
        broker.enqueue(&queue(), &[task(scheme)]).await.unwrap();
    }
    assert_eq!(broker(&server).stats(&queue()).await.unwrap().pending, 2);
}

#[tokio::test]
async fn one_queue_stays_in_one_slot_of_a_cluster() {
    if let Some(reason) = unavailable() {
        eprintln!("skipped: {reason}");
        return;
    }
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let slots: Vec<u16> = (0..16384).collect();
    cmd("CLUSTER").arg("ADDSLOTS").arg(slots).exec(&mut server.raw()).unwrap();
    let broker = broker(&server);
    let tasks: Vec<NewTask> = (0..5).map(|n| task(&n.to_string())).collect();
    let stored = eventually(async || broker.enqueue(&queue(), &tasks).await).await;
    assert_eq!(stored.len(), 5);
    let mut unique = NewMessage::from(&task("unique"));
    unique.message.unique_key = "asynq:{mail}:unique:t:0".to_owned();
    broker.enqueue_unique(&queue(), &unique, LEASE).await.unwrap();

    let mut taken = broker.dequeue(&queue(), 10, LEASE).await.unwrap().tasks;
    assert_eq!(taken.len(), 6);
    let leases: Vec<_> = taken.iter().map(|task| task.lease.clone()).collect();
    assert_eq!(broker.extend(&queue(), &leases, LEASE).await.unwrap(), [true; 6]);
    let mut next = || taken.remove(0);
    let (complete, retry, archive, requeue, done, unique) = (next(), next(), next(), next(), next(), next());
    let ends = [
        (complete.lease, Settlement::Complete { result: vec![1], retention: Duration::ZERO }),
        (retry.lease, Settlement::Retry { delay: Duration::ZERO, failure: Some("failed".into()) }),
        (archive.lease, Settlement::Archive { reason: "refused".into() }),
        (requeue.lease, Settlement::Requeue),
        (done.lease, Settlement::Done),
        (unique.lease, Settlement::Done),
    ];
    assert_eq!(broker.settle(&queue(), &ends).await.unwrap(), [Settled::Done; 6]);
    assert_eq!(broker.forward(&queue(), 10).await.unwrap(), 1);
    broker.recover(&queue(), 10).await.unwrap();
    broker.tidy(&queue(), 10).await.unwrap();
    assert_eq!(broker.stats(&queue()).await.unwrap().pending, 2);
    assert_eq!(broker.list(&queue(), TaskState::Pending, 0, 10).await.unwrap().len(), 2);
    assert!(broker.find(&queue(), &archive_id(&broker).await).await.unwrap().is_some());
    assert!(broker.set_paused(&queue(), true).await.unwrap());
}

async fn archive_id(broker: &RedisBroker) -> String {
    broker.list(&queue(), TaskState::Archived, 0, 1).await.unwrap().remove(0).id
}

#[tokio::test]
async fn a_waiting_worker_is_notified_of_a_task_before_and_after_a_restart() {
    let Some(mut server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    let producer = self::broker(&server);
    let others = QueueName::parse("other").unwrap();
    // The first wait ends once the subscription stands; from then on announcements end it.
    broker.wait(&[queue()], PATIENCE).await;
    for round in 0..3 {
        assert!(broker.dequeue(&queue(), 10, LEASE).await.unwrap().tasks.is_empty());
        producer.enqueue(&others, &[task(&format!("other{round}"))]).await.unwrap();
        producer.enqueue(&queue(), &[task(&round.to_string())]).await.unwrap();

        let queues = [queue()];
        let heard = tokio::time::timeout(PATIENCE, broker.wait(&queues, 10 * PATIENCE)).await;

        assert!(heard.is_ok(), "round {round}");
        assert_eq!(broker.dequeue(&queue(), 10, LEASE).await.unwrap().tasks.len(), 1);
    }
    server.restart();
    let emptied = eventually(async || broker.dequeue(&queue(), 10, LEASE).await).await;
    assert!(emptied.tasks.is_empty());
    let queues = [queue()];
    assert!(tokio::time::timeout(PATIENCE, broker.wait(&queues, 10 * PATIENCE)).await.is_ok());
}

#[tokio::test]
async fn an_announcement_between_looking_and_waiting_is_not_missed() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    broker.wait(&[queue()], PATIENCE).await;
    broker.dequeue(&queue(), 10, LEASE).await.unwrap();
    let queues = [queue()];

    self::broker(&server).enqueue(&queue(), &[task("a")]).await.unwrap();
    // Enough round trips for the announcement to have arrived before the wait begins.
    for _ in 0..50 {
        broker.stats(&queue()).await.unwrap();
    }

    assert!(tokio::time::timeout(PATIENCE, broker.wait(&queues, 10 * PATIENCE)).await.is_ok());
}

#[tokio::test]
async fn announcement_under_a_flood_of_others_is_not_missed() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let broker = broker(&server);
    broker.wait(&[queue()], PATIENCE).await;
    broker.dequeue(&queue(), 10, LEASE).await.unwrap();
    let queues = [queue()];

    // The only thread is held up meanwhile: all of it arrives at once, the one that counts first.
    let mut raw = server.raw();
    for name in std::iter::once("mail").chain(std::iter::repeat_n("other", 5000)) {
        let _: () = raw.publish(CHANNEL, name).unwrap();
    }

    assert!(tokio::time::timeout(PATIENCE, broker.wait(&queues, 10 * PATIENCE)).await.is_ok());
}

/// Repeats a call until Redis is available again.
async fn eventually<T>(mut call: impl AsyncFnMut() -> Result<T, BrokerError>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_transient() && Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

fn broker(server: &RedisServer) -> RedisBroker {
    RedisBroker::connect(&RedisConfig::new(server.url())).unwrap()
}
