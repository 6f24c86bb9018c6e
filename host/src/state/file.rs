//! One connection to a state file, shared by the threads of a process.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{StateError, StateKind};
use crate::lock::lock;
use crate::sqlite::{self, Location, Schema, Settings};

/// One connection to a state file. Any number of processes may have the file open.
#[derive(Debug)]
pub(crate) struct StateFile {
    kind: StateKind,
    connection: Mutex<Connection>,
    location: Location,
}

/// Number of pages in the log of a state file after which it is folded in: the folder may be a small volume.
const LOG_PAGES: u32 = 128;

impl StateFile {
    /// Opens the file at `path`. If it is missing and `create`, it is created with mode 0600.
    pub(crate) fn open(
        kind: StateKind,
        path: &Path,
        schema: &Schema,
        create: bool,
    ) -> Result<Self, StateError> {
        let settings = Settings { create, log_pages: LOG_PAGES, ..Settings::default() };
        let opening = |error| StateError::opening(kind, error);
        let connection = sqlite::open(path, schema, &settings).map_err(opening)?;
        let location = Location::of(path)
            .map_err(|source| opening(sqlite::OpenError::Io { path: path.into(), source }))?;
        Ok(Self { kind, connection: Mutex::new(connection), location })
    }

    /// Runs `work` outside a transaction, once the file is open.
    pub(crate) fn configure<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        work(&mut self.connection()).map_err(|error| StateError::using(self.kind, error))
    }

    /// Runs `work` on one snapshot of the file.
    pub(crate) fn read<T>(
        &self,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        self.in_transaction(TransactionBehavior::Deferred, |transaction| work(transaction))
    }

    /// Runs `work` in one transaction that holds the file's only write lock from its first statement, so that what it
    /// reads cannot change before it writes. When this returns, the changes are on disk. If the disk is full, the log is folded
    /// in and `work` runs once more.
    pub(crate) fn write<T>(
        &self,
        work: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        self.in_transaction(TransactionBehavior::Immediate, work)
    }

    /// Locks the connection. A thread that panicked in a transaction rolled it back, so the connection is valid.
    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.connection)
    }

    /// Fails if the file is no longer at its path.
    fn check_location(&self) -> Result<(), StateError> {
        let moved = |error| StateError::Moved { kind: self.kind, source: Box::new(error) };
        self.location.check().map_err(moved)
    }

    fn in_transaction<T>(
        &self,
        behavior: TransactionBehavior,
        mut work: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let mut answer = None;
        self.commit(behavior, &mut |transaction| {
            answer = Some(work(transaction)?);
            Ok(())
        })?;
        Ok(answer.expect("work that succeeded has an answer"))
    }

    fn commit(
        &self,
        behavior: TransactionBehavior,
        work: &mut dyn FnMut(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StateError> {
        self.check_location()?;
        let mut connection = self.connection();
        let mut whole = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(behavior)?;
            work(&transaction)?;
            transaction.commit()
        };
        let mut outcome = whole(&mut connection);
        if outcome.as_ref().is_err_and(sqlite::is_full) {
            sqlite::fold_in_log(&connection);
            outcome = whole(&mut connection);
        }
        outcome.map_err(|error| StateError::using(self.kind, error))?;
        // What was committed to a file without a name is lost: the caller must not act on it.
        self.check_location()
    }
}
