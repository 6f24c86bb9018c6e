//! Records and results in rows: written by this program, and read back without trusting them.

use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use crate::broker::TaskRecord;

/// Maximum size of a record, and of a result, in bytes. A larger row is corrupt.
pub(super) const MAX_BYTES: usize = 17 * 1024 * 1024;

/// Maximum length of a task id, in bytes.
pub(super) const MAX_ID: usize = 1024;

/// The record of a task as found.
pub(super) enum Stored {
    Record(TaskRecord),
    /// A row that is not a record, and its envelope if that can be read.
    Corrupt(Vec<u8>),
    /// A row with an envelope that is longer than asked for.
    TooLarge,
    Gone,
}

/// Stores the record of task `seq`, replacing any other.
pub(super) fn store(connection: &Connection, seq: i64, record: &TaskRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO record (seq, type, max_retries, timeout_ms, retention_ms, envelope)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            seq,
            record.task_type,
            record.max_retries,
            record.timeout.map(millis),
            millis(record.retention),
            &*record.envelope,
        ])?;
    Ok(())
}

/// Reads the record of task `seq` of `queue`, whose id is `id`. A record of more than `max` bytes is corrupt and not read.
pub(super) fn read(
    connection: &Connection,
    seq: i64,
    queue: &str,
    id: &str,
    max: usize,
) -> rusqlite::Result<Stored> {
    let max = max.min(MAX_BYTES);
    let mut statement = connection.prepare_cached(
        "SELECT type, max_retries, timeout_ms, retention_ms, envelope FROM record WHERE seq = ?1",
    )?;
    let found = statement
        .query_row([seq], |row| {
            Ok(match decode(row, queue, id, max) {
                Some(record) => Stored::Record(record),
                None if is_longer(row, 4, max) => Stored::TooLarge,
                None => Stored::Corrupt(bytes(row, 4, max).unwrap_or_default().to_vec()),
            })
        })
        .optional();
    match found {
        Ok(found) => Ok(found.unwrap_or(Stored::Gone)),
        Err(error) if is_too_big(&error) => Ok(Stored::TooLarge),
        Err(error) => Err(error),
    }
}

/// Stores the result of task `seq`, replacing any other.
pub(super) fn store_result(connection: &Connection, seq: i64, result: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO result (seq, envelope) VALUES (?1, ?2)")?
        .execute(params![seq, result])?;
    Ok(())
}

/// Reads the result of task `seq`; none if there is none of at most [`MAX_BYTES`].
pub(super) fn read_result(connection: &Connection, seq: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let found = connection
        .prepare_cached("SELECT envelope FROM result WHERE seq = ?1")?
        .query_row([seq], |row| Ok(bytes(row, 0, MAX_BYTES).map(<[u8]>::to_vec)))
        .optional();
    match found {
        Err(error) if is_too_big(&error) => Ok(None),
        found => Ok(found?.flatten()),
    }
}

/// Returns whether the record of task `seq` has this envelope; `None` if there is no record.
pub(super) fn has_envelope(
    connection: &Connection,
    seq: i64,
    envelope: &[u8],
) -> rusqlite::Result<Option<bool>> {
    let same = connection
        .prepare_cached("SELECT envelope IS ?2 FROM record WHERE seq = ?1")?
        .query_row(params![seq, envelope], |row| row.get(0))
        .optional();
    match same {
        Err(error) if is_too_big(&error) => Ok(Some(false)),
        other => other,
    }
}

/// Returns whether task `seq` has a record.
pub(super) fn exists(connection: &Connection, seq: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM record WHERE seq = ?1")?.exists([seq])
}

/// Returns the size in bytes of all texts and blobs that `record` is stored in.
pub(super) fn size_of(record: &TaskRecord) -> usize {
    record.task_type.len() + record.envelope.len()
}

/// Reads an integer; any other value counts as 0.
pub(super) fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    Ok(row.get_ref(column)?.as_i64().unwrap_or(0))
}

/// Reads a point in time; 0 and any value that is not an integer count as none.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    Ok(row.get_ref(column)?.as_i64().ok().filter(|time| *time > 0))
}

/// Returns whether a value is longer than this connection accepts.
pub(super) fn is_too_big(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::TooBig)
}

/// Returns a duration in milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn decode(row: &Row<'_>, queue: &str, id: &str, max: usize) -> Option<TaskRecord> {
    let (task_type, envelope) = (row.get_ref(0).ok()?.as_str().ok()?, row.get_ref(4).ok()?.as_blob().ok()?);
    if task_type.len().saturating_add(envelope.len()) > max {
        return None;
    }
    Some(TaskRecord {
        id: id.into(),
        queue: queue.into(),
        task_type: task_type.into(),
        envelope: envelope.to_vec().into(),
        detached: None,
        max_retries: optional(row, 1)?.map(u32::try_from).transpose().ok()?,
        timeout: optional(row, 2)?.map(u64::try_from).transpose().ok()?.map(Duration::from_millis),
        retention: Duration::from_millis(optional(row, 3)??.try_into().ok()?),
    })
}

/// Reads an integer or NULL; the outer `None` is any other value.
fn optional(row: &Row<'_>, column: usize) -> Option<Option<i64>> {
    row.get_ref(column).ok()?.as_i64_or_null().ok()
}

/// Returns whether a text or blob has more than `max` bytes.
fn is_longer(row: &Row<'_>, column: usize, max: usize) -> bool {
    let value = row.get_ref(column);
    matches!(value, Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) if bytes.len() > max)
}

/// Returns the bytes of a text or blob of at most `max` bytes.
fn bytes<'a>(row: &'a Row<'_>, column: usize, max: usize) -> Option<&'a [u8]> {
    match row.get_ref(column).ok()? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) if bytes.len() <= max => Some(bytes),
        _ => None,
    }
}
