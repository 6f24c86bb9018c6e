//! Extending leases, and recovering tasks of lost workers.

use rusqlite::{Connection, OptionalExtension, params};

use super::counters::Delta;
use super::{MAX_ROWS, pending, record, tasks, to_sql};
use crate::broker::{Lease, Recovered, TaskState};
use crate::sqlite::read_rows;

pub(super) fn extend(
    connection: &Connection,
    queue: &str,
    leases: &[Lease],
    until: i64,
) -> rusqlite::Result<Vec<bool>> {
    let extend = |lease: &Lease| {
        let Some(seq) = held(connection, queue, lease)? else { return Ok(false) };
        let sql = "UPDATE task SET lease_until = ?2 WHERE seq = ?1";
        tasks::change(connection, seq, sql, params![seq, until]).map(|()| true)
    };
    leases.iter().map(extend).collect()
}

/// Returns the row of the task whose lease this is.
pub(super) fn held(connection: &Connection, queue: &str, lease: &Lease) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT seq FROM task WHERE queue = ?1 AND id = ?2 AND state = 'active' AND lease_token = ?3",
        )?
        .query_row(params![queue, lease.id, lease.token.to_hex()], |row| row.get(0))
        .optional()
}

/// Returns whether the lease of an active task has expired.
pub(super) fn has_expired(connection: &Connection, queue: &str, now: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM task WHERE queue = ?1 AND state = 'active' AND lease_until <= ?2 LIMIT 1",
        )?
        .exists(params![queue, now])
}

pub(super) fn recover(
    connection: &Connection,
    queue: &str,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Recovered> {
    let mut answer = Recovered::default();
    let mut delta = Delta::default();
    let mut front = Vec::new();
    for (seq, id) in expired(connection, queue, limit, now)? {
        if !record::exists(connection, seq)? {
            tasks::delete(connection, seq)?;
            delta.leave(TaskState::Active);
            answer.dropped.push(id);
            continue;
        }
        front.push(seq);
        delta.shift(TaskState::Active, TaskState::Pending);
        answer.requeued.push(id);
    }
    pending::to_front(connection, queue, &front, now)?;
    delta.apply(connection, queue)?;
    Ok(answer)
}

/// Returns row and id of active tasks whose lease has expired, in order of the expiry.
fn expired(
    connection: &Connection,
    queue: &str,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, CASE WHEN octet_length(id) BETWEEN 1 AND 1024 THEN id END FROM task
         WHERE queue = ?1 AND state = 'active' AND lease_until <= ?2 ORDER BY lease_until, seq LIMIT ?3",
    )?;
    read_rows(statement.query(params![queue, now, to_sql(limit.min(MAX_ROWS))])?, |row| {
        let seq = row.get(0)?;
        let id = row.get_ref(1)?.as_str().map_or_else(|_| format!("seq {seq}"), str::to_owned);
        Ok((seq, id))
    })
}
