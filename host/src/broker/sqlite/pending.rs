//! The order of pending tasks.

use rusqlite::{Connection, OptionalExtension, params};

use super::{record, tasks, to_sql};
use crate::sqlite::read_rows;

/// Returns whether a task of `queue` can be leased.
pub(super) fn has_any(connection: &Connection, queue: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM task WHERE queue = ?1 AND state = 'pending'
             AND NOT EXISTS (SELECT 1 FROM queue WHERE name = ?1 AND paused <> 0) LIMIT 1",
        )?
        .exists([queue])
}

/// Returns pending tasks in order, without an id where the column holds none.
pub(super) fn first(
    connection: &Connection,
    queue: &str,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, Option<String>)>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, CASE WHEN octet_length(id) BETWEEN 1 AND 1024 THEN id END FROM task
         WHERE queue = ?1 AND state = 'pending' ORDER BY position, seq LIMIT ?2",
    )?;
    read_rows(statement.query(params![queue, to_sql(limit)])?, |row| {
        Ok((row.get(0)?, row.get_ref(1)?.as_str().ok().map(str::to_owned)))
    })
}

/// Returns the position behind the last pending task.
pub(super) fn back(connection: &Connection, queue: &str) -> rusqlite::Result<i64> {
    let last = edge(
        connection,
        queue,
        "SELECT position FROM task WHERE queue = ?1 AND state = 'pending' ORDER BY position DESC LIMIT 1",
    )?;
    Ok(last.saturating_add(1))
}

/// Makes tasks pending at the front; the first of `seqs` is leased next.
pub(super) fn to_front(connection: &Connection, queue: &str, seqs: &[i64], now: i64) -> rusqlite::Result<()> {
    let first = edge(
        connection,
        queue,
        "SELECT position FROM task WHERE queue = ?1 AND state = 'pending' ORDER BY position LIMIT 1",
    )?;
    let mut position = first;
    for &seq in seqs.iter().rev() {
        position = position.saturating_sub(1);
        let sql = "UPDATE task SET state = 'pending', position = ?2, pending_since = ?3, lease_token = NULL,
                   lease_until = NULL WHERE seq = ?1";
        tasks::change(connection, seq, sql, params![seq, position, now])?;
    }
    Ok(())
}

fn edge(connection: &Connection, queue: &str, sql: &str) -> rusqlite::Result<i64> {
    let found =
        connection.prepare_cached(sql)?.query_row([queue], |row| record::integer(row, 0)).optional()?;
    Ok(found.unwrap_or(0))
}
