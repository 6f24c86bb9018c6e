//! The quarantine in a SQLite file, shared by the workers and the command line of one host.

use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use sha2::{Digest, Sha256};

use super::groups::Groups;
use super::hold::{hold, remove_released};
use super::statements::{
    ANY_RELEASED, COUNTS, EVICTED, FIND, LIST, LIST_IDS, REMOVE, SCHEMA, SET_DISPOSITION,
};
use super::usage::unsigned;
use super::{
    Disposition, Entry, EntryId, Filter, HoldOutcome, Limits, NewEntry, StateError, StateKind, Usage,
};
use crate::queue::QueueName;
use crate::sqlite::read_rows;
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
        self.select(LIST, filter, offset, limit, read_entry)
    }

    /// Returns the numbers of all entries that `filter` selects, lowest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn ids(&self, filter: &Filter) -> Result<Vec<EntryId>, StateError> {
        self.select(LIST_IDS, filter, 0, usize::MAX, |row| row.get(0).map(EntryId))
    }

    fn select<T>(
        &self,
        statement: &str,
        filter: &Filter,
        offset: usize,
        limit: usize,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StateError> {
        let page = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (task_type, prefix) = match filter.task_type.as_deref() {
            Some(pattern) => {
                (pattern.strip_suffix('*').is_none().then_some(pattern), pattern.strip_suffix('*'))
            }
            None => (None, None),
        };
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(statement)?;
            let params = named_params! {
                ":code": filter.code,
                ":queue": filter.queue.as_ref().map(|queue| queue.as_str()),
                ":kid": filter.kid,
                ":issuer": filter.issuer,
                ":type": task_type,
                ":prefix": prefix,
                ":disposition": filter.disposition.map(Disposition::as_str),
                ":until": filter.seen_until.map(|at| at.0),
                ":from": filter.seen_from.map(|at| at.0),
                ":limit": page(limit),
                ":offset": page(offset),
            };
            read_rows(statement.query(params)?, &read)
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
            read_rows(statement.query([])?, |row| Ok((row.get(0)?, unsigned(row.get(1)?))))
        })
    }

    /// Returns the number of evicted entries of each code that has any, in order of code.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn evicted(&self) -> Result<Vec<(String, u64)>, StateError> {
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(EVICTED)?;
            read_rows(statement.query([])?, |row| Ok((row.get(0)?, unsigned(row.get(1)?))))
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
            let removed: rusqlite::Result<Vec<_>> =
                ids.iter().map(|id| groups.remove(transaction, REMOVE, [id.0])).collect();
            groups.write(transaction)?;
            removed
        })
    }

    /// Changes the disposition of an entry, if it is `from` or that is `None`. Returns whether it did.
    ///
    /// An entry is marked as released before its task is enqueued: [`accept`](Self::accept) finds it then.
    ///
    /// # Errors
    /// [`StateError`]; nothing was changed.
    pub fn set_disposition(
        &self,
        id: EntryId,
        from: Option<Disposition>,
        to: Disposition,
    ) -> Result<bool, StateError> {
        let params = (id.0, from.map(Disposition::as_str), to.as_str());
        self.file.write(|transaction| {
            transaction.prepare_cached(SET_DISPOSITION)?.execute(params).map(|changed| changed > 0)
        })
    }

    /// Removes the released entries of tasks of `queue` with these envelopes, which a worker has accepted. Returns their number.
    ///
    /// # Errors
    /// [`StateError`]; nothing was removed.
    pub fn accept(&self, queue: &QueueName, envelopes: &[Bytes]) -> Result<usize, StateError> {
        let any = |connection: &Connection| {
            connection.prepare_cached(ANY_RELEASED)?.query_row([], |row| row.get::<_, bool>(0))
        };
        if envelopes.is_empty() || !self.file.read(any)? {
            return Ok(0);
        }
        let digests: Vec<[u8; 32]> =
            envelopes.iter().map(|envelope| Sha256::digest(envelope).into()).collect();
        self.file.write(|transaction| {
            let mut groups = Groups::read(transaction)?;
            let mut removed = 0;
            for digest in &digests {
                removed += remove_released(transaction, &mut groups, queue.as_str(), digest, None)?;
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
