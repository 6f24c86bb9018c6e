//! A producer that does not seal: it writes messages of asynq into Redis, byte by byte, without a line of this project's broker.

use redis::{Commands, Connection, pipe};

/// Time that a completed task is kept, in seconds.
const RETENTION: u64 = 3600;

/// Stores a task that is pending now, with this body.
pub(crate) fn store(redis: &mut Connection, id: &str, task_type: &str, payload: &[u8]) {
    store_message(redis, id, &message(id, task_type, payload));
}

/// Stores a message that is pending now.
pub(crate) fn store_message(redis: &mut Connection, id: &str, message: &[u8]) {
    pipe()
        .atomic()
        .sadd("asynq:queues", "default")
        .hset_multiple(task_key(id), &[("msg", message), ("state", b"pending"), ("pending_since", b"1")])
        .lpush("asynq:{default}:pending", id)
        .exec(redis)
        .unwrap();
}

/// Returns the stored message of a task.
pub(crate) fn stored_message(redis: &mut Connection, id: &str) -> Option<Vec<u8>> {
    redis.hget(task_key(id), "msg").unwrap()
}

/// Returns the state of a task, and its result.
pub(crate) fn state(redis: &mut Connection, id: &str) -> (Option<String>, Option<Vec<u8>>) {
    redis.hmget(task_key(id), &["state", "result"]).unwrap()
}

/// Deletes a task that has ended, so that its id is free.
pub(crate) fn forget(redis: &mut Connection, id: &str) {
    let mut forget = pipe();
    forget.atomic().del(task_key(id));
    for set in ["completed", "archived"] {
        forget.zrem(format!("asynq:{{default}}:{set}"), id);
    }
    forget.exec(redis).unwrap();
}

fn task_key(id: &str) -> String {
    format!("asynq:{{default}}:t:{id}")
}

/// Returns `asynq.TaskMessage` in the encoding of protocol buffers.
pub(crate) fn message(id: &str, task_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for (field, bytes) in [(1, task_type.as_bytes()), (2, payload), (3, id.as_bytes()), (4, b"default")] {
        message.push(field << 3 | 2);
        varint(&mut message, bytes.len() as u64);
        message.extend_from_slice(bytes);
    }
    // Number of retries, time limit in seconds, retention in seconds.
    for (field, number) in [(5, 3), (8, 600), (12, RETENTION)] {
        message.push(field << 3);
        varint(&mut message, number);
    }
    message
}

fn varint(message: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        message.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    message.push((number & 0x7f) as u8);
}
