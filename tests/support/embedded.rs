//! A private queue file, and an attacker's access to it.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};
use taskseal::broker::sqlite::{SqliteBroker, SqliteConfig};
use taskseal::broker::{ArchiveLimits, Broker};
use taskseal::queue::QueueName;
use tempfile::TempDir;

use crate::conformance::Store;

/// A queue file in a private folder, deleted when dropped.
#[derive(Debug)]
pub struct QueueFile {
    folder: TempDir,
}

impl QueueFile {
    /// A file that does not exist yet.
    #[must_use]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("queue.db")
    }

    /// Opens a connection that ignores the constraints of the file.
    #[must_use]
    pub fn intruder(&self) -> Connection {
        intruder(&self.path())
    }
}

impl Default for QueueFile {
    fn default() -> Self {
        Self::new()
    }
}

fn intruder(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
    connection
}

#[async_trait]
impl Store for QueueFile {
    async fn open_with(&self, archive: ArchiveLimits) -> Arc<dyn Broker> {
        let config = SqliteConfig::default().with_archive_limits(archive);
        Arc::new(SqliteBroker::open_with(self.path(), &config).unwrap())
    }

    async fn damage(&self, queue: &QueueName, id: &str, bytes: &[u8]) {
        let changed = self.intruder().execute(
            "UPDATE record SET envelope = ?3, max_retries = 1 << 40
             WHERE seq = (SELECT seq FROM task WHERE queue = ?1 AND id = ?2)",
            params![queue.as_str(), id, bytes],
        );
        assert_eq!(changed, Ok(1));
    }

    async fn lose(&self, queue: &QueueName, id: &str) {
        let changed = self.intruder().execute(
            "DELETE FROM record WHERE seq = (SELECT seq FROM task WHERE queue = ?1 AND id = ?2)",
            params![queue.as_str(), id],
        );
        assert_eq!(changed, Ok(1));
    }

    async fn lose_lease(&self, queue: &QueueName, id: &str) {
        let changed = self.intruder().execute(
            "UPDATE task SET lease_until = NULL WHERE queue = ?1 AND id = ?2 AND state = 'active'",
            params![queue.as_str(), id],
        );
        assert_eq!(changed, Ok(1));
    }
}
