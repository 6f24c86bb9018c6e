//! Storing tasks.

use rusqlite::{Connection, OptionalExtension, params};

use crate::broker::redis::asynq::Message;
use crate::broker::{BrokerError, Enqueued, NewTask, TaskState};
use crate::queue::QueueName;

use super::line::{self, Delta};
use super::row;

/// Refuses what could not be read back.
pub(super) fn check(queue: &QueueName, tasks: &[NewTask]) -> Result<(), BrokerError> {
    let refused = |text: &str| Err(BrokerError::Refused(text.into()));
    for NewTask { message, .. } in tasks {
        if message.queue != queue.as_str() {
            return refused("the message names another queue");
        }
        if message.id.is_empty() || message.id.len() > row::MAX_ID {
            return refused("a task id is 1 to 1024 bytes");
        }
        check_size(message)?;
    }
    Ok(())
}

/// Refuses a message that would count as corrupt.
pub(super) fn check_size(message: &Message) -> Result<(), BrokerError> {
    if !row::fits(message) {
        let reason = "the message is larger than 17 MiB, or its headers than 1 MiB";
        return Err(BrokerError::Refused(reason.into()));
    }
    Ok(())
}

/// Fails as a full disk would once `max_bytes` of the file are in use.
pub(super) fn check_room(connection: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    let Some(max_bytes) = max_bytes else { return Ok(()) };
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let max = i64::try_from(max_bytes).unwrap_or(i64::MAX);
    let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
    if pages.saturating_mul(number("page_size")?) < max {
        return Ok(());
    }
    let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
    Err(rusqlite::Error::SqliteFailure(full, Some(format!("tasks take the {max_bytes} bytes allowed"))))
}

pub(super) fn enqueue(
    connection: &Connection,
    queue: &str,
    tasks: &[NewTask],
    now: i64,
) -> rusqlite::Result<Vec<Enqueued>> {
    let mut delta = Delta::default();
    let mut position = line::back(connection, queue)?;
    let mut answers = Vec::with_capacity(tasks.len());
    let mut find = connection.prepare_cached("SELECT seq, state FROM task WHERE queue = ?1 AND id = ?2")?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO task (queue, id, state, position, pending_since, process_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;

    for NewTask { message, process_at } in tasks {
        let known = find
            .query_row(params![queue, message.id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get_ref(1)?.as_str().ok().and_then(TaskState::parse)))
            })
            .optional()?;
        if let Some((seq, state)) = known {
            match row::has_payload(connection, seq, &message.payload)? {
                Some(true) => {
                    answers.push(Enqueued::AlreadyThere);
                    continue;
                }
                Some(false) => {
                    answers.push(Enqueued::Conflict);
                    continue;
                }
                // What is left of a task whose message is gone does not block the id.
                None => {
                    line::delete(connection, seq)?;
                    if let Some(state) = state {
                        delta.leave(state);
                    }
                }
            }
        }
        match process_at.filter(|at| at.0 > now) {
            Some(at) => {
                let state = TaskState::Scheduled;
                insert.execute(params![queue, message.id, state.as_str(), None::<i64>, None::<i64>, at.0])?;
                delta.enter(state);
            }
            None => {
                let state = TaskState::Pending;
                insert.execute(params![queue, message.id, state.as_str(), position, now, None::<i64>])?;
                position = position.saturating_add(1);
                delta.enter(state);
            }
        }
        row::store(connection, connection.last_insert_rowid(), message, None)?;
        delta.enqueued += 1;
        answers.push(Enqueued::New);
    }
    delta.apply(connection, queue)?;
    Ok(answers)
}
