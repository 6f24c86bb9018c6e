//! The quarantine in a SQLite file, shared by the workers and the command line of one host.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::quarantine::{
    Disposition, Entry, EntryId, Filter, Held, Limits, MAX_PAYLOAD_LEN, MAX_TASK_ID_LEN, MAX_TEXT_LEN,
    NewEntry, QuarantineError, Usage,
};
use crate::sqlite::{self, Schema, Settings};
use crate::time::UnixMillis;

/// Refused tasks in one SQLite file. Any number of processes may have it open.
///
/// Calls block: from async code they go through `spawn_blocking`. What a call changed is on disk before it
/// returns, all of it or nothing.
#[derive(Debug)]
pub struct Quarantine {
    connection: Mutex<Connection>,
    limits: Limits,
}

impl Quarantine {
    /// Opens the quarantine at `path`; makes it if there is none. The limits hold for this handle's calls.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn open(path: &Path, limits: Limits) -> Result<Self, QuarantineError> {
        let connection =
            sqlite::open(path, &SCHEMA, &Settings::default()).map_err(QuarantineError::opening)?;
        connection.execute(INIT_USAGE, []).map_err(QuarantineError::using)?;
        Ok(Self { connection: Mutex::new(connection), limits })
    }

    /// Keeps refused tasks. The answers stand in the order of `entries`.
    ///
    /// A task that comes again from the same queue with the same id, code and payload is counted, not stored
    /// again: its first payload stays, detail and disposition become the newest. That needs no room, so it
    /// works in a full quarantine too.
    ///
    /// # Errors
    /// [`QuarantineError`]; nothing was kept.
    pub fn hold(&self, entries: &[NewEntry]) -> Result<Vec<Held>, QuarantineError> {
        self.write(|transaction| {
            let mut usage = read_usage(transaction)?;
            let held: Result<Vec<_>, _> =
                entries.iter().map(|entry| hold(transaction, entry, &self.limits, &mut usage)).collect();
            write_usage(transaction, usage)?;
            held
        })
    }

    /// Up to `limit` entries after the first `offset`, oldest first, without their payloads.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn list(&self, filter: &Filter, offset: usize, limit: usize) -> Result<Vec<Entry>, QuarantineError> {
        let page = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let queue = filter.queue.as_ref().map(|queue| queue.as_str());
        self.read(|connection| {
            let mut statement = connection.prepare_cached(LIST)?;
            let rows =
                statement.query_map(params![filter.code, queue, page(limit), page(offset)], read_entry)?;
            rows.collect()
        })
    }

    /// One entry and its payload.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn find(&self, id: EntryId) -> Result<Option<(Entry, Vec<u8>)>, QuarantineError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(FIND)?;
            statement.query_row([id.0], |row| Ok((read_entry(row)?, row.get(15)?))).optional()
        })
    }

    /// How many entries there are of each code, in order of code.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn counts(&self) -> Result<Vec<(String, u64)>, QuarantineError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(COUNTS)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
            rows.collect()
        })
    }

    /// How full it is.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub fn usage(&self) -> Result<Usage, QuarantineError> {
        self.read(read_usage)
    }

    /// Removes entries for good; answers which of them were there. Of two callers that remove the same entry,
    /// to release it, only one is told that it was there.
    ///
    /// # Errors
    /// [`QuarantineError`]; nothing was removed.
    pub fn remove(&self, ids: &[EntryId]) -> Result<Vec<bool>, QuarantineError> {
        self.write(|transaction| {
            let mut usage = read_usage(transaction)?;
            let mut statement = transaction.prepare_cached(REMOVE)?;
            let mut removed = Vec::with_capacity(ids.len());
            for id in ids {
                let size = statement.query_row([id.0], |row| row.get::<_, i64>(0)).optional()?;
                if let Some(size) = size {
                    usage.entries = usage.entries.saturating_sub(1);
                    usage.bytes = usage.bytes.saturating_sub(unsigned(size));
                }
                removed.push(size.is_some());
            }
            write_usage(transaction, usage)?;
            Ok(removed)
        })
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, QuarantineError> {
        work(&self.lock()).map_err(QuarantineError::using)
    }

    /// Runs `work` in one transaction that holds the file's only write lock from its first statement.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, QuarantineError> {
        let mut connection = self.lock();
        let whole = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        };
        whole().map_err(QuarantineError::using)
    }

    /// A thread that panicked in a transaction left it to be rolled back, so the connection is sound.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hold(
    transaction: &Transaction<'_>,
    entry: &NewEntry,
    limits: &Limits,
    usage: &mut Usage,
) -> Result<Held, rusqlite::Error> {
    if entry.payload.len() > MAX_PAYLOAD_LEN || entry.task_id.len() > MAX_TASK_ID_LEN {
        return Ok(Held::TooLong);
    }
    let (code, detail) = (shorten(&entry.code), shorten(&entry.detail));
    let (queue, disposition) = (entry.queue.as_str(), entry.disposition.as_str());
    let seen = params![
        queue,
        entry.task_id,
        code,
        entry.digest,
        detail,
        entry.kid_known,
        disposition,
        entry.seen_at.0
    ];
    let again = transaction
        .prepare_cached(COUNT_AGAIN)?
        .query_row(seen, |row| Ok(Held::Again { id: EntryId(row.get(0)?), count: unsigned(row.get(1)?) }));
    if let Some(again) = again.optional()? {
        return Ok(again);
    }

    let task_type = entry.unverified_type.as_deref().map(shorten);
    let issuer = entry.unverified_issuer.as_deref().map(shorten);
    let texts = [queue, &entry.task_id, code, detail, task_type.unwrap_or(""), issuer.unwrap_or("")];
    let size = texts.iter().map(|text| text.len()).sum::<usize>().saturating_add(entry.payload.len());
    let size = u64::try_from(size).unwrap_or(u64::MAX);
    let bytes = usage.bytes.saturating_add(size);
    if usage.entries >= limits.entries || bytes > limits.bytes {
        return Ok(Held::Full);
    }
    transaction.prepare_cached(INSERT)?.execute(params![
        queue,
        entry.task_id,
        code,
        detail,
        entry.kid,
        entry.kid_known,
        task_type,
        issuer,
        entry.digest,
        disposition,
        entry.seen_at.0,
        i64::try_from(entry.payload.len()).unwrap_or(i64::MAX),
        i64::try_from(size).unwrap_or(i64::MAX),
        &*entry.payload
    ])?;
    *usage = Usage { entries: usage.entries.saturating_add(1), bytes };
    Ok(Held::New { id: EntryId(transaction.last_insert_rowid()) })
}

/// The longest beginning that fits and ends at a character.
fn shorten(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_LEN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

fn read_usage(connection: &Connection) -> Result<Usage, rusqlite::Error> {
    connection
        .prepare_cached(USAGE)?
        .query_row([], |row| Ok(Usage { entries: unsigned(row.get(0)?), bytes: unsigned(row.get(1)?) }))
}

fn write_usage(transaction: &Transaction<'_>, usage: Usage) -> Result<(), rusqlite::Error> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    transaction.prepare_cached(SET_USAGE)?.execute([signed(usage.entries), signed(usage.bytes)])?;
    Ok(())
}

fn read_entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
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

/// Counts and sizes are never negative in the file.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

const SCHEMA: Schema = Schema {
    kind: "quarantine",
    application_id: 0x7453_7174, // "tSqt"
    version: 2,
    sql: "
        CREATE TABLE usage (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            entries INTEGER NOT NULL CHECK (entries >= 0),
            bytes INTEGER NOT NULL CHECK (bytes >= 0)
        ) STRICT;
        CREATE TABLE entry (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            queue TEXT NOT NULL,
            task_id TEXT NOT NULL,
            code TEXT NOT NULL,
            detail TEXT NOT NULL,
            kid BLOB CHECK (length(kid) = 8),
            kid_known INTEGER NOT NULL,
            unverified_type TEXT,
            unverified_issuer TEXT,
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            disposition TEXT NOT NULL CHECK (disposition IN ('held', 'archived', 'rescheduled')),
            count INTEGER NOT NULL,
            first_seen_at INTEGER NOT NULL,
            last_seen_at INTEGER NOT NULL,
            payload_len INTEGER NOT NULL,
            size INTEGER NOT NULL,
            payload BLOB NOT NULL,
            UNIQUE (queue, task_id, code, digest)
        ) STRICT;
        CREATE INDEX entry_by_code ON entry (code);
    ",
};

const INIT_USAGE: &str = "INSERT INTO usage (only, entries, bytes) VALUES (1, 0, 0) ON CONFLICT DO NOTHING";
const USAGE: &str = "SELECT entries, bytes FROM usage";
const SET_USAGE: &str = "UPDATE usage SET entries = ?1, bytes = ?2";

const COUNT_AGAIN: &str = "
    UPDATE entry SET count = count + 1, detail = ?5, kid_known = ?6, disposition = ?7,
        last_seen_at = max(last_seen_at, ?8)
    WHERE queue = ?1 AND task_id = ?2 AND code = ?3 AND digest = ?4
    RETURNING id, count";
const INSERT: &str = "
    INSERT INTO entry (queue, task_id, code, detail, kid, kid_known, unverified_type, unverified_issuer,
        digest, disposition, count, first_seen_at, last_seen_at, payload_len, size, payload)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, ?11, ?12, ?13, ?14)";
const LIST: &str = "
    SELECT id, queue, task_id, code, detail, kid, kid_known, unverified_type, unverified_issuer, digest,
        disposition, count, first_seen_at, last_seen_at, payload_len
    FROM entry WHERE (?1 IS NULL OR code = ?1) AND (?2 IS NULL OR queue = ?2)
    ORDER BY id LIMIT ?3 OFFSET ?4";
const FIND: &str = "
    SELECT id, queue, task_id, code, detail, kid, kid_known, unverified_type, unverified_issuer, digest,
        disposition, count, first_seen_at, last_seen_at, payload_len, payload
    FROM entry WHERE id = ?1";
const COUNTS: &str = "SELECT code, count(*) FROM entry GROUP BY code ORDER BY code";
const REMOVE: &str = "DELETE FROM entry WHERE id = ?1 RETURNING size";
