//! A broker in one SQLite file: nothing to install, shared by the processes of one host, safe against power cuts.
//!
//! What is acknowledged is on disk (`synchronous=FULL`), one flush a call however many tasks it moves. Several
//! processes may open the same file: readers never wait, writers take turns. The tables are plain enough for
//! `sqlite3` to show them; a file whose tables are not ours to the letter is refused.
//!
//! Lease and due times are this host's wall clock, the only one that all processes share and that outlives a
//! restart. If it steps forward, leases run out early: a task may run twice, and the first worker's end is refused
//! by its fencing token. If it steps back, what is leased or due stays so for as much longer. Nothing is lost.
//!
//! Tasks have no uniqueness locks here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::queue::QueueName;
use crate::sqlite::{self, Settings};
use crate::time::UnixMillis;

use self::executor::{Clock, Executor};
use super::{
    Broker, BrokerError, Dequeued, Enqueued, Lease, NewTask, QueueStats, Recovered, Settled, Settlement,
    TaskInfo, TaskState, Tidied,
};

mod enqueue;
mod executor;
mod fault;
mod lease;
mod line;
mod row;
mod schema;
mod settle;
mod upkeep;
mod view;

/// How often a waiting call looks whether another process has written.
const POLL: Duration = Duration::from_millis(25);

/// How a queue file is used.
#[derive(Clone)]
#[non_exhaustive]
pub struct SqliteConfig {
    clock: Clock,
    busy_timeout: Duration,
    max_bytes: Option<u64>,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self { clock: Arc::new(UnixMillis::now), busy_timeout: Duration::from_secs(5), max_bytes: None }
    }
}

impl SqliteConfig {
    /// Takes the time from `clock` instead of this host's.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// How long a call waits for another process that writes, 5 s by default; after that the file is
    /// [`BrokerError::Unavailable`].
    #[must_use]
    pub fn with_busy_timeout(self, timeout: Duration) -> Self {
        Self { busy_timeout: timeout, ..self }
    }

    /// How much of the file tasks may take before it is [`BrokerError::Full`] for new ones; no bound by default.
    ///
    /// What is stored can always be handed out and settled, although that too may take some room.
    #[must_use]
    pub fn with_max_bytes(self, bytes: u64) -> Self {
        Self { max_bytes: Some(bytes), ..self }
    }
}

impl fmt::Debug for SqliteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteConfig")
            .field("busy_timeout", &self.busy_timeout)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

/// A queue in a SQLite file.
pub struct SqliteBroker {
    path: PathBuf,
    executor: Executor,
    max_bytes: Option<u64>,
    /// Tells calls of this process that tasks became pending.
    gained: Notify,
}

impl SqliteBroker {
    /// Opens the queue file at `path`, or makes it with mode 0600.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the file cannot be used or belongs to something else, [`BrokerError::Corrupt`] if
    /// its tables were changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BrokerError> {
        Self::open_with(path, &SqliteConfig::default())
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, config: &SqliteConfig) -> Result<Self, BrokerError> {
        let path = path.as_ref();
        let settings = Settings { busy_timeout: config.busy_timeout, ..Settings::default() };
        let open = || {
            let connection = sqlite::open(path, &schema::SCHEMA, &settings).map_err(fault::at_open)?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok::<_, BrokerError>(connection)
        };
        let (writer, reader) = (open()?, open()?);
        reader.pragma_update(None, "query_only", true).map_err(fault::before_commit)?;
        let executor = Executor::start(writer, reader, Arc::clone(&config.clock))
            .map_err(|error| BrokerError::Unavailable(error.into()))?;
        Ok(Self { path: path.into(), executor, max_bytes: config.max_bytes, gained: Notify::new() })
    }

    fn gained_if(&self, gained: bool) {
        if gained {
            self.gained.notify_waiters();
        }
    }

    /// Whether one of `queues` has a task to hand out, and a number that changes when others write to the file.
    async fn look(&self, queues: &[QueueName], last: Option<i64>) -> Result<(i64, bool), BrokerError> {
        let queues = queues.to_vec();
        self.executor
            .read(move |connection, _| {
                let version = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
                if last == Some(version) {
                    return Ok((version, false));
                }
                for queue in &queues {
                    if lease::has_pending(connection, queue.as_str())? {
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
        self.gained_if(answers.contains(&Enqueued::New));
        Ok(answers)
    }

    async fn dequeue(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        if limit == 0 {
            return Ok(Dequeued::default());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| BrokerError::Unavailable(error.to_string().into()))?;
        let (queue, peeked) = (queue.clone(), queue.clone());
        self.executor
            .write_if(
                move |connection, _| lease::has_pending(connection, peeked.as_str()),
                move |connection, now| {
                    lease::dequeue(connection, queue.as_str(), limit, now.plus(lease).0, random, now.0)
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
        let gives_back = ends.iter().any(|(_, settlement)| *settlement == Settlement::Requeue);
        let (queue, ends) = (queue.clone(), ends.to_vec());
        let answers = self
            .executor
            .write(move |connection, now| settle::settle(connection, queue.as_str(), &ends, now.0))
            .await?;
        self.gained_if(gives_back);
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
                lease::extend(connection, queue.as_str(), &leases, now.plus(lease).0)
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
        self.gained_if(!recovered.requeued.is_empty());
        Ok(recovered)
    }

    async fn forward(&self, queue: &QueueName, limit: usize) -> Result<usize, BrokerError> {
        let (queue, peeked) = (queue.clone(), queue.clone());
        let moved = self
            .executor
            .write_if(
                move |connection, now| upkeep::has_due(connection, peeked.as_str(), now.0),
                move |connection, now| upkeep::forward(connection, queue.as_str(), limit, now.0),
            )
            .await?;
        self.gained_if(moved > 0);
        Ok(moved)
    }

    async fn tidy(&self, queue: &QueueName, limit: usize) -> Result<Tidied, BrokerError> {
        let (queue, peeked) = (queue.clone(), queue.clone());
        self.executor
            .write_if(
                move |connection, now| upkeep::has_untidy(connection, peeked.as_str(), now.0),
                move |connection, now| upkeep::tidy(connection, queue.as_str(), limit, now.0),
            )
            .await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<bool, BrokerError> {
        let queue = queue.clone();
        let changed = self
            .executor
            .write(move |connection, _| upkeep::set_paused(connection, queue.as_str(), paused))
            .await?;
        self.gained_if(changed && !paused);
        Ok(changed)
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        self.executor.read(|connection, _| view::queues(connection)).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BrokerError> {
        let queue = queue.clone();
        self.executor.read(move |connection, now| view::stats(connection, queue.as_str(), now)).await
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
            .read(move |connection, _| view::list(connection, queue.as_str(), state, offset, limit))
            .await
    }

    async fn find(&self, queue: &QueueName, id: &str) -> Result<Option<TaskInfo>, BrokerError> {
        let (queue, id) = (queue.clone(), id.to_owned());
        self.executor
            .read(move |connection, _| view::find(connection, queue.as_str(), &id))
            .await?
            .map_err(|()| BrokerError::Corrupt("a task stands in an unknown state".into()))
    }

    async fn wait(&self, queues: &[QueueName], timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut last = None;
        loop {
            // Listens before looking, so that nothing falls between the two.
            let gained = self.gained.notified();
            tokio::pin!(gained);
            gained.as_mut().enable();
            match self.look(queues, last).await {
                Ok((_, true)) => return,
                Ok((version, false)) => last = Some(version),
                // The caller's own call will meet the error; until then it must not be called in a loop.
                Err(_) => return sleep_until(deadline).await,
            }
            let next = deadline.min(Instant::now() + POLL);
            if timeout_at(next, gained).await.is_err() && next == deadline {
                return;
            }
        }
    }
}
