//! The ledger in a SQLite file, shared by the workers of one host.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, params};
use taskseal_core::Policy;

use self::acquire::Statements;
use self::clock::LedgerClock;
pub use self::look_up::{Recorded, RecordedState};
use self::statements::{
    BEGIN, BOUNDS, EXTEND, FINISH, FORGET, FORGET_LOCKED, GIVE_BACK, INSERT_IDENTITY, LATEST, RAISE_FLOOR,
    RAISE_LATEST, RELEASE, SCHEMA, SET_LATEST, SETTLED,
};
use super::judge::Bounds;
use super::{
    Decision, Ledger, LedgerStats, MAX_OUTCOME_LEN, OUTCOME_MARGIN, ReplayQuery, SWEEP_MARGIN, StateError,
    StateKind, TaskKey,
};
use crate::sqlite;
use crate::state::StateFile;
use crate::time::UnixMillis;

mod acquire;
mod clock;
mod look_up;
pub(super) mod statements;
mod stats;

/// A [`Ledger`] in one SQLite file.
///
/// Any number of processes may have the file open. The file belongs on a local disk (not on a network mount) in a folder
/// that only the workers can write to: a process that can write to it can make a task run again.
///
/// A ledger that is lost must not be replaced unnoticed: what it had recorded could run again. A worker therefore uses
/// [`open_existing`](Self::open_existing), and an operator uses [`create`](Self::create). [`open`](Self::open) is for tests and for
/// queues without a past.
#[derive(Debug)]
pub struct SqliteLedger {
    pub(super) writer: StateFile,
    reader: StateFile,
    clock: LedgerClock,
    is_new: bool,
}

impl SqliteLedger {
    /// Opens the ledger at `path`, or creates it as one that admits tasks of any age.
    ///
    /// # Errors
    /// [`StateError::Unavailable`] or [`StateError::Unusable`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::open_or_create(path, true, UnixMillis(i64::MIN))
    }

    /// Creates the ledger at `path`. Unless `accept_older`, it refuses tasks that were issued before now, to the millisecond;
    /// tasks state their time of issue in whole seconds.
    ///
    /// # Security
    /// `accept_older` lets every task run again that a lost ledger had recorded and that has not expired.
    ///
    /// # Errors
    /// [`StateError::Exists`] if there is a file that is not empty, otherwise as [`open`](Self::open).
    pub fn create(path: &Path, accept_older: bool) -> Result<Self, StateError> {
        let exists = || StateError::Exists { kind: StateKind::Ledger, path: path.to_owned() };
        if sqlite::is_used(path) {
            return Err(exists());
        }
        let accept_from = if accept_older { UnixMillis(i64::MIN) } else { after_now() };
        let ledger = Self::open_or_create(path, true, accept_from)?;
        // Otherwise another process has created it since.
        if ledger.is_new { Ok(ledger) } else { Err(exists()) }
    }

    fn open_or_create(path: &Path, create: bool, accept_from: UnixMillis) -> Result<Self, StateError> {
        let open = || StateFile::open(StateKind::Ledger, path, &SCHEMA, create);
        let writer = open()?;
        let is_new = writer.configure(|connection| {
            connection.busy_handler(Some(wait_for_lock))?;
            insert_identity(connection, accept_from)
        })?;
        let clock = writer.write(LedgerClock::of)?;
        Ok(Self { writer, reader: open()?, clock, is_new })
    }

    /// Opens the ledger at `path`, which must exist.
    ///
    /// # Errors
    /// [`StateError::Missing`] if there is no file or an empty one, otherwise as [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Self, StateError> {
        // A file without the record of its identity is a lost ledger: it gets a new identity and admits nothing older. It may have recorded tasks
        // of issuers whose clocks are ahead, and this call does not wait, as an operator does, until they are older.
        let ahead = Duration::from_secs(Policy::MAX_SKEW.into());
        Self::open_or_create(path, false, after_now().plus(ahead))
    }

    /// Returns whether this handle created the ledger: nothing that happened before is recorded.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns the latest time by the clocks of the hosts at which the ledger was created or decided about a task, to the second.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn latest(&self) -> Result<UnixMillis, StateError> {
        self.reader.read(|reader| reader.query_row(LATEST, [], |row| Ok(UnixMillis(row.get(0)?))))
    }

    /// Forgets later times than that of the host's clock, which was ahead. What ran is still recorded.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn accept_clock(&self) -> Result<(), StateError> {
        self.writer.write(|transaction| transaction.execute(SET_LATEST, [UnixMillis::now().0]).map(drop))
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
            let bounds = transaction.prepare_cached(BOUNDS)?.query_row([], |row| {
                Ok(Bounds { floor: UnixMillis(row.get(0)?), accept_from: UnixMillis(row.get(1)?) })
            })?;
            transaction.prepare_cached(RAISE_LATEST)?.execute([UnixMillis::now().0])?;
            let mut statements = Statements::prepare(transaction)?;
            queries.iter().map(|query| statements.acquire(owner, now, until, bounds, query)).collect()
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

    fn begin(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.change_each(BEGIN, owner, keys)
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

    fn forget(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError> {
        self.change_each(FORGET_LOCKED, owner, keys)
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

/// Returns the next millisecond: what was issued at the beginning of this one may be recorded in the lost ledger.
fn after_now() -> UnixMillis {
    UnixMillis::now().plus(Duration::from_millis(1))
}

/// Gives a file without an identity one. Returns whether it had none.
fn insert_identity(writer: &Connection, accept_from: UnixMillis) -> rusqlite::Result<bool> {
    let created = writer.execute(INSERT_IDENTITY, [UnixMillis::now().0, accept_from.0])?;
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
