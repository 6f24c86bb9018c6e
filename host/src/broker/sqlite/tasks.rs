//! Changing the rows of tasks.

use rusqlite::{Connection, ErrorCode, ToSql, params};

use super::record::is_too_big;
use super::schema;
use crate::sqlite::read_rows;

/// Deletes a task, its record and its result.
pub(super) fn delete(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM task WHERE seq = ?1 AND octet_length(id) <= 1024";
    if connection.prepare_cached(sql)?.execute([seq])? == 0 {
        repair(connection, seq)?;
        connection.prepare_cached(sql)?.execute([seq])?;
    }
    connection.prepare_cached("DELETE FROM record WHERE seq = ?1")?.execute([seq])?;
    connection.prepare_cached("DELETE FROM result WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

/// Archives a task without changing its record.
pub(super) fn archive(connection: &Connection, seq: i64, now: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE task SET state = 'archived', archived_at = ?2, position = NULL, pending_since = NULL,
               lease_token = NULL, lease_until = NULL WHERE seq = ?1";
    change(connection, seq, sql, params![seq, now])
}

/// Executes `sql` on task `seq`.
///
/// A row with a value of the wrong type in another column cannot be updated: the rules of the table forbid it. One with a
/// value that is too long cannot be copied. Such a row is repaired first, so that it does not fail the other tasks of its
/// batch, in this call and in every later one.
pub(super) fn change(
    connection: &Connection,
    seq: i64,
    sql: &str,
    params: &[&dyn ToSql],
) -> rusqlite::Result<()> {
    match connection.prepare_cached(sql)?.execute(params) {
        Err(error) if is_forbidden(&error) || is_too_big(&error) => {
            repair(connection, seq)?;
            connection.prepare_cached(sql)?.execute(params).map(drop)
        }
        done => done.map(drop),
    }
}

/// Returns whether a rule of the table forbids the change.
fn is_forbidden(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Replaces values of the wrong type and those that are too long: times and texts by none, an id by the number of the row.
pub(super) fn repair(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    if has_huge_id(connection, seq)? {
        return repair_all_ids(connection, seq);
    }
    match connection.prepare_cached(REPAIR)?.execute(params![seq, false]) {
        // Another task has the number as its id.
        Err(error) if is_forbidden(&error) => {
            connection.prepare_cached(REPAIR)?.execute(params![seq, true]).map(drop)
        }
        done => done.map(drop),
    }
}

/// Returns whether the id is so long that this connection may refuse to copy it.
fn has_huge_id(connection: &Connection, seq: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM task WHERE seq = ?1 AND octet_length(id) > 1 << 20")?
        .exists([seq])
}

/// Repairs the task, and replaces every id that is too long. A change of an id reads it to find its entry in the index, and
/// the entries of other indexes may be gone before that fails: so there is no index of the ids meanwhile.
fn repair_all_ids(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection.execute_batch("DROP INDEX task_id")?;
    let mut seqs = {
        let mut statement = connection.prepare("SELECT seq FROM task WHERE octet_length(id) > 1024")?;
        read_rows(statement.query([])?, |row| row.get::<_, i64>(0))?
    };
    seqs.push(seq);
    for seq in seqs {
        connection.prepare(REPAIR)?.execute(params![seq, true])?;
    }
    connection.execute_batch(schema::ID_INDEX)
}

/// `?2`: whether the new id has a random part, so that no other task has it.
const REPAIR: &str = "UPDATE task SET
    id = CASE WHEN typeof(id) = 'text' AND octet_length(id) BETWEEN 1 AND 1024 THEN id
        ELSE 'seq ' || seq || CASE WHEN ?2 THEN ' ' || lower(hex(randomblob(8))) ELSE '' END END,
    position = CASE typeof(position) WHEN 'integer' THEN position END,
    pending_since = CASE typeof(pending_since) WHEN 'integer' THEN pending_since END,
    process_at = CASE typeof(process_at) WHEN 'integer' THEN process_at END,
    lease_token = CASE WHEN typeof(lease_token) = 'text' AND octet_length(lease_token) <= 64 THEN lease_token END,
    lease_until = CASE typeof(lease_until) WHEN 'integer' THEN lease_until END,
    archived_at = CASE typeof(archived_at) WHEN 'integer' THEN archived_at END,
    expires_at = CASE typeof(expires_at) WHEN 'integer' THEN expires_at END,
    retries = CASE typeof(retries) WHEN 'integer' THEN retries ELSE 0 END,
    last_error = CASE WHEN typeof(last_error) = 'text' AND octet_length(last_error) <= 65536 THEN last_error END,
    last_failed_at = CASE typeof(last_failed_at) WHEN 'integer' THEN last_failed_at END,
    completed_at = CASE typeof(completed_at) WHEN 'integer' THEN completed_at END
    WHERE seq = ?1";

/// Returns the first column of a query by queue, time and limit.
pub(super) fn select(
    connection: &Connection,
    sql: &str,
    queue: &str,
    until: i64,
    limit: i64,
) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(sql)?;
    read_rows(statement.query(params![queue, until, limit])?, |row| row.get(0))
}
