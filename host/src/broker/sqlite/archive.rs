//! The limits of the archive.

use rusqlite::{Connection, OptionalExtension};

use super::counters::Delta;
use super::{record, tasks};
use crate::broker::{ArchiveLimits, TaskState};

/// A time of 0 is none: such a task leaves the archive by the number of tasks only.
const TOO_OLD: &str = "SELECT seq FROM task WHERE queue = ?1 AND state = 'archived' AND archived_at <= ?2
                       AND archived_at > 0 ORDER BY archived_at, seq LIMIT ?3";

const OLDEST: &str = "SELECT seq FROM task WHERE queue = ?1 AND state = 'archived'
                      AND ?2 IS NOT NULL ORDER BY archived_at, seq LIMIT ?3";

/// Deletes up to `limit` tasks beyond the limits, oldest first, and counts them. Returns their number.
pub(super) fn trim(
    connection: &Connection,
    queue: &str,
    limits: ArchiveLimits,
    now: i64,
    limit: i64,
    delta: &mut Delta,
) -> rusqlite::Result<usize> {
    let seqs = beyond(connection, queue, limits, now, limit)?;
    for seq in &seqs {
        tasks::delete(connection, *seq)?;
        delta.leave(TaskState::Archived);
        delta.trimmed += 1;
    }
    Ok(seqs.len())
}

/// Returns up to `limit` tasks beyond the limits: those that are too old, or if there is none the oldest of too many.
pub(super) fn beyond(
    connection: &Connection,
    queue: &str,
    limits: ArchiveLimits,
    now: i64,
    limit: i64,
) -> rusqlite::Result<Vec<i64>> {
    let until = now.saturating_sub(record::millis(limits.age));
    let seqs = tasks::select(connection, TOO_OLD, queue, until, limit)?;
    let excess = count(connection, queue)?.saturating_sub(i64::try_from(limits.tasks).unwrap_or(i64::MAX));
    if !seqs.is_empty() || excess <= 0 {
        return Ok(seqs);
    }
    tasks::select(connection, OLDEST, queue, i64::MAX, excess.min(limit))
}

fn count(connection: &Connection, queue: &str) -> rusqlite::Result<i64> {
    let counted: Option<i64> = connection
        .prepare_cached("SELECT archived FROM queue WHERE name = ?1")?
        .query_row([queue], |row| record::integer(row, 0))
        .optional()?;
    Ok(counted.unwrap_or(0))
}
