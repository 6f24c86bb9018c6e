//! Changing the rows of tasks.

use rusqlite::{Connection, ErrorCode, ToSql, params};

/// Deletes a task, its record and its result.
pub(super) fn delete(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM task WHERE seq = ?1")?.execute([seq])?;
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
/// A row with a value of the wrong type in another column cannot be updated: the rules of the table forbid it. Such a row is
/// repaired first, so that it does not fail the other tasks of its batch.
pub(super) fn change(
    connection: &Connection,
    seq: i64,
    sql: &str,
    params: &[&dyn ToSql],
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    match statement.execute(params) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            repair(connection, seq)?;
            statement.execute(params)?;
        }
        done => {
            done?;
        }
    }
    Ok(())
}

/// Replaces values of the wrong type: times by none, an invalid id by the number of the row.
fn repair(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE task SET
             id = CASE WHEN typeof(id) = 'text' AND octet_length(id) BETWEEN 1 AND 1024 THEN id
                 ELSE 'seq ' || seq END,
             position = CASE typeof(position) WHEN 'integer' THEN position END,
             pending_since = CASE typeof(pending_since) WHEN 'integer' THEN pending_since END,
             process_at = CASE typeof(process_at) WHEN 'integer' THEN process_at END,
             lease_token = CASE typeof(lease_token) WHEN 'text' THEN lease_token END,
             lease_until = CASE typeof(lease_until) WHEN 'integer' THEN lease_until END,
             archived_at = CASE typeof(archived_at) WHEN 'integer' THEN archived_at END,
             expires_at = CASE typeof(expires_at) WHEN 'integer' THEN expires_at END,
             retries = CASE typeof(retries) WHEN 'integer' THEN retries ELSE 0 END,
             last_error = CASE typeof(last_error) WHEN 'text' THEN last_error END,
             last_failed_at = CASE typeof(last_failed_at) WHEN 'integer' THEN last_failed_at END,
             completed_at = CASE typeof(completed_at) WHEN 'integer' THEN completed_at END
             WHERE seq = ?1",
        )?
        .execute([seq])?;
    Ok(())
}

/// Returns the first column of a query by queue, time and limit.
pub(super) fn select(
    connection: &Connection,
    sql: &str,
    queue: &str,
    until: i64,
    limit: i64,
) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![queue, until, limit], |row| row.get(0))?;
    rows.collect()
}
