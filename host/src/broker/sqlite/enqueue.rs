//! Storing tasks.

use rusqlite::{Connection, OptionalExtension, params};

use super::counters::Delta;
use super::{pending, record, tasks};
use crate::broker::{BrokerError, Enqueued, NewTask, TaskRecord, TaskState};
use crate::queue::QueueName;

/// Refuses tasks that could not be read back.
pub(super) fn check(queue: &QueueName, tasks: &[NewTask]) -> Result<(), BrokerError> {
    let refused = |text: &str| Err(BrokerError::Refused(text.into()));
    for NewTask { record, .. } in tasks {
        if record.queue != queue.as_str() {
            return refused("the record names another queue");
        }
        if record.id.is_empty() || record.id.len() > record::MAX_ID {
            return refused("a task id is 1 to 1024 bytes");
        }
        if record.detached.is_some() {
            return refused("a queue file stores no detached envelopes: use Redis, or seal the body");
        }
        if record::size_of(record) > record::MAX_BYTES {
            return refused("the record is larger than 17 MiB");
        }
    }
    Ok(())
}

/// Fails like a full disk once `max_bytes` of the file are in use.
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
    let mut position = pending::back(connection, queue)?;
    let mut answers = Vec::with_capacity(tasks.len());
    for NewTask { record, not_before } in tasks {
        if let Some(known) = stored(connection, queue, record, &mut delta)? {
            answers.push(known);
            continue;
        }
        let later = not_before.filter(|at| at.0 > now);
        let state = if later.is_some() { TaskState::Scheduled } else { TaskState::Pending };
        let (place, since) = if later.is_some() { (None, None) } else { (Some(position), Some(now)) };
        connection
            .prepare_cached(
                "INSERT INTO task (queue, id, state, position, pending_since, process_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![queue, record.id, state.as_str(), place, since, later.map(|at| at.0)])?;
        record::store(connection, connection.last_insert_rowid(), record)?;
        position = position.saturating_add(i64::from(later.is_none()));
        delta.enter(state);
        delta.enqueued += 1;
        answers.push(Enqueued::New);
    }
    delta.apply(connection, queue)?;
    Ok(answers)
}

/// Returns the outcome for a record whose id is taken; `None` if the id is free.
fn stored(
    connection: &Connection,
    queue: &str,
    record: &TaskRecord,
    delta: &mut Delta,
) -> rusqlite::Result<Option<Enqueued>> {
    let known = connection
        .prepare_cached("SELECT seq, state FROM task WHERE queue = ?1 AND id = ?2")?
        .query_row(params![queue, record.id], |row| {
            Ok((row.get::<_, i64>(0)?, row.get_ref(1)?.as_str().ok().and_then(TaskState::parse)))
        })
        .optional()?;
    let Some((seq, state)) = known else { return Ok(None) };
    match record::has_envelope(connection, seq, &record.envelope)? {
        Some(true) => Ok(Some(Enqueued::AlreadyThere)),
        Some(false) => Ok(Some(Enqueued::Conflict)),
        // The rest of a task whose record is gone does not block the id.
        None => {
            tasks::delete(connection, seq)?;
            if let Some(state) = state {
                delta.leave(state);
            }
            Ok(None)
        }
    }
}
