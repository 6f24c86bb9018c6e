//! A queue file that an attacker writes to: the broker does not panic, does not stop and does not exhaust memory.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rusqlite::Connection;
use taskseal::broker::sqlite::{SqliteBroker, SqliteConfig};
use taskseal::broker::{
    Broker, BrokerError, Corrupt, DequeueLimits, NewTask, Operation, QueueStats, Settled, Settlement,
    TaskRecord, TaskState, Tidied,
};
use taskseal_tests::conformance::eventually;
use taskseal_tests::embedded::QueueFile;

use crate::fixture::{filled, queue, task_with as task};

const LONG: Duration = Duration::from_secs(3600);

/// Removes the constraints of the tables, runs `sql`, and restores the definitions.
fn without_rules(file: &QueueFile, sql: &str) {
    let rename = |from: &str, to: &str| {
        let connection = file.intruder();
        connection
            .execute_batch(&format!(
                "PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', '/*S*/'), 'NOT NULL', '/*NN*/')
                     WHERE '{from}' = 'strict' AND name IN ('task', 'record', 'result', 'queue');
                 UPDATE sqlite_schema SET sql = replace(replace(sql, '/*S*/', 'STRICT'), '/*NN*/', 'NOT NULL')
                     WHERE '{to}' = 'strict' AND name IN ('task', 'record', 'result', 'queue');
                 PRAGMA schema_version = {};",
                connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0)).unwrap()
                    + 1
            ))
            .unwrap();
    };
    rename("strict", "loose");
    file.intruder().execute_batch(sql).unwrap();
    rename("loose", "strict");
}

#[tokio::test]
async fn values_of_the_wrong_type_in_any_column_of_a_record_are_reported_and_stop_no_other_task() {
    for (column, nonsense) in [
        ("type", ["NULL", "x'ff00'"].as_slice()),
        ("max_retries", &["-1", "1 << 32", "'text'", "1.5e300"]),
        ("timeout_ms", &["-1", "'text'", "1.5e300"]),
        ("retention_ms", &["NULL", "-1", "'text'", "1.5e300"]),
        ("envelope", &["NULL", "'text'", "1.5e300"]),
    ]
    .iter()
    .flat_map(|(column, values)| values.iter().map(move |value| (column, value)))
    {
        let file = QueueFile::new();
        let broker = filled(&file, 3).await;
        without_rules(&file, &format!("UPDATE record SET {column} = {nonsense} WHERE seq = 2"));

        let dequeued = broker.dequeue(&queue(), 10, LONG).await.unwrap();

        let ids: Vec<_> = dequeued.tasks.iter().map(|task| &*task.lease.id).collect();
        assert_eq!(ids, ["t0", "t2"], "{column} {nonsense}");
        assert_eq!(dequeued.corrupt.len(), 1, "{column} {nonsense}");
        assert_eq!(dequeued.corrupt[0].id, "t1");
        let info = broker.find(&queue(), "t1").await.unwrap().unwrap();
        assert_eq!((info.state, info.record), (TaskState::Archived, None));
    }
}

#[tokio::test]
async fn nonsense_in_any_column_of_a_task_stops_no_other_task() {
    for column in [
        "id",
        "position",
        "pending_since",
        "process_at",
        "lease_token",
        "lease_until",
        "retries",
        "last_error",
        "last_failed_at",
        "completed_at",
        "state",
    ] {
        for nonsense in ["NULL", "x'ff00'", "'text'", "-9223372036854775808", "9223372036854775807", "1e300"]
        {
            let file = QueueFile::new();
            let broker = filled(&file, 3).await;
            without_rules(&file, &format!("UPDATE task SET {column} = {nonsense} WHERE seq = 2"));

            let mut ids = Vec::new();
            for _ in 0..3 {
                let dequeued = broker.dequeue(&queue(), 10, Duration::ZERO).await.unwrap();
                ids.extend(dequeued.tasks.into_iter().map(|task| task.lease.id));
            }
            ids.retain(|id| ["t0", "t2"].contains(&&**id));
            ids.sort();
            assert_eq!(ids, ["t0", "t2"], "{column} {nonsense}");

            broker.tidy(&queue(), 10).await.unwrap();
            let recovered = broker.recover(&queue(), 10).await.unwrap();
            assert!(recovered.requeued.contains(&"t0".to_owned()), "{column} {nonsense}");
            broker.forward(&queue(), 10).await.unwrap();
            for state in TaskState::ALL {
                broker.list(&queue(), state, 0, 10).await.unwrap();
            }
            broker.stats(&queue()).await.unwrap();
            broker.enqueue(&queue(), &[task("new", vec![1])]).await.unwrap();
            assert!(broker.find(&queue(), "new").await.unwrap().is_some(), "{column} {nonsense}");
            drop(broker);
            SqliteBroker::open(file.path()).unwrap();
        }
    }
}

#[tokio::test]
async fn rows_larger_than_any_record_are_corrupt_and_never_loaded() {
    let file = QueueFile::new();
    let broker = filled(&file, 4).await;
    let intruder = file.intruder();
    intruder.execute_batch("UPDATE record SET envelope = zeroblob(18 << 20) WHERE seq = 1").unwrap();
    intruder.execute_batch("UPDATE record SET envelope = zeroblob(300 << 20) WHERE seq = 2").unwrap();
    intruder.execute_batch("UPDATE record SET type = hex(zeroblob(9 << 20)) WHERE seq = 3").unwrap();

    let dequeued = broker.dequeue(&queue(), 10, LONG).await.unwrap();

    assert_eq!(dequeued.tasks.len(), 1);
    let corrupt: Vec<_> =
        dequeued.corrupt.iter().map(|corrupt| (&*corrupt.id, corrupt.bytes.len())).collect();
    assert_eq!(corrupt, [("t0", 0), ("t1", 0), ("t2", 50)]);
    let archived = broker.list(&queue(), TaskState::Archived, 0, 10).await.unwrap();
    assert!(archived.iter().all(|info| info.record.is_none()));
    // Archived without truncation.
    let length: i64 = intruder
        .query_row("SELECT octet_length(envelope) FROM record WHERE seq = 2", [], |row| row.get(0))
        .unwrap();
    assert_eq!(length, 300 << 20);
}

#[tokio::test]
async fn large_tasks_are_listed_and_handed_out_a_few_at_a_time() {
    let file = QueueFile::new();
    let broker = SqliteBroker::open(file.path()).unwrap();
    for number in 0..6 {
        broker.enqueue(&queue(), &[task(&format!("t{number}"), vec![1; 16 << 20])]).await.unwrap();
    }

    let page = broker.list(&queue(), TaskState::Pending, 0, 100).await.unwrap();
    let rest = broker.list(&queue(), TaskState::Pending, page.len(), 100).await.unwrap();
    assert_eq!((page.len(), rest.len()), (4, 2));

    let first = broker.dequeue(&queue(), 100, LONG).await.unwrap().tasks.len();
    let second = broker.dequeue(&queue(), 100, LONG).await.unwrap().tasks.len();

    assert_eq!((first, second), (4, 2));
}

#[tokio::test]
async fn a_record_that_could_not_be_read_back_is_refused_and_nothing_stored() {
    let file = QueueFile::new();
    let broker = SqliteBroker::open(file.path()).unwrap();
    let other_queue = TaskRecord { queue: "other".into(), ..task("a", vec![]).record };
    let refused = [
        task("a", vec![0; 18 << 20]),
        task("", vec![1]),
        task(&"x".repeat(1025), vec![1]),
        NewTask::now(other_queue),
    ];

    for refused in refused {
        let answer = broker.enqueue(&queue(), &[task("good", vec![1]), refused]).await;
        assert!(matches!(answer, Err(BrokerError::Refused(_))));
    }

    assert_eq!(broker.stats(&queue()).await.unwrap(), QueueStats::default());
}

#[tokio::test]
async fn changed_counters_are_corrected() {
    let file = QueueFile::new();
    let broker = filled(&file, 5).await;
    file.intruder()
        .execute_batch("UPDATE queue SET pending = -3, archived = 99; DELETE FROM task WHERE id = 't3'")
        .unwrap();
    assert_eq!(broker.stats(&queue()).await.unwrap().pending, 0);

    assert_eq!(broker.tidy(&queue(), 10).await.unwrap(), Tidied::default());

    let stats = broker.stats(&queue()).await.unwrap();
    assert_eq!((stats.pending, stats.archived), (4, 0));
}

#[tokio::test]
async fn counters_at_the_limits_of_an_integer_stop_no_task() {
    for end in [i64::MIN, i64::MAX] {
        let file = QueueFile::new();
        let broker = filled(&file, 1001).await;
        let all = "pending = ?1, active = ?1, completed = ?1, enqueued = ?1, processed = ?1, failed = ?1";
        file.intruder().execute(&format!("UPDATE queue SET {all}"), [end]).unwrap();

        broker.enqueue(&queue(), &[task("new", vec![7; 50])]).await.unwrap();
        let lease = broker.dequeue(&queue(), 1, LONG).await.unwrap().tasks.remove(0).lease;
        let settled = broker.settle(&queue(), &[(lease, Settlement::Done)]).await.unwrap();
        assert_eq!(settled, [Settled::Done]);

        broker.tidy(&queue(), 10).await.unwrap();
        let stats = broker.stats(&queue()).await.unwrap();
        assert_eq!((stats.active, stats.completed), (0, 0));
    }
}

#[tokio::test]
async fn a_reason_that_could_not_be_read_back_is_refused_and_a_longer_one_in_the_file_is_not_shown() {
    let file = QueueFile::new();
    let broker = filled(&file, 1).await;
    let lease = broker.dequeue(&queue(), 1, LONG).await.unwrap().tasks.remove(0).lease;
    let archive = |length| (lease.clone(), Settlement::Archive { reason: "x".repeat(length) });

    let refused = broker.settle(&queue(), &[archive(65537)]).await;
    assert!(matches!(refused, Err(BrokerError::Refused(_))), "{refused:?}");
    assert_eq!(broker.settle(&queue(), &[archive(65536)]).await.unwrap(), [Settled::Done]);
    let info = broker.find(&queue(), "t0").await.unwrap().unwrap();
    assert_eq!(info.last_error.map(|error| error.len()), Some(65536));

    file.intruder().execute_batch("UPDATE task SET last_error = hex(zeroblob(30 << 20))").unwrap();
    let info = broker.find(&queue(), "t0").await.unwrap().unwrap();
    assert_eq!((info.state, info.last_error), (TaskState::Archived, None));
}

#[tokio::test]
async fn a_full_file_refuses_new_tasks_and_still_hands_out_the_stored_ones() {
    let file = QueueFile::new();
    let config = SqliteConfig::default().with_max_bytes(1 << 20);
    let broker = SqliteBroker::open_with(file.path(), &config).unwrap();

    let mut stored = 0;
    let error = loop {
        let tasks: Vec<_> = (0..10).map(|n| task(&format!("t{stored}-{n}"), vec![3; 2000])).collect();
        match broker.enqueue(&queue(), &tasks).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100);
    };

    assert!(matches!(error, BrokerError::Full(_)), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(broker.stats(&queue()).await.unwrap().pending, stored * 10);
    let dequeued = broker.dequeue(&queue(), 20, LONG).await.unwrap();
    let ends: Vec<_> = dequeued.tasks.into_iter().map(|task| (task.lease, Settlement::Done)).collect();
    assert_eq!(broker.settle(&queue(), &ends).await.unwrap(), [Settled::Done; 20]);
    let tasks: Vec<_> = (0..10).map(|n| task(&format!("late-{n}"), vec![3; 2000])).collect();
    broker.enqueue(&queue(), &tasks).await.unwrap();
}

#[tokio::test]
async fn a_file_locked_by_another_process_is_unavailable_for_writing_and_open_for_reading() {
    let file = QueueFile::new();
    drop(filled(&file, 3).await);
    let config = SqliteConfig::default().with_busy_timeout(Duration::from_millis(20));
    // The broker above may still be closing the file.
    let broker = eventually(async || SqliteBroker::open_with(file.path(), &config).ok()).await;
    let other = file.intruder();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM task").unwrap();

    let answer = broker.enqueue(&queue(), &[task("a", vec![1])]).await;
    assert!(matches!(answer, Err(BrokerError::Unavailable(_))), "{answer:?}");
    assert_eq!(broker.list(&queue(), TaskState::Pending, 0, 10).await.unwrap().len(), 3);

    other.execute_batch("ROLLBACK").unwrap();
    broker.enqueue(&queue(), &[task("a", vec![1])]).await.unwrap();
}

#[tokio::test]
async fn a_file_whose_tables_vanish_is_corrupt_and_answers_errors() {
    let file = QueueFile::new();
    let broker = filled(&file, 3).await;
    file.intruder().execute_batch("DROP TABLE task").unwrap();

    assert!(matches!(broker.dequeue(&queue(), 1, LONG).await, Err(BrokerError::Corrupt(_))));
    assert!(matches!(broker.enqueue(&queue(), &[task("a", vec![1])]).await, Err(BrokerError::Corrupt(_))));
    broker.wait(&[queue()], Duration::from_millis(5)).await;
    drop(broker);
    assert!(matches!(SqliteBroker::open(file.path()), Err(BrokerError::Corrupt(_))));
}

#[tokio::test]
async fn a_file_overwritten_with_noise_causes_no_panic() {
    for seed in 0..24_u64 {
        let file = QueueFile::new();
        drop(filled(&file, 200).await);
        Connection::open(file.path())
            .unwrap()
            .pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))
            .unwrap();
        let mut bytes = std::fs::read(file.path()).unwrap();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        // The header stays, so that the file is opened; every page gets its share of noise.
        for _ in 0..bytes.len() / 500 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = 100 + usize::try_from(state >> 20).unwrap() % (bytes.len() - 100);
            bytes[at] = u8::try_from(state & 0xff).unwrap();
        }
        std::fs::write(file.path(), bytes).unwrap();

        let Ok(broker) = SqliteBroker::open(file.path()) else { continue };
        let _ = broker.enqueue(&queue(), &[task("a", vec![1])]).await;
        if let Ok(dequeued) = broker.dequeue(&queue(), 300, Duration::ZERO).await {
            let ends: Vec<_> =
                dequeued.tasks.into_iter().map(|task| (task.lease, Settlement::Requeue)).collect();
            let _ = broker.settle(&queue(), &ends).await;
        }
        let _ = broker.recover(&queue(), 300).await;
        let _ = broker.tidy(&queue(), 300).await;
        for state in TaskState::ALL {
            let _ = broker.list(&queue(), state, 0, 300).await;
        }
        // The threads behind the handle are alive: the answer is one of the file, not that of a dead thread.
        if let Err(error) = broker.stats(&queue()).await {
            assert!(matches!(error, BrokerError::Corrupt(_)), "{error:?}");
        }
    }
}

#[tokio::test]
async fn lease_that_ends_in_years_counts_as_none() {
    let file = QueueFile::new();
    let broker = filled(&file, 1).await;
    broker.dequeue(&queue(), 1, LONG).await.unwrap();
    assert_eq!(broker.tidy(&queue(), 10).await.unwrap().repaired, 0);
    file.intruder().execute_batch("UPDATE task SET lease_until = 4000000000000").unwrap();

    assert_eq!(broker.tidy(&queue(), 10).await.unwrap().repaired, 1);
    assert_eq!(broker.recover(&queue(), 10).await.unwrap().requeued, ["t0"]);
}

#[tokio::test]
async fn record_above_the_limit_is_archived_and_not_returned() {
    let file = QueueFile::new();
    let broker = SqliteBroker::open(file.path()).unwrap();
    broker.enqueue(&queue(), &[task("large", vec![7; 100_000]), task("good", vec![7; 50])]).await.unwrap();

    let limits = DequeueLimits::tasks(10).with_task_bytes(50_000);
    let dequeued = broker.dequeue_within(&queue(), limits, LONG).await.unwrap();

    assert_eq!(dequeued.tasks.len(), 1);
    assert_eq!(dequeued.corrupt, [Corrupt { id: "large".into(), bytes: Vec::new(), is_too_large: true }]);
}

#[tokio::test]
async fn dequeue_takes_no_more_bytes_than_asked_for_and_at_least_one_task() {
    let file = QueueFile::new();
    let broker = filled(&file, 10).await;

    for (bytes, count) in [(1, 1), (100, 2), (149, 2), (1000, 5)] {
        let limits = DequeueLimits::tasks(10).with_total_bytes(bytes);
        let tasks = broker.dequeue_within(&queue(), limits, LONG).await.unwrap().tasks;
        assert_eq!(tasks.len(), count, "{bytes}");
    }
}

#[tokio::test]
async fn time_of_zero_counts_as_unknown_and_does_not_age() {
    let file = QueueFile::new();
    let broker = filled(&file, 2).await;
    let ids = ["t0".to_owned(), "t1".to_owned()];
    broker.operate(&queue(), &ids[..1], Operation::Archive).await.unwrap();
    let zero = "UPDATE task SET archived_at = 0, last_failed_at = 0, completed_at = 0, pending_since = 0";
    file.intruder().execute_batch(zero).unwrap();

    assert_eq!(broker.tidy(&queue(), 10).await.unwrap().trimmed, 0);

    let info = broker.find(&queue(), "t0").await.unwrap().unwrap();
    assert_eq!((info.at, info.last_failed_at, info.completed_at), (None, None, None));
    assert_eq!(broker.list(&queue(), TaskState::Archived, 0, 10).await.unwrap()[0].at, None);
    assert_eq!(broker.stats(&queue()).await.unwrap().oldest_pending, None);
}
