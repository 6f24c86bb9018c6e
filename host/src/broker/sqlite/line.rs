//! The line of pending tasks, the counters beside it, and the deletion of tasks.

use rusqlite::{Connection, ErrorCode, OptionalExtension, ToSql, params};

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
        connection.prepare_cached(ADD)?.execute(params![
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

/// A counter that somebody changed may stand at the end of what an integer holds; one step further it would be no
/// integer any more, which the table refuses, and nothing could be moved.
const ADD: &str = "
    INSERT INTO queue (name, pending, active, scheduled, retry, archived, completed, enqueued, processed, failed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT (name) DO UPDATE SET
        pending = min(max(pending, -1 << 62), 1 << 62) + ?2,
        active = min(max(active, -1 << 62), 1 << 62) + ?3,
        scheduled = min(max(scheduled, -1 << 62), 1 << 62) + ?4,
        retry = min(max(retry, -1 << 62), 1 << 62) + ?5,
        archived = min(max(archived, -1 << 62), 1 << 62) + ?6,
        completed = min(max(completed, -1 << 62), 1 << 62) + ?7,
        enqueued = min(max(enqueued, -1 << 62), 1 << 62) + ?8,
        processed = min(max(processed, -1 << 62), 1 << 62) + ?9,
        failed = min(max(failed, -1 << 62), 1 << 62) + ?10";

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
    let mut position = first;
    for &seq in seqs.iter().rev() {
        position = position.saturating_sub(1);
        let sql = "UPDATE task SET state = 'pending', position = ?2, pending_since = ?3, lease_token = NULL,
                   lease_until = NULL WHERE seq = ?1";
        change(connection, seq, sql, params![seq, position, now])?;
    }
    Ok(())
}

/// Deletes a task, its record and its result.
pub(super) fn delete(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM task WHERE seq = ?1")?.execute([seq])?;
    connection.prepare_cached("DELETE FROM record WHERE seq = ?1")?.execute([seq])?;
    connection.prepare_cached("DELETE FROM result WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

/// Archives a task as it is.
pub(super) fn archive(connection: &Connection, seq: i64, now: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE task SET state = 'archived', archived_at = ?2, position = NULL, pending_since = NULL,
               lease_token = NULL, lease_until = NULL WHERE seq = ?1";
    change(connection, seq, sql, params![seq, now])
}

/// Carries out `sql` on task `seq`.
///
/// A row whose other columns somebody filled with what does not belong there can no longer be changed: the rules of
/// the table forbid it. Such a row is put right first, so that it cannot stop the others of its batch.
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

/// Replaces what does not belong in a column: times by none, a name that cannot be one by the row's number.
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
             crashes = CASE typeof(crashes) WHEN 'integer' THEN crashes ELSE 0 END,
             retries = CASE typeof(retries) WHEN 'integer' THEN retries ELSE 0 END,
             last_error = CASE typeof(last_error) WHEN 'text' THEN last_error END,
             last_failed_at = CASE typeof(last_failed_at) WHEN 'integer' THEN last_failed_at END,
             completed_at = CASE typeof(completed_at) WHEN 'integer' THEN completed_at END
             WHERE seq = ?1",
        )?
        .execute([seq])?;
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
