//! The ledger in a SQLite file, shared by the workers of one host.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, params};

use self::acquire::Statements;
use self::clock::LedgerClock;
use self::statements::{
    EXTEND, FINISH, FLOOR, FORGET, GIVE_BACK, INSERT_IDENTITY, RAISE_FLOOR, RELEASE, SCHEMA, SETTLED,
};
use super::{
    Decision, Ledger, LedgerStats, MAX_OUTCOME_LEN, OUTCOME_MARGIN, ReplayQuery, SWEEP_MARGIN, StateError,
    StateKind, TaskKey,
};
use crate::state::StateFile;
use crate::time::UnixMillis;

mod acquire;
mod clock;
pub(super) mod statements;
mod stats;

/// A [`Ledger`] in one SQLite file.
///
/// Any number of processes may have the file open. The file belongs on a local disk (not on a network mount) in a folder
/// that only the workers can write to: a process that can write to it can make a task run again.
///
/// A missing file is created, so that the first start of a host needs no extra step. If a file disappears, the operator has
/// to notice: [`is_new`](Self::is_new) returns true for the new one and [`LedgerStats::id`] differs, and a worker logs both.
/// Use [`open_existing`](Self::open_existing) where a ledger must not be created.
#[derive(Debug)]
pub struct SqliteLedger {
    pub(super) writer: StateFile,
    reader: StateFile,
    clock: LedgerClock,
    is_new: bool,
}

impl SqliteLedger {
    /// Opens the ledger at `path`, or creates it.
    ///
    /// # Errors
    /// [`StateError::Unavailable`] or [`StateError::Unusable`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let open = || StateFile::open(StateKind::Ledger, path, &SCHEMA, true);
        let writer = open()?;
        let is_new = writer.configure(|connection| {
            connection.busy_handler(Some(wait_for_lock))?;
            insert_identity(connection)
        })?;
        let clock = writer.write(LedgerClock::of)?;
        Ok(Self { writer, reader: open()?, clock, is_new })
    }

    /// Opens the ledger at `path`, which must exist.
    ///
    /// # Errors
    /// [`StateError::Unusable`] if there is no file, otherwise as [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Self, StateError> {
        match std::fs::metadata(path) {
            Ok(_) => Self::open(path),
            Err(error) => Err(StateError::new(StateKind::Ledger, false, Box::new(error))),
        }
    }

    /// Returns whether this handle created the ledger: nothing that happened before is recorded.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Executes one statement for each key. Returns which of them changed a row.
    fn change_each(&self, sql: &str, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.writer.write(|transaction| {
            let mut statement = transaction.prepare_cached(sql)?;
            keys.iter()
                .map(|key| Ok(statement.execute(params![key.issuer, key.task_id, owner])? > 0))
                .collect()
        })
    }
}

impl Ledger for SqliteLedger {
    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    fn acquire(
        &self,
        owner: &str,
        now: UnixMillis,
        until: UnixMillis,
        queries: &[ReplayQuery],
    ) -> Result<Vec<Decision>, StateError> {
        if until <= now {
            return Err(StateError::AlreadyExpired);
        }
        self.writer.write(|transaction| {
            let floor =
                transaction.prepare_cached(FLOOR)?.query_row([], |row| Ok(UnixMillis(row.get(0)?)))?;
            let mut statements = Statements::prepare(transaction)?;
            queries.iter().map(|query| statements.acquire(owner, now, until, floor, query)).collect()
        })
    }

    fn extend(&self, owner: &str, keys: &[TaskKey], until: UnixMillis) -> Result<Vec<bool>, StateError> {
        self.writer.write(|transaction| {
            let mut statement = transaction.prepare_cached(EXTEND)?;
            keys.iter()
                .map(|key| Ok(statement.execute(params![key.issuer, key.task_id, owner, until.0])? > 0))
                .collect()
        })
    }

    fn finish(&self, owner: &str, outcomes: &[(TaskKey, Vec<u8>)]) -> Result<Vec<bool>, StateError> {
        if let Some((_, outcome)) = outcomes.iter().find(|(_, outcome)| outcome.len() > MAX_OUTCOME_LEN) {
            return Err(StateError::OutcomeTooLong { length: outcome.len() });
        }
        self.writer.write(|transaction| {
            let mut statement = transaction.prepare_cached(FINISH)?;
            outcomes
                .iter()
                .map(|(key, outcome)| {
                    Ok(statement.execute(params![key.issuer, key.task_id, owner, outcome])? > 0)
                })
                .collect()
        })
    }

    fn settled(&self, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.writer.write(|transaction| {
            let mut statement = transaction.prepare_cached(SETTLED)?;
            keys.iter().map(|key| Ok(statement.execute(params![key.issuer, key.task_id])? > 0)).collect()
        })
    }

    fn release(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.change_each(RELEASE, owner, keys)
    }

    fn give_back(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.change_each(GIVE_BACK, owner, keys)
    }

    fn sweep(&self, now: UnixMillis, limit: usize) -> Result<usize, StateError> {
        let margin = UnixMillis(0).plus(SWEEP_MARGIN).0;
        let before = now.0.saturating_sub(margin);
        let outcomes_before = now.0.saturating_sub(UnixMillis(0).plus(OUTCOME_MARGIN).0);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.writer.write(|transaction| {
            let (mut forgotten, mut latest) = (0, None);
            {
                let mut statement = transaction.prepare_cached(FORGET)?;
                let mut rows =
                    statement.query(params![before, now.min(self.now()).0, outcomes_before, limit])?;
                while let Some(row) = rows.next()? {
                    forgotten += 1;
                    latest = latest.max(Some(row.get::<_, i64>(0)?));
                }
            }
            if let Some(latest) = latest {
                // The margin covers a tolerance for skew that was raised since: see `SWEEP_MARGIN`.
                transaction.prepare_cached(RAISE_FLOOR)?.execute([latest.saturating_add(margin)])?;
            }
            Ok(forgotten)
        })
    }

    fn stats(&self) -> Result<LedgerStats, StateError> {
        self.reader.read(stats::read)
    }
}

/// Gives a file without an identity one. Returns whether it had none.
fn insert_identity(writer: &Connection) -> rusqlite::Result<bool> {
    let created = writer.execute(INSERT_IDENTITY, [UnixMillis::now().0])?;
    Ok(created > 0)
}

/// Waits for another process to commit: 1 ms at a time, for about 5 s.
///
/// SQLite's own delays grow to 100 ms. Against a process that takes the lock again within microseconds they find it free
/// so rarely that a worker could starve.
fn wait_for_lock(waits: i32) -> bool {
    thread::sleep(Duration::from_millis(1));
    waits < 5000
}
