//! One connection to a state file, shared by the threads of a process.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{StateError, StateKind};
use crate::lock::lock;
use crate::sqlite::{self, Schema, Settings};

/// One connection to a state file. Any number of processes may have the file open.
#[derive(Debug)]
pub(crate) struct StateFile {
    kind: StateKind,
    connection: Mutex<Connection>,
}

impl StateFile {
    /// Opens the file at `path`, or creates it with mode 0600.
    pub(crate) fn open(kind: StateKind, path: &Path, schema: &Schema) -> Result<Self, StateError> {
        let connection = sqlite::open(path, schema, &Settings::default())
            .map_err(|error| StateError::opening(kind, error))?;
        Ok(Self { kind, connection: Mutex::new(connection) })
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
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        self.in_transaction(TransactionBehavior::Deferred, |transaction| work(transaction))
    }

    /// Runs `work` in one transaction that holds the file's only write lock from its first statement, so that what it
    /// reads cannot change before it writes. When this returns, the changes are on disk.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        self.in_transaction(TransactionBehavior::Immediate, work)
    }

    /// Locks the connection. A thread that panicked in a transaction rolled it back, so the connection is valid.
    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.connection)
    }

    fn in_transaction<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let mut connection = self.connection();
        let whole = || {
            let transaction = connection.transaction_with_behavior(behavior)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        };
        whole().map_err(|error| StateError::using(self.kind, error))
    }
}
