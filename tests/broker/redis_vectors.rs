//! The snapshots of Redis that asynq wrote, and comparisons with them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests to clippy only inside a test"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use taskseal::broker::redis::asynq::{Message, NewMessage};
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::{Attribute, NewTask, TaskInfo, TaskRecord};
use taskseal::queue::QueueName;
use taskseal::time::UnixMillis;
use taskseal_tests::redis::RedisServer;
use taskseal_tests::snapshot::{self, Content, Snapshot};

pub(crate) fn broker(server: &RedisServer) -> RedisBroker {
    RedisBroker::connect(&RedisConfig::new(server.url())).unwrap()
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::parse(name).unwrap()
}

pub(crate) fn now(message: Message) -> NewMessage {
    NewMessage::now(message)
}

pub(crate) fn record(id: &str) -> NewTask {
    NewTask::now(TaskRecord { id: id.to_owned(), ..TaskRecord::default() })
}

pub(crate) fn vector(name: &str) -> Snapshot {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/asynq");
    snapshot::from_file(&folder.join(format!("{name}.json")))
}

pub(crate) fn message(snapshot: &Snapshot, queue: &str, id: &str) -> Message {
    let Content::Hash(fields) = &snapshot[&format!("asynq:{{{queue}}}:t:{id}")].content else { panic!() };
    Message::decode(&fields["msg"]).unwrap()
}

/// Asserts that everything in a message is shown but its headers.
pub(crate) fn assert_shows(info: &TaskInfo, message: &Message) {
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
pub(crate) fn assert_same_layout(ours: &Snapshot, theirs: &Snapshot) {
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
pub(crate) fn civil(mut days: i64) -> String {
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
