//! What operators see: queues, counts, pages of tasks, one task.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::record::{self, Stored};
use super::schema::order_of;
use super::{MAX_REPLY_BYTES, MAX_ROWS, to_sql};
use crate::broker::{QueueStats, TaskInfo, TaskState};
use crate::queue::QueueName;
use crate::time::UnixMillis;

pub(super) fn queues(connection: &Connection) -> rusqlite::Result<Vec<QueueName>> {
    let mut statement = connection.prepare_cached(
        "SELECT name FROM queue WHERE enqueued > 0 AND octet_length(name) <= 64 ORDER BY name LIMIT ?1",
    )?;
    let rows = statement.query_map([to_sql(MAX_ROWS)], |row| {
        Ok(row.get_ref(0)?.as_str().ok().and_then(|name| QueueName::parse(name).ok()))
    })?;
    rows.filter_map(Result::transpose).collect()
}

pub(super) fn stats(connection: &Connection, queue: &str, now: UnixMillis) -> rusqlite::Result<QueueStats> {
    let counted = connection
        .prepare_cached(
            "SELECT pending, active, scheduled, retry, archived, completed, processed, failed, paused,
             trimmed FROM queue WHERE name = ?1",
        )?
        .query_row([queue], |row| {
            let count = |column| record::integer(row, column).map(|count| u64::try_from(count).unwrap_or(0));
            Ok(QueueStats {
                pending: count(0)?,
                active: count(1)?,
                scheduled: count(2)?,
                retry: count(3)?,
                archived: count(4)?,
                completed: count(5)?,
                aggregating: 0,
                processed: count(6)?,
                failed: count(7)?,
                paused: record::integer(row, 8)? != 0,
                trimmed: count(9)?,
                oldest_pending: None,
            })
        })
        .optional()?
        .unwrap_or_default();
    Ok(QueueStats { oldest_pending: oldest_pending(connection, queue, now)?, ..counted })
}

/// Returns how long the first pending task has waited.
fn oldest_pending(
    connection: &Connection,
    queue: &str,
    now: UnixMillis,
) -> rusqlite::Result<Option<Duration>> {
    let since = connection
        .prepare_cached(
            "SELECT pending_since FROM task WHERE queue = ?1 AND state = 'pending' ORDER BY position, seq LIMIT 1",
        )?
        .query_row([queue], |row| record::time(row, 0))
        .optional()?
        .flatten();
    Ok(since.map(|since| now.since(UnixMillis(since))))
}

/// Maximum length of the text about the last failure, in bytes.
pub(super) const MAX_ERROR: usize = 64 * 1024;

/// The columns that [`info`] reads, before the one with the time.
const COLUMNS: &str = "seq, CASE WHEN octet_length(id) <= 1024 THEN id END, retries,
    CASE WHEN octet_length(last_error) <= 65536 THEN last_error END, last_failed_at, completed_at";

pub(super) fn list(
    connection: &Connection,
    queue: &str,
    state: TaskState,
    offset: usize,
    limit: usize,
) -> rusqlite::Result<Vec<TaskInfo>> {
    let (word, order) = (state.as_str(), order_of(state));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, {order} FROM task
         WHERE queue = ?1 AND state = '{word}' ORDER BY {order}, seq LIMIT ?2 OFFSET ?3"
    ))?;
    let mut rows = statement.query(params![queue, to_sql(limit.min(MAX_ROWS)), to_sql(offset)])?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    // A page of large tasks is short; only the page past the last task is empty.
    while bytes < MAX_REPLY_BYTES {
        let Some(row) = rows.next()? else { break };
        let info = info(connection, row, queue, state)?;
        bytes += info.record.as_ref().map_or(0, record::size_of) + info.result.as_ref().map_or(0, Vec::len);
        page.push(info);
    }
    Ok(page)
}

/// Returns the task with this id; the inner error means that its state is not one of [`TaskState`].
pub(super) fn find(
    connection: &Connection,
    queue: &str,
    id: &str,
) -> rusqlite::Result<Result<Option<TaskInfo>, ()>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, CASE state WHEN 'active' THEN lease_until WHEN 'scheduled' THEN process_at
         WHEN 'retry' THEN process_at WHEN 'archived' THEN archived_at WHEN 'completed' THEN expires_at END,
         CASE WHEN octet_length(state) <= 16 THEN state END FROM task WHERE queue = ?1 AND id = ?2"
    ))?;
    statement
        .query_row(params![queue, id], |row| {
            let Some(state) = row.get_ref(7)?.as_str().ok().and_then(TaskState::parse) else {
                return Ok(Err(()));
            };
            info(connection, row, queue, state).map(|info| Ok(Some(info)))
        })
        .optional()
        .map(|found| found.unwrap_or(Ok(None)))
}

fn info(connection: &Connection, row: &Row<'_>, queue: &str, state: TaskState) -> rusqlite::Result<TaskInfo> {
    let seq: i64 = row.get(0)?;
    let id = row.get_ref(1)?.as_str().map_or_else(|_| format!("seq {seq}"), str::to_owned);
    let stored = match record::read(connection, seq, queue, &id, record::MAX_BYTES)? {
        Stored::Record(record) => Some(record),
        Stored::Corrupt(_) | Stored::TooLarge | Stored::Gone => None,
    };
    let at = if state == TaskState::Pending { None } else { record::time(row, 6)? };
    Ok(TaskInfo {
        record: stored,
        retries: u32::try_from(record::integer(row, 2)?).unwrap_or(0),
        last_error: row.get_ref(3)?.as_str().ok().map(str::to_owned),
        last_failed_at: record::time(row, 4)?.map(UnixMillis),
        completed_at: record::time(row, 5)?.map(UnixMillis),
        result: if state == TaskState::Completed { record::read_result(connection, seq)? } else { None },
        at: at.map(UnixMillis),
        ..TaskInfo::undecodable(id, state)
    })
}
