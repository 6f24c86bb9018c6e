//! Messages in rows: written by us, and read back with distrust.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use crate::broker::redis::asynq::Message;

/// The largest message, and the largest result, in bytes. A row above it is corrupt.
pub(super) const MAX_BYTES: usize = 17 * 1024 * 1024;

/// The longest text of headers in bytes. Short headers take ten times their text in memory.
const MAX_HEADERS: usize = 1024 * 1024;

/// The longest task id in bytes.
pub(super) const MAX_ID: usize = 1024;

/// What stands in the row of a message.
pub(super) enum Stored {
    Message(Box<Message>),
    /// Something that cannot be a message, and its payload as far as it can be had.
    Corrupt(Vec<u8>),
    Gone,
}

/// Stores the message of task `seq`, in place of the one there if any, with the result it ended in.
pub(super) fn store(
    connection: &Connection,
    seq: i64,
    message: &Message,
    result: Option<&[u8]>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO message (seq, type, retry, retried, error_msg, timeout, deadline, unique_key,
             last_failed_at, retention, completed_at, group_key, headers, payload, result)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            seq,
            message.task_type,
            message.retry,
            message.retried,
            message.error_msg,
            message.timeout,
            message.deadline,
            message.unique_key,
            message.last_failed_at,
            message.retention,
            message.completed_at,
            message.group_key,
            headers_text(&message.headers),
            message.payload,
            result,
        ])?;
    Ok(())
}

/// Reads the message of task `seq`, which is called `id` and stands in `queue`, and its result.
pub(super) fn read(
    connection: &Connection,
    seq: i64,
    queue: &str,
    id: &str,
) -> rusqlite::Result<(Stored, Option<Vec<u8>>)> {
    let mut statement = connection.prepare_cached(
        "SELECT type, retry, retried, error_msg, timeout, deadline, unique_key, last_failed_at, retention,
         completed_at, group_key, headers, payload, result FROM message WHERE seq = ?1",
    )?;
    let found = statement
        .query_row([seq], |row| {
            let stored = match decode(row) {
                Some(message) => {
                    Stored::Message(Box::new(Message { queue: queue.into(), id: id.into(), ..message }))
                }
                None => Stored::Corrupt(bytes(row, 12).unwrap_or_default().to_vec()),
            };
            Ok((stored, bytes(row, 13).map(<[u8]>::to_vec)))
        })
        .optional();
    match found {
        Ok(found) => Ok(found.unwrap_or((Stored::Gone, None))),
        Err(error) if is_too_big(&error) => Ok((Stored::Corrupt(Vec::new()), None)),
        Err(error) => Err(error),
    }
}

/// Whether the message of task `seq` carries `payload`; `None` if there is no message.
pub(super) fn has_payload(
    connection: &Connection,
    seq: i64,
    payload: &[u8],
) -> rusqlite::Result<Option<bool>> {
    let same = connection
        .prepare_cached("SELECT payload IS ?2 FROM message WHERE seq = ?1")?
        .query_row(params![seq, payload], |row| row.get(0))
        .optional();
    match same {
        Err(error) if is_too_big(&error) => Ok(Some(false)),
        other => other,
    }
}

/// Whether task `seq` has a message.
pub(super) fn exists(connection: &Connection, seq: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM message WHERE seq = ?1")?.exists([seq])
}

/// Bytes of all texts and blobs that `message` is stored in.
pub(super) fn size_of(message: &Message) -> usize {
    let headers = headers_text(&message.headers).map_or(0, |text| text.len());
    let texts = [&message.task_type, &message.error_msg, &message.unique_key, &message.group_key];
    texts.iter().fold(message.payload.len() + headers, |sum, text| sum + text.len())
}

/// Whether `message` could be read back.
pub(super) fn fits(message: &Message) -> bool {
    size_of(message) <= MAX_BYTES
        && headers_text(&message.headers).is_none_or(|text| text.len() <= MAX_HEADERS)
}

/// A number that may be anything: what is no integer counts as 0.
pub(super) fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    Ok(row.get_ref(column)?.as_i64().unwrap_or(0))
}

/// A point in time that may be anything.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    Ok(row.get_ref(column)?.as_i64().ok())
}

/// Whether a value is longer than this connection accepts.
pub(super) fn is_too_big(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::TooBig)
}

fn decode(row: &Row<'_>) -> Option<Message> {
    let mut length = 0;
    for column in 0..13 {
        length += match row.get_ref(column).ok()? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
            _ => 0,
        };
    }
    if length > MAX_BYTES {
        return None;
    }
    let text = |column| Some(row.get_ref(column).ok()?.as_str().ok()?.to_owned());
    let number = |column| row.get_ref(column).ok()?.as_i64().ok();
    let headers = match row.get_ref(11).ok()? {
        ValueRef::Null => BTreeMap::new(),
        value => {
            let text = value.as_str().ok().filter(|text| text.len() <= MAX_HEADERS)?;
            serde_json::from_str(text).ok()?
        }
    };
    Some(Message {
        task_type: text(0)?,
        payload: row.get_ref(12).ok()?.as_blob().ok()?.to_vec(),
        id: String::new(),
        queue: String::new(),
        retry: number(1)?.try_into().ok()?,
        retried: number(2)?.try_into().ok()?,
        error_msg: text(3)?,
        timeout: number(4)?,
        deadline: number(5)?,
        unique_key: text(6)?,
        last_failed_at: number(7)?,
        retention: number(8)?,
        completed_at: number(9)?,
        group_key: text(10)?,
        headers,
    })
}

/// The bytes of a text or blob that is not too long.
fn bytes<'a>(row: &'a Row<'_>, column: usize) -> Option<&'a [u8]> {
    match row.get_ref(column).ok()? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) if bytes.len() <= MAX_BYTES => Some(bytes),
        _ => None,
    }
}

fn headers_text(headers: &BTreeMap<String, String>) -> Option<String> {
    if headers.is_empty() {
        return None;
    }
    Some(serde_json::to_string(headers).expect("a map of strings is JSON"))
}
