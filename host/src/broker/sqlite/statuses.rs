//! The statuses of processes.

use rusqlite::{Connection, params};

use crate::broker::status::{MAX_STATUS, MAX_STATUSES};

/// Stores the status of a process until `until`, or deletes it if that is not later than `now`. Deletes those that have ended.
/// Times are Unix milliseconds.
pub(super) fn publish(
    connection: &Connection,
    process: &str,
    status: &[u8],
    until: i64,
    now: i64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO process (id, status, until) VALUES (?1, ?2, ?3)
               ON CONFLICT (id) DO UPDATE SET status = ?2, until = ?3";
    connection.prepare_cached(sql)?.execute(params![process, status, until])?;
    connection.prepare_cached("DELETE FROM process WHERE until <= ?1")?.execute([now])?;
    Ok(())
}

/// Returns the statuses that have not ended at `now`.
pub(super) fn list(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Vec<u8>>> {
    let sql = "SELECT status FROM process WHERE until > ?1 AND octet_length(status) <= ?2 LIMIT ?3";
    let most = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([now, most(MAX_STATUS), most(MAX_STATUSES)], |row| row.get(0))?;
    rows.collect()
}
