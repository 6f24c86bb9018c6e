//! The whole content of a Redis, as data: read from a server, read from a vector file, written to a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use redis::{Connection, cmd};
use serde_json::Value;

/// Keys and what they hold.
pub type Snapshot = BTreeMap<String, Entry>;

/// One key.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whether the key expires.
    pub expires: bool,
    /// What it holds.
    pub content: Content,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A string.
    Text(Vec<u8>),
    /// A list, head first.
    List(Vec<String>),
    /// A set.
    Set(BTreeSet<String>),
    /// A sorted set.
    Scores(BTreeMap<Vec<u8>, f64>),
    /// A hash.
    Hash(BTreeMap<String, Vec<u8>>),
}

/// Reads a vector file.
///
/// # Panics
/// If the file is not as expected.
#[must_use]
pub fn from_file(path: &Path) -> Snapshot {
    let text = fs::read_to_string(path).expect("the vector file can be read");
    let file: Value = serde_json::from_str(&text).expect("the vector file is JSON");
    let keys = file.get("keys").and_then(Value::as_array).expect("keys");
    keys.iter()
        .map(|key| {
            let content = match key["type"].as_str().expect("type") {
                "string" => Content::Text(bytes(&key["value"])),
                "list" => Content::List(items(&key["items"]).map(text_of).collect()),
                "set" => Content::Set(items(&key["members"]).map(text_of).collect()),
                "zset" => Content::Scores(
                    items(&key["members"])
                        .map(|pair| (bytes(&pair[0]), pair[1].as_f64().expect("score")))
                        .collect(),
                ),
                "hash" => Content::Hash(
                    key["fields"]
                        .as_object()
                        .expect("fields")
                        .iter()
                        .map(|(field, value)| (field.clone(), bytes(value)))
                        .collect(),
                ),
                other => panic!("type {other}"),
            };
            let expires = key["ttl_s"].as_i64().expect("ttl_s") >= 0;
            (key["key"].as_str().expect("key").to_owned(), Entry { expires, content })
        })
        .collect()
}

/// Reads a server.
///
/// # Panics
/// If the server cannot be read.
#[must_use]
pub fn of_server(raw: &mut Connection) -> Snapshot {
    let keys: Vec<String> = cmd("KEYS").arg("*").query(raw).expect("KEYS");
    keys.into_iter()
        .map(|key| {
            let kind: String = cmd("TYPE").arg(&key).query(raw).expect("TYPE");
            let content = match kind.as_str() {
                "string" => Content::Text(cmd("GET").arg(&key).query(raw).expect("GET")),
                "list" => Content::List(cmd("LRANGE").arg(&key).arg(0).arg(-1).query(raw).expect("LRANGE")),
                "set" => Content::Set(cmd("SMEMBERS").arg(&key).query(raw).expect("SMEMBERS")),
                "zset" => Content::Scores(
                    cmd("ZRANGE")
                        .arg(&key)
                        .arg(0)
                        .arg(-1)
                        .arg("WITHSCORES")
                        .query::<Vec<(Vec<u8>, f64)>>(raw)
                        .expect("ZRANGE")
                        .into_iter()
                        .collect(),
                ),
                "hash" => Content::Hash(cmd("HGETALL").arg(&key).query(raw).expect("HGETALL")),
                other => panic!("{key} is a {other}"),
            };
            let ttl: i64 = cmd("TTL").arg(&key).query(raw).expect("TTL");
            (key, Entry { expires: ttl >= 0, content })
        })
        .collect()
}

/// Writes everything to a server; what expires gets an hour.
///
/// # Panics
/// If the server cannot be written to.
pub fn restore(raw: &mut Connection, snapshot: &Snapshot) {
    for (key, entry) in snapshot {
        let mut write = match &entry.content {
            Content::Text(text) => with(cmd("SET"), key, |write| {
                write.arg(text.as_slice());
            }),
            Content::List(items) => with(cmd("RPUSH"), key, |write| {
                write.arg(items);
            }),
            Content::Set(members) => with(cmd("SADD"), key, |write| {
                write.arg(members);
            }),
            Content::Scores(members) => with(cmd("ZADD"), key, |write| {
                for (member, score) in members {
                    write.arg(*score).arg(member.as_slice());
                }
            }),
            Content::Hash(fields) => with(cmd("HSET"), key, |write| {
                for (field, value) in fields {
                    write.arg(field).arg(value.as_slice());
                }
            }),
        };
        write.exec(raw).expect("the key can be written");
        if entry.expires {
            write = cmd("EXPIRE");
            write.arg(key).arg(3600).exec(raw).expect("EXPIRE");
        }
    }
}

fn with(mut write: redis::Cmd, key: &str, values: impl FnOnce(&mut redis::Cmd)) -> redis::Cmd {
    write.arg(key);
    values(&mut write);
    write
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("an array").iter()
}

fn text_of(value: &Value) -> String {
    String::from_utf8(bytes(value)).expect("UTF-8")
}

fn bytes(value: &Value) -> Vec<u8> {
    if let Some(text) = value["utf8"].as_str() {
        return text.as_bytes().to_vec();
    }
    let hex = value["hex"].as_str().expect("utf8 or hex");
    let digit = |at: usize| u8::from_str_radix(hex.get(at..at + 2).expect("whole bytes"), 16).expect("hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}
