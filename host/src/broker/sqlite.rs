//! A broker in one SQLite file: no server to install, shared by the processes of one host, durable across power failures.
//!
//! A call that returned is on disk (`synchronous=FULL`), with one flush for all its tasks. Several processes can open the
//! same file: readers never wait, writers take turns. `sqlite3` can show the tables; a file whose tables differ from ours in
//! any way is refused.
//!
//! Lease and due times use the wall clock of this host, the only clock that all processes share and that survives a
//! restart. If it steps forward, leases expire early: a task may run twice, and the fencing token rejects the end of the
//! first run. If it steps back, leases and due times last that much longer. No task is lost.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use self::config::SqliteConfig;

use self::executor::Executor;
use super::{
    ArchiveLimits, Broker, BrokerError, DequeueLimits, Dequeued, Enqueued, Eviction, Lease, MAX_LEASE,
    NewTask, Operated, Operation, QueueDeletion, QueueStats, Recovered, Settled, Settlement, TaskInfo,
    TaskState, Tidied,
};
use crate::queue::QueueName;
use crate::sqlite::{self, Location, Settings};
use crate::time::UnixMillis;

mod archive;
mod config;
mod counters;
mod dequeue;
mod enqueue;
mod error;
mod executor;
mod inspect;
mod lease;
mod maintenance;
mod operate;
mod pending;
mod record;
mod schema;
mod settle;
mod statuses;
mod tasks;

/// How often a waiting call checks whether another process has written.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Maximum number of rows that one call reads.
const MAX_ROWS: usize = 10_000;

/// Size in bytes after which a page has no more tasks: 10 000 of them may have 160 GiB.
const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// A queue in a SQLite file.
pub struct SqliteBroker {
    path: PathBuf,
    executor: Executor,
    max_bytes: Option<u64>,
    archive: ArchiveLimits,
    /// Notifies waiting calls of this process that tasks became pending.
    pending: Notify,
}

impl SqliteBroker {
    /// Opens the queue file at `path`, or creates it with mode 0600.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the file cannot be used or is not a queue file, [`BrokerError::Corrupt`] if its tables
    /// were changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BrokerError> {
        Self::open_with(path, &SqliteConfig::default())
    }

    /// Opens the queue file at `path` with these settings, or creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, config: &SqliteConfig) -> Result<Self, BrokerError> {
        Self::open_file(path.as_ref(), config)
    }

    fn open_file(path: &Path, config: &SqliteConfig) -> Result<Self, BrokerError> {
        let settings = Settings {
            busy_timeout: config.busy_timeout,
            create: !config.existing,
            shared: true,
            ..Settings::default()
        };
        let open = || {
            let connection = sqlite::open(path, &schema::SCHEMA, &settings).map_err(error::at_open)?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok::<_, BrokerError>(connection)
        };
        let (writer, reader) = (open()?, open()?);
        reader.pragma_update(None, "query_only", true).map_err(error::before_commit)?;
        let location = Location::of(path).map_err(|error| BrokerError::Refused(error.into()))?;
        let executor = Executor::start(writer, reader, &location, &config.clock)
            .map_err(|error| BrokerError::Unavailable(error.into()))?;
        let (max_bytes, archive) = (config.max_bytes, config.archive);
        Ok(Self { path: path.into(), executor, max_bytes, archive, pending: Notify::new() })
    }

    fn notify_if(&self, tasks_became_pending: bool) {
        if tasks_became_pending {
            self.pending.notify_waiters();
        }
    }

    /// Returns whether a task of `queues` can be leased, and a number that changes when another connection writes.
    async fn look(&self, queues: &[QueueName], last: Option<i64>) -> Result<(i64, bool), BrokerError> {
        let queues = queues.to_vec();
        self.executor
            .read(move |connection, _| {
                let version = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
                if last == Some(version) {
                    return Ok((version, false));
                }
                for queue in &queues {
                    if pending::has_any(connection, queue.as_str())? {
                        return Ok((version, true));
                    }
                }
                Ok((version, false))
            })
            .await
    }
}

impl fmt::Debug for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBroker").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    async fn enqueue(&self, queue: &QueueName, tasks: &[NewTask]) -> Result<Vec<Enqueued>, BrokerError> {
        enqueue::check(queue, tasks)?;
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let (queue, tasks, max_bytes) = (queue.clone(), tasks.to_vec(), self.max_bytes);
        let answers = self
            .executor
            .write(move |connection, now| {
                enqueue::check_room(connection, max_bytes)?;
                enqueue::enqueue(connection, queue.as_str(), &tasks, now.0)
            })
            .await?;
        self.notify_if(answers.contains(&Enqueued::New));
        Ok(answers)
    }

    async fn dequeue_within(
        &self,
        queue: &QueueName,
        limits: DequeueLimits,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        let lease = lease.min(MAX_LEASE);
        if limits.tasks == 0 {
            return Ok(Dequeued::default());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| BrokerError::Unavailable(error.to_string().into()))?;
        let (queue, peeked) = (queue.clone(), queue.clone());
        self.executor
            .write_if(
                move |connection, _| pending::has_any(connection, peeked.as_str()),
                move |connection, now| {
                    dequeue::dequeue(connection, queue.as_str(), limits, now.plus(lease).0, random, now.0)
                },
            )
            .await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        ends: &[(Lease, Settlement)],
    ) -> Result<Vec<Settled>, BrokerError> {
        settle::check(ends)?;
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let requeues = ends.iter().any(|(_, settlement)| *settlement == Settlement::Requeue);
        let (queue, ends) = (queue.clone(), ends.to_vec());
        let answers = self
            .executor
            .write(move |connection, now| settle::settle(connection, queue.as_str(), &ends, now.0))
            .await?;
        self.notify_if(requeues);
        Ok(answers)
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<bool>, BrokerError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let (queue, leases) = (queue.clone(), leases.to_vec());
        self.executor
            .write(move |connection, now| {
                lease::extend(connection, queue.as_str(), &leases, now.plus(lease.min(MAX_LEASE)).0)
            })
            .await
    }

    async fn recover(&self, queue: &QueueName, limit: usize) -> Result<Recovered, BrokerError> {
        let (queue, peeked) = (queue.clone(), queue.clone());
        let recovered: Recovered = self
            .executor
            .write_if(
                move |connection, now| lease::has_expired(connection, peeked.as_str(), now.0),
                move |connection, now| lease::recover(connection, queue.as_str(), limit, now.0),
            )
            .await?;
        self.notify_if(!recovered.requeued.is_empty());
        Ok(recovered)
    }

    async fn forward(&self, queue: &QueueName, limit: usize) -> Result<usize, BrokerError> {
        let (queue, peeked) = (queue.clone(), queue.clone());
        let moved = self
            .executor
            .write_if(
                move |connection, now| maintenance::has_due(connection, peeked.as_str(), now.0),
                move |connection, now| maintenance::forward(connection, queue.as_str(), limit, now.0),
            )
            .await?;
        self.notify_if(moved > 0);
        Ok(moved)
    }

    async fn tidy(&self, queue: &QueueName, limit: usize) -> Result<Tidied, BrokerError> {
        let (queue, peeked, limits) = (queue.clone(), queue.clone(), self.archive);
        self.executor
            .write_if(
                move |connection, now| maintenance::has_untidy(connection, peeked.as_str(), limits, now.0),
                move |connection, now| maintenance::tidy(connection, queue.as_str(), limit, limits, now.0),
            )
            .await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<bool, BrokerError> {
        let queue = queue.clone();
        let changed = self
            .executor
            .write(move |connection, _| maintenance::set_paused(connection, queue.as_str(), paused))
            .await?;
        self.notify_if(changed && !paused);
        Ok(changed)
    }

    async fn publish_status(&self, process: &str, status: &[u8], keep: Duration) -> Result<(), BrokerError> {
        let (process, status) = (process.to_owned(), status.to_vec());
        self.executor
            .write(move |connection, now| {
                statuses::publish(connection, &process, &status, now.plus(keep).0, now.0)
            })
            .await
    }

    async fn statuses(&self) -> Result<Vec<Vec<u8>>, BrokerError> {
        self.executor.read(move |connection, now| statuses::list(connection, now.0)).await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.executor
            .read(|connection, _| {
                connection.query_row("SELECT 1 FROM queue LIMIT 1", [], |_| Ok(())).optional()
            })
            .await
            .map(drop)
    }

    async fn health(&self) -> Result<Eviction, BrokerError> {
        self.executor.write(|connection, _| maintenance::probe(connection)).await.map(|()| Eviction::Never)
    }

    async fn operate(
        &self,
        queue: &QueueName,
        ids: &[String],
        operation: Operation,
    ) -> Result<Vec<Operated>, BrokerError> {
        let (queue, ids) = (queue.clone(), ids.to_vec());
        let work = move |connection: &Connection, now: UnixMillis| {
            operate::operate(connection, queue.as_str(), &ids, operation, now.0)
        };
        let outcomes = self.executor.write(work).await?;
        self.notify_if(operation == Operation::Run);
        Ok(outcomes)
    }

    async fn delete_queue(&self, queue: &QueueName, with_tasks: bool) -> Result<QueueDeletion, BrokerError> {
        let queue = queue.clone();
        self.executor
            .write(move |connection, _| operate::delete_queue(connection, queue.as_str(), with_tasks))
            .await
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        self.executor.read(|connection, _| inspect::queues(connection)).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BrokerError> {
        let queue = queue.clone();
        self.executor.read(move |connection, now| inspect::stats(connection, queue.as_str(), now)).await
    }

    async fn list(
        &self,
        queue: &QueueName,
        state: TaskState,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        let queue = queue.clone();
        self.executor
            .read(move |connection, _| inspect::list(connection, queue.as_str(), state, offset, limit))
            .await
    }

    async fn find(&self, queue: &QueueName, id: &str) -> Result<Option<TaskInfo>, BrokerError> {
        let (queue, id) = (queue.clone(), id.to_owned());
        self.executor
            .read(move |connection, _| inspect::find(connection, queue.as_str(), &id))
            .await?
            .map_err(|()| BrokerError::Corrupt("a task has an unknown state".into()))
    }

    async fn wait(&self, queues: &[QueueName], timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut last = None;
        loop {
            // Registered before the check, so that no notification between the two is missed.
            let notified = self.pending.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            match self.look(queues, last).await {
                Ok((_, true)) => return,
                Ok((version, false)) => last = Some(version),
                // The caller's next call returns the error; waiting prevents a busy loop until then.
                Err(_) => return sleep_until(deadline).await,
            }
            let next = deadline.min(Instant::now() + POLL_INTERVAL);
            if timeout_at(next, notified).await.is_err() && next == deadline {
                return;
            }
        }
    }
}

/// Returns a count as SQLite takes it.
fn to_sql(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
