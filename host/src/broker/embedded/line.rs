//! The line of pending tasks, the counters beside it, and the deletion of tasks.

use rusqlite::{Connection, OptionalExtension, params};

use crate::broker::TaskState;

use super::row;

/// What a transaction adds to the counters of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    states: [i64; TaskState::ALL.len()],
    pub(super) enqueued: i64,
    pub(super) processed: i64,
    pub(super) failed: i64,
}

impl Delta {
    /// One task more in `state`.
    pub(super) fn enter(&mut self, state: TaskState) {
        self.add(state, 1);
    }

    /// One task less in `state`.
    pub(super) fn leave(&mut self, state: TaskState) {
        self.add(state, -1);
    }

    /// One task from one state to another.
    pub(super) fn shift(&mut self, from: TaskState, to: TaskState) {
        self.leave(from);
        self.enter(to);
    }

    /// `count` tasks more in `state`.
    pub(super) fn add(&mut self, state: TaskState, count: i64) {
        for (known, entry) in TaskState::ALL.into_iter().zip(&mut self.states) {
            if known == state {
                *entry += count;
            }
        }
    }

    /// One task archived by us rather than by a worker's wish: it counts as processed and failed.
    pub(super) fn archive(&mut self, from: TaskState) {
        self.shift(from, TaskState::Archived);
        self.processed += 1;
        self.failed += 1;
    }

    /// Adds all to the counters of `queue`.
    pub(super) fn apply(&self, connection: &Connection, queue: &str) -> rusqlite::Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        let [pending, active, scheduled, retry, archived, completed] = self.states;
        connection
            .prepare_cached(
                "INSERT INTO queue (name, pending, active, scheduled, retry, archived, completed, enqueued,
                 processed, failed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (name) DO UPDATE SET pending = pending + ?2, active = active + ?3,
                 scheduled = scheduled + ?4, retry = retry + ?5, archived = archived + ?6,
                 completed = completed + ?7, enqueued = enqueued + ?8, processed = processed + ?9,
                 failed = failed + ?10",
            )?
            .execute(params![
                queue,
                pending,
                active,
                scheduled,
                retry,
                archived,
                completed,
                self.enqueued,
                self.processed,
                self.failed
            ])?;
        Ok(())
    }
}

/// The positions behind the last pending task.
pub(super) fn back(connection: &Connection, queue: &str) -> rusqlite::Result<i64> {
    let last = edge(
        connection,
        queue,
        "SELECT position FROM task WHERE queue = ?1 AND state = 'pending' ORDER BY position DESC LIMIT 1",
    )?;
    Ok(last.saturating_add(1))
}

/// Makes tasks pending at the front, the first of `seqs` being the next one out.
pub(super) fn to_front(connection: &Connection, queue: &str, seqs: &[i64], now: i64) -> rusqlite::Result<()> {
    let first = edge(
        connection,
        queue,
        "SELECT position FROM task WHERE queue = ?1 AND state = 'pending' ORDER BY position LIMIT 1",
    )?;
    let mut statement = connection.prepare_cached(
        "UPDATE task SET state = 'pending', position = ?2, pending_since = ?3, lease_token = NULL,
         lease_until = NULL WHERE seq = ?1",
    )?;
    let mut position = first;
    for seq in seqs.iter().rev() {
        position = position.saturating_sub(1);
        statement.execute(params![seq, position, now])?;
    }
    Ok(())
}

/// Deletes a task and its message.
pub(super) fn delete(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM task WHERE seq = ?1")?.execute([seq])?;
    connection.prepare_cached("DELETE FROM message WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

/// Archives a task as it is.
pub(super) fn archive(connection: &Connection, seq: i64, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE task SET state = 'archived', archived_at = ?2, position = NULL, pending_since = NULL,
             lease_token = NULL, lease_until = NULL WHERE seq = ?1",
        )?
        .execute(params![seq, now])?;
    Ok(())
}

/// Keeps the archive within asynq's bounds, so that it cannot fill the disk. What a call leaves over goes with
/// the next archived task.
pub(super) fn trim_archive(
    connection: &Connection,
    queue: &str,
    now: i64,
    delta: &mut Delta,
) -> rusqlite::Result<()> {
    const MOST: i64 = 10_000;
    const OLDEST_MS: i64 = 90 * 86_400_000;
    const AT_ONCE: i64 = 500;

    let oldest = "SELECT seq FROM task WHERE queue = ?1 AND state = 'archived' AND archived_at <= ?2
                  ORDER BY archived_at, seq LIMIT ?3";
    let mut seqs = select(connection, oldest, queue, now.saturating_sub(OLDEST_MS), AT_ONCE)?;
    if seqs.is_empty() {
        let counted: Option<i64> = connection
            .prepare_cached("SELECT archived FROM queue WHERE name = ?1")?
            .query_row([queue], |row| row::integer(row, 0))
            .optional()?;
        let excess = counted.unwrap_or(0).saturating_sub(MOST);
        if excess > 0 {
            seqs = select(connection, oldest, queue, i64::MAX, excess.min(AT_ONCE))?;
        }
    }
    for seq in seqs {
        delete(connection, seq)?;
        delta.leave(TaskState::Archived);
    }
    Ok(())
}

/// The first column of a query with a queue, a time and a limit.
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

fn edge(connection: &Connection, queue: &str, sql: &str) -> rusqlite::Result<i64> {
    let found = connection.prepare_cached(sql)?.query_row([queue], |row| row::integer(row, 0)).optional()?;
    Ok(found.unwrap_or(0))
}
