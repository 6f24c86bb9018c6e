//! Periodic work: due tasks, expired results, the archive, active tasks without a lease, counters; and pausing.

use rusqlite::{Connection, OptionalExtension, params};

use super::counters::Delta;
use super::schema::{STATES, order_of};
use super::{MAX_ROWS, archive, pending, record, tasks, to_sql};
use crate::broker::{ArchiveLimits, MAX_LEASE, TaskState, Tidied};

/// The counter of a state with fewer tasks than this is checked against the tasks.
const RECOUNT_BELOW: i64 = 1000;

/// Returns whether a scheduled or retry task is due.
pub(super) fn has_due(connection: &Connection, queue: &str, now: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM task WHERE queue = ?1 AND state = 'scheduled' AND process_at <= ?2
             UNION ALL SELECT 1 FROM task WHERE queue = ?1 AND state = 'retry' AND process_at <= ?2 LIMIT 1",
        )?
        .exists(params![queue, now])
}

pub(super) fn forward(
    connection: &Connection,
    queue: &str,
    limit: usize,
    now: i64,
) -> rusqlite::Result<usize> {
    let mut delta = Delta::default();
    let mut moved = 0;
    let mut position = pending::back(connection, queue)?;
    let update = "UPDATE task SET state = 'pending', position = ?2, pending_since = ?3, process_at = NULL WHERE seq = ?1";
    for (state, sql) in [
        (
            TaskState::Scheduled,
            "SELECT seq FROM task WHERE queue = ?1 AND state = 'scheduled' AND process_at <= ?2
             ORDER BY process_at, seq LIMIT ?3",
        ),
        (
            TaskState::Retry,
            "SELECT seq FROM task WHERE queue = ?1 AND state = 'retry' AND process_at <= ?2
             ORDER BY process_at, seq LIMIT ?3",
        ),
    ] {
        for seq in tasks::select(connection, sql, queue, now, to_sql(limit.min(MAX_ROWS) - moved))? {
            tasks::change(connection, seq, update, params![seq, position, now])?;
            position = position.saturating_add(1);
            delta.shift(state, TaskState::Pending);
            moved += 1;
        }
    }
    delta.apply(connection, queue)?;
    Ok(moved)
}

const EXPIRED: &str = "SELECT seq FROM task WHERE queue = ?1 AND state = 'completed' AND expires_at <= ?2
                       ORDER BY expires_at, seq LIMIT ?3";

/// Without a lease, or with one that ends too late. SQLite orders every value that is not a number after all numbers, and
/// NULL before them.
const UNLEASED: &str = "SELECT seq FROM task WHERE queue = ?1 AND state = 'active'
                        AND (lease_until IS NULL OR lease_until > ?2) LIMIT ?3";

/// Returns whether [`tidy`] has anything to do.
pub(super) fn has_untidy(
    connection: &Connection,
    queue: &str,
    limits: ArchiveLimits,
    now: i64,
) -> rusqlite::Result<bool> {
    Ok(!tasks::select(connection, EXPIRED, queue, now, 1)?.is_empty()
        || !tasks::select(connection, UNLEASED, queue, latest(now), 1)?.is_empty()
        || !archive::beyond(connection, queue, limits, now, 1)?.is_empty()
        || drift(connection, queue)? != Delta::default())
}

pub(super) fn tidy(
    connection: &Connection,
    queue: &str,
    limit: usize,
    limits: ArchiveLimits,
    now: i64,
) -> rusqlite::Result<Tidied> {
    let limit = to_sql(limit.min(MAX_ROWS));
    let mut delta = Delta::default();
    let mut answer = Tidied::default();
    for seq in tasks::select(connection, EXPIRED, queue, now, limit)? {
        tasks::delete(connection, seq)?;
        delta.leave(TaskState::Completed);
        answer.expired += 1;
    }
    let repair = "UPDATE task SET lease_until = ?2 WHERE seq = ?1";
    for seq in tasks::select(connection, UNLEASED, queue, latest(now), limit)? {
        tasks::change(connection, seq, repair, params![seq, now])?;
        answer.repaired += 1;
    }
    answer.trimmed = archive::trim(connection, queue, limits, now, limit, &mut delta)?;
    delta.apply(connection, queue)?;
    drift(connection, queue)?.apply(connection, queue)?;
    Ok(answer)
}

/// Returns when a lease can end at the latest.
fn latest(now: i64) -> i64 {
    now.saturating_add(record::millis(MAX_LEASE))
}

/// Returns the error of the counters of `queue`, for states with few tasks. It is not zero if the tables were edited.
fn drift(connection: &Connection, queue: &str) -> rusqlite::Result<Delta> {
    let mut delta = Delta::default();
    for state in STATES {
        let word = state.as_str();
        let counted: i64 = connection
            .prepare_cached(&format!("SELECT {word} FROM queue WHERE name = ?1"))?
            .query_row([queue], |row| record::integer(row, 0))
            .optional()?
            .unwrap_or(0);
        let order = order_of(state);
        let found: i64 = connection
            .prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT {order} FROM task WHERE queue = ?1 AND state = '{word}' LIMIT ?2)"
            ))?
            .query_row(params![queue, RECOUNT_BELOW], |row| row.get(0))?;
        if found < RECOUNT_BELOW {
            // Clamped as in `Delta::apply`.
            let counted = counted.clamp(-1 << 62, 1 << 62);
            delta.add(state, found.saturating_sub(counted));
        }
    }
    Ok(delta)
}

pub(super) fn set_paused(connection: &Connection, queue: &str, paused: bool) -> rusqlite::Result<bool> {
    connection.prepare_cached("INSERT OR IGNORE INTO queue (name) VALUES (?1)")?.execute([queue])?;
    let changed = connection
        .prepare_cached("UPDATE queue SET paused = ?2 WHERE name = ?1 AND (paused <> 0) <> ?2")?
        .execute(params![queue, paused])?;
    Ok(changed == 1)
}

/// Writes and deletes a row in one transaction. No queue has its name.
pub(super) fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("INSERT OR IGNORE INTO queue (name) VALUES (?1)", [PROBE])?;
    connection.execute("DELETE FROM queue WHERE name = ?1", [PROBE]).map(drop)
}

const PROBE: &str = "a probe";
