//! Extending leases, and recovering tasks of lost workers.

use rusqlite::{Connection, params};

use super::counters::Delta;
use super::{MAX_ROWS, archive, pending, record, tasks, to_sql};
use crate::broker::{Lease, MAX_CRASHES, Recovered, TaskState};

pub(super) fn extend(
    connection: &Connection,
    queue: &str,
    leases: &[Lease],
    until: i64,
) -> rusqlite::Result<Vec<bool>> {
    let mut statement = connection.prepare_cached(
        "UPDATE task SET lease_until = ?4 WHERE queue = ?1 AND id = ?2 AND state = 'active' AND lease_token = ?3",
    )?;
    leases
        .iter()
        .map(|lease| Ok(statement.execute(params![queue, lease.id, lease.token.to_hex(), until])? == 1))
        .collect()
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
    let crash = "UPDATE task SET crashes = ?2 WHERE seq = ?1";
    for (seq, id, crashes) in expired(connection, queue, limit, now)? {
        if !record::exists(connection, seq)? {
            tasks::delete(connection, seq)?;
            delta.leave(TaskState::Active);
            answer.dropped.push(id);
            continue;
        }
        let crashes = crashes.clamp(0, i64::from(u32::MAX) - 1) + 1;
        tasks::change(connection, seq, crash, params![seq, crashes])?;
        if crashes >= i64::from(MAX_CRASHES) {
            tasks::archive(connection, seq, now)?;
            delta.archive(TaskState::Active);
            answer.archived.push(id);
        } else {
            front.push(seq);
            delta.shift(TaskState::Active, TaskState::Pending);
            answer.requeued.push(id);
        }
    }
    pending::to_front(connection, queue, &front, now)?;
    if !answer.archived.is_empty() {
        archive::trim(connection, queue, now, &mut delta)?;
    }
    delta.apply(connection, queue)?;
    Ok(answer)
}

/// Returns row, id and lost workers of active tasks whose lease has expired, in order of the expiry.
fn expired(
    connection: &Connection,
    queue: &str,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<(i64, String, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, CASE WHEN octet_length(id) BETWEEN 1 AND 1024 THEN id END, crashes FROM task
         WHERE queue = ?1 AND state = 'active' AND lease_until <= ?2 ORDER BY lease_until, seq LIMIT ?3",
    )?;
    let rows = statement.query_map(params![queue, now, to_sql(limit.min(MAX_ROWS))], |row| {
        let seq = row.get(0)?;
        let id = row.get_ref(1)?.as_str().map_or_else(|_| format!("seq {seq}"), str::to_owned);
        Ok((seq, id, record::integer(row, 2)?))
    })?;
    rows.collect()
}
