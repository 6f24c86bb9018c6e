//! The limits of the archive.

use rusqlite::{Connection, OptionalExtension};

use super::counters::Delta;
use super::{record, tasks};
use crate::broker::TaskState;

/// Keeps the archive within asynq's limits, so that it cannot fill the disk. What one call leaves over is deleted with the
/// next archived task.
pub(super) fn trim(
    connection: &Connection,
    queue: &str,
    now: i64,
    delta: &mut Delta,
) -> rusqlite::Result<()> {
    const MAX_TASKS: i64 = 10_000;
    const MAX_AGE_MS: i64 = 90 * 86_400_000;
    const MAX_DELETED: i64 = 500;

    let oldest = "SELECT seq FROM task WHERE queue = ?1 AND state = 'archived' AND archived_at <= ?2
                  ORDER BY archived_at, seq LIMIT ?3";
    let mut seqs = tasks::select(connection, oldest, queue, now.saturating_sub(MAX_AGE_MS), MAX_DELETED)?;
    if seqs.is_empty() {
        let counted: Option<i64> = connection
            .prepare_cached("SELECT archived FROM queue WHERE name = ?1")?
            .query_row([queue], |row| record::integer(row, 0))
            .optional()?;
        let excess = counted.unwrap_or(0).saturating_sub(MAX_TASKS);
        if excess > 0 {
            seqs = tasks::select(connection, oldest, queue, i64::MAX, excess.min(MAX_DELETED))?;
        }
    }
    for seq in seqs {
        tasks::delete(connection, seq)?;
        delta.leave(TaskState::Archived);
    }
    Ok(())
}
