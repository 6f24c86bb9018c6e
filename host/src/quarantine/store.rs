//! The quarantine in a SQLite file, shared by the workers and the command line of one host.

use std::path::Path;

use rusqlite::{OptionalExtension, Row, params};

use super::groups::{GroupKey, Groups};
use super::hold::hold;
use super::statements::{COUNTS, EVICTED, FIND, LIST, REMOVE, SCHEMA};
use super::usage::unsigned;
use super::{
    Disposition, Entry, EntryId, Filter, HoldOutcome, Limits, NewEntry, StateError, StateKind, Usage,
};
use crate::state::StateFile;
use crate::time::UnixMillis;

/// Refused tasks in one SQLite file. Any number of processes may have it open.
///
/// Calls block: async code calls them in `spawn_blocking`. Each is atomic and on disk before it returns.
#[derive(Debug)]
pub struct Quarantine {
    file: StateFile,
    limits: Limits,
}

impl Quarantine {
    /// Opens the quarantine at `path`, or creates it. The limits apply to the calls of this handle.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StateError> {
        let file = StateFile::open(StateKind::Quarantine, path, &SCHEMA, true)?;
        Ok(Self { file, limits })
    }

    /// Stores refused tasks.
    ///
    /// A task that was refused before, with the same queue, id, code and payload digest, is counted and not stored again:
    /// its payload stays, detail and disposition become the newest.
    ///
    /// If a limit is reached, the oldest entries with the most frequent code and sender are evicted. Tasks whose sender is
    /// not proven may use half of the quarantine and evict only one another.
    ///
    /// # Errors
    /// [`StateError`]; nothing was stored.
    pub fn hold(&self, entries: &[NewEntry]) -> Result<HoldOutcome, StateError> {
        self.file.write(|transaction| {
            let mut groups = Groups::read(transaction)?;
            let held: rusqlite::Result<Vec<_>> =
                entries.iter().map(|entry| hold(transaction, entry, &self.limits, &mut groups)).collect();
            groups.write(transaction)?;
            Ok(HoldOutcome { held: held?, evicted: groups.evicted() })
        })
    }

    /// Returns up to `limit` entries after the first `offset`, oldest first, without their payloads.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn list(&self, filter: &Filter, offset: usize, limit: usize) -> Result<Vec<Entry>, StateError> {
        let page = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let queue = filter.queue.as_ref().map(|queue| queue.as_str());
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(LIST)?;
            let rows =
                statement.query_map(params![filter.code, queue, page(limit), page(offset)], read_entry)?;
            rows.collect()
        })
    }

    /// Returns one entry and its payload.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn find(&self, id: EntryId) -> Result<Option<(Entry, Vec<u8>)>, StateError> {
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(FIND)?;
            statement.query_row([id.0], |row| Ok((read_entry(row)?, row.get(15)?))).optional()
        })
    }

    /// Returns the number of entries of each code, in order of code.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn counts(&self) -> Result<Vec<(String, u64)>, StateError> {
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(COUNTS)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
            rows.collect()
        })
    }

    /// Returns the number of evicted entries of each code that has any, in order of code.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn evicted(&self) -> Result<Vec<(String, u64)>, StateError> {
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(EVICTED)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
            rows.collect()
        })
    }

    /// Returns how much is stored.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn usage(&self) -> Result<Usage, StateError> {
        self.file.read(Usage::read)
    }

    /// Removes entries for good. Returns which of them existed. Of two callers that remove the same entry only one gets
    /// true.
    ///
    /// # Errors
    /// [`StateError`]; nothing was removed.
    pub fn remove(&self, ids: &[EntryId]) -> Result<Vec<bool>, StateError> {
        self.file.write(|transaction| {
            let mut groups = Groups::read(transaction)?;
            let mut statement = transaction.prepare_cached(REMOVE)?;
            let mut removed = Vec::with_capacity(ids.len());
            for id in ids {
                let group = |row: &Row<'_>| {
                    let key = GroupKey { code: row.get(1)?, sender: row.get(2)? };
                    Ok((key, unsigned(row.get(0)?)))
                };
                let found = statement.query_row([id.0], group).optional()?;
                if let Some((key, size)) = &found {
                    groups.subtract(key, *size);
                }
                removed.push(found.is_some());
            }
            groups.write(transaction)?;
            Ok(removed)
        })
    }
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: EntryId(row.get(0)?),
        queue: row.get(1)?,
        task_id: row.get(2)?,
        code: row.get(3)?,
        detail: row.get(4)?,
        kid: row.get(5)?,
        kid_known: row.get(6)?,
        unverified_type: row.get(7)?,
        unverified_issuer: row.get(8)?,
        digest: row.get(9)?,
        // The table allows no word that cannot be parsed.
        disposition: Disposition::parse(row.get_ref(10)?.as_str()?).unwrap_or(Disposition::Held),
        count: unsigned(row.get(11)?),
        first_seen_at: UnixMillis(row.get(12)?),
        last_seen_at: UnixMillis(row.get(13)?),
        payload_len: unsigned(row.get(14)?),
    })
}
