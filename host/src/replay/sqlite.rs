//! The ledger in a SQLite file, shared by the workers of one host.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};

use crate::replay::decision::{Entry, State, Verdict, judge};
use crate::replay::statements::{
    COUNTS, EXTEND, FIND, FINISH, FIRST_RUN, FLOOR, FORGET, GIVE_BACK, IDENTITY, INSERT_IDENTITY, LOSE,
    OUTCOME, RAISE_FLOOR, RELEASE, RUN_AGAIN, SCHEMA, SETTLED,
};
use crate::replay::{
    Decision, Ledger, LedgerError, LedgerStats, MAX_OUTCOME_LEN, OUTCOME_MARGIN, ReplayQuery, SWEEP_MARGIN,
    TaskKey,
};
use crate::sqlite::{self, Settings};
use crate::time::UnixMillis;

/// A [`Ledger`] in one SQLite file.
///
/// Any number of processes may have the file open; claims race safely. The file belongs on a local disk (not
/// on a network mount) in a folder that only the workers can write to: who can write it can undo it.
///
/// A missing file is made, since a host's first start must need no extra step. That a file is gone which was
/// there before is for the operator to notice: a new one answers true to [`is_new`](Self::is_new) and has
/// another [`LedgerStats::id`], and a worker logs both. Where a ledger must never be made in passing, open it
/// with [`open_existing`](Self::open_existing).
#[derive(Debug)]
pub struct SqliteLedger {
    pub(super) writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    is_new: bool,
}

impl SqliteLedger {
    /// Opens the ledger at `path`; makes it if there is none.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] or [`LedgerError::Unusable`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let open = || sqlite::open(path, &SCHEMA, &Settings::default()).map_err(LedgerError::opening);
        let mut writer = open()?;
        writer.busy_handler(Some(wait_for_lock)).map_err(LedgerError::using)?;
        let is_new = insert_identity(&writer).map_err(LedgerError::using)?;
        let reader = open()?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader), is_new })
    }

    /// Opens the ledger at `path`, which must be there.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`] if there is no file, else as [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Self, LedgerError> {
        match std::fs::metadata(path) {
            Ok(_) => Self::open(path),
            Err(error) => Err(LedgerError::Unusable(Box::new(error))),
        }
    }

    /// Whether this handle made the ledger: nothing that happened before is known.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Runs `work` in one transaction that holds the file's only write lock from its first statement, so
    /// that what it reads cannot change before it writes.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, LedgerError> {
        let mut writer = lock(&self.writer);
        let whole = || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        };
        whole().map_err(LedgerError::using)
    }

    /// Carries out one statement for each key and answers which of them changed a row.
    fn change_each(&self, sql: &str, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, LedgerError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(sql)?;
            keys.iter()
                .map(|key| Ok(statement.execute(params![key.issuer, key.task_id, owner])? > 0))
                .collect()
        })
    }
}

impl Ledger for SqliteLedger {
    fn acquire(
        &self,
        owner: &str,
        now: UnixMillis,
        until: UnixMillis,
        queries: &[ReplayQuery],
    ) -> Result<Vec<Decision>, LedgerError> {
        if until <= now {
            return Err(LedgerError::ClaimAlreadyOver);
        }
        self.write(|transaction| {
            let floor =
                transaction.prepare_cached(FLOOR)?.query_row([], |row| Ok(UnixMillis(row.get(0)?)))?;
            let mut statements = AcquireStatements::prepare(transaction)?;
            queries.iter().map(|query| statements.acquire(owner, now, until, floor, query)).collect()
        })
    }

    fn extend(&self, owner: &str, keys: &[TaskKey], until: UnixMillis) -> Result<Vec<bool>, LedgerError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(EXTEND)?;
            keys.iter()
                .map(|key| Ok(statement.execute(params![key.issuer, key.task_id, owner, until.0])? > 0))
                .collect()
        })
    }

    fn finish(&self, owner: &str, outcomes: &[(TaskKey, Vec<u8>)]) -> Result<Vec<bool>, LedgerError> {
        if let Some((_, outcome)) = outcomes.iter().find(|(_, outcome)| outcome.len() > MAX_OUTCOME_LEN) {
            return Err(LedgerError::OutcomeTooLong { length: outcome.len() });
        }
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(FINISH)?;
            outcomes
                .iter()
                .map(|(key, outcome)| {
                    Ok(statement.execute(params![key.issuer, key.task_id, owner, outcome])? > 0)
                })
                .collect()
        })
    }

    fn settled(&self, keys: &[TaskKey]) -> Result<Vec<bool>, LedgerError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(SETTLED)?;
            keys.iter().map(|key| Ok(statement.execute(params![key.issuer, key.task_id])? > 0)).collect()
        })
    }

    fn release(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, LedgerError> {
        self.change_each(RELEASE, owner, keys)
    }

    fn give_back(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, LedgerError> {
        self.change_each(GIVE_BACK, owner, keys)
    }

    fn sweep(&self, now: UnixMillis, limit: usize) -> Result<usize, LedgerError> {
        let margin = UnixMillis(0).plus(SWEEP_MARGIN).0;
        let before = now.0.saturating_sub(margin);
        let outcomes_before = now.0.saturating_sub(UnixMillis(0).plus(OUTCOME_MARGIN).0);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.write(|transaction| {
            let (mut forgotten, mut latest) = (0, None);
            {
                let mut statement = transaction.prepare_cached(FORGET)?;
                let mut rows = statement.query(params![before, now.0, outcomes_before, limit])?;
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

    fn stats(&self) -> Result<LedgerStats, LedgerError> {
        read_stats(&mut lock(&self.reader)).map_err(LedgerError::using)
    }
}

/// The statements of [`Ledger::acquire`], prepared once for a batch.
struct AcquireStatements<'conn> {
    find: CachedStatement<'conn>,
    outcome: CachedStatement<'conn>,
    first_run: CachedStatement<'conn>,
    run_again: CachedStatement<'conn>,
    lose: CachedStatement<'conn>,
}

impl<'conn> AcquireStatements<'conn> {
    fn prepare(transaction: &'conn Transaction<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            find: transaction.prepare_cached(FIND)?,
            outcome: transaction.prepare_cached(OUTCOME)?,
            first_run: transaction.prepare_cached(FIRST_RUN)?,
            run_again: transaction.prepare_cached(RUN_AGAIN)?,
            lose: transaction.prepare_cached(LOSE)?,
        })
    }

    fn acquire(
        &mut self,
        owner: &str,
        now: UnixMillis,
        until: UnixMillis,
        floor: UnixMillis,
        query: &ReplayQuery,
    ) -> Result<Decision, rusqlite::Error> {
        let ReplayQuery { issuer, task_id, digest, .. } = query;
        let found = self.find.query_row(params![issuer, task_id], read_entry).optional()?;
        let (rowid, entry) = found.unzip();
        Ok(match judge(entry, query, now, floor) {
            Verdict::Run { attempts, crashes, expires_at } => {
                if rowid.is_some() {
                    let row = params![rowid, owner, until.0, attempts, crashes, expires_at.0];
                    self.run_again.execute(row)?;
                } else {
                    let row = params![issuer, task_id, digest, owner, until.0, now.0, expires_at.0];
                    self.first_run.execute(row)?;
                }
                match attempts {
                    1 => Decision::FirstRun,
                    attempt => Decision::Redelivery { attempt },
                }
            }
            Verdict::Settle => {
                Decision::Finished { outcome: self.outcome.query_row([rowid], |row| row.get(0))? }
            }
            Verdict::InProgress { until } => Decision::InProgress { until },
            Verdict::Refuse(reason) => Decision::Refused(reason),
            Verdict::Lost { crashes, reason } => {
                self.lose.execute(params![rowid, crashes])?;
                Decision::Refused(reason)
            }
        })
    }
}

fn read_entry(row: &Row<'_>) -> Result<(i64, Entry), rusqlite::Error> {
    let state = match row.get_ref(2)?.as_str()? {
        "claimed" => State::Claimed { until: UnixMillis(row.get(3)?) },
        "waiting" => State::Waiting,
        "finished" => State::Finished,
        // The table allows no other word.
        _ => State::Done,
    };
    let entry = Entry {
        digest: row.get(1)?,
        state,
        attempts: row.get(4)?,
        crashes: row.get(5)?,
        expires_at: UnixMillis(row.get(6)?),
        first_seen_at: UnixMillis(row.get(7)?),
    };
    Ok((row.get(0)?, entry))
}

/// Reads in one transaction, so that the counts belong together.
fn read_stats(reader: &mut Connection) -> Result<LedgerStats, rusqlite::Error> {
    let transaction = reader.transaction()?;
    let mut stats = transaction.prepare_cached(IDENTITY)?.query_row([], |row| {
        Ok(LedgerStats {
            id: row.get(0)?,
            created_at: UnixMillis(row.get(1)?),
            floor: UnixMillis(row.get(2)?),
            ..LedgerStats::default()
        })
    })?;
    let mut statement = transaction.prepare_cached(COUNTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
        match row.get_ref(0)?.as_str()? {
            "claimed" => stats.claimed = count,
            "waiting" => stats.waiting = count,
            "finished" => stats.finished = count,
            _ => stats.done = count,
        }
    }
    Ok(stats)
}

/// Gives a file without identity one; answers whether it had none.
fn insert_identity(writer: &Connection) -> Result<bool, rusqlite::Error> {
    let made = writer.execute(INSERT_IDENTITY, [UnixMillis::now().0])?;
    Ok(made > 0)
}

/// Waits for another process to commit: a millisecond at a time, for five seconds and a bit.
///
/// SQLite's own waits grow to 100 ms. Against a process that takes the lock again within microseconds, they
/// hit a gap so seldom that a worker could starve.
fn wait_for_lock(waits: i32) -> bool {
    thread::sleep(Duration::from_millis(1));
    waits < 5000
}

/// A thread that panicked in a transaction left it to be rolled back, so the connection is sound.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
