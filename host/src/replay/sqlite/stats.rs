//! Counting what is recorded.

use rusqlite::Connection;

use super::statements::{COUNTS, IDENTITY};
use crate::replay::LedgerStats;
use crate::time::UnixMillis;

/// Reads the counts. In one transaction, they are those of one moment.
pub(super) fn read(reader: &Connection) -> rusqlite::Result<LedgerStats> {
    let mut stats = reader.prepare_cached(IDENTITY)?.query_row([], |row| {
        Ok(LedgerStats {
            id: row.get(0)?,
            created_at: UnixMillis(row.get(1)?),
            floor: UnixMillis(row.get(2)?),
            ..LedgerStats::default()
        })
    })?;
    let mut statement = reader.prepare_cached(COUNTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
        match row.get_ref(0)?.as_str()? {
            "claimed" => stats.locked = count,
            "waiting" => stats.waiting = count,
            "finished" => stats.finished = count,
            _ => stats.done = count,
        }
    }
    Ok(stats)
}
