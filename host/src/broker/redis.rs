//! Queues in Redis, in the layout of asynq: its workers and tools see our tasks, and its producers can enqueue for our
//! workers.
//!
//! A call is one script on up to 128 tasks. Hash fields that start with `taskseal_` are ours; asynq ignores them. Times are
//! those of the Redis server. Requires Redis 6.2 or later.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use redis::{ConnectionAddr, cmd};
use rustls::crypto::CryptoProvider;

pub use self::config::{InvalidPrefix, Password, RedisConfig, TlsIdentity};
pub use self::unique::Unique;

use self::asynq::NewMessage;
use self::connection::SharedConnection;
use self::keys::Keys;
use self::scripts::Args;
use self::subscriber::Subscriber;
use super::{
    ArchiveLimits, Broker, BrokerError, DequeueLimits, Dequeued, Enqueued, Eviction, Lease, MAX_LEASE,
    NewTask, Operated, Operation, QueueDeletion, QueueStats, Recovered, Settled, Settlement, TaskInfo,
    TaskState, Tidied,
};
use crate::lock::lock;
use crate::queue::QueueName;

pub mod asynq;
mod config;
mod connection;
mod dequeue;
mod enqueue;
mod error;
mod health;
mod inspect;
mod keys;
mod keyset;
mod maintenance;
mod operate;
mod reply;
mod scripts;
mod settle;
mod statuses;
mod subscriber;
mod tokens;
mod unique;

/// A broker on one Redis server.
///
/// # Security
/// Redis is trusted for availability only: a process that can write to it can delete, delay, repeat and reorder tasks,
/// and change every field of a stored message.
pub struct RedisBroker {
    prefix: String,
    channel: String,
    connection: SharedConnection,
    subscriber: Subscriber,
    /// Queues whose name was stored, and the number of the connection that stored it.
    known: Mutex<HashMap<QueueName, u64>>,
    /// Which of scheduled and retry is forwarded first. Alternates, so that neither starves.
    retry_first: AtomicBool,
    archive: ArchiveLimits,
}

impl RedisBroker {
    /// Creates a broker. It connects at the first call, and again whenever the connection is lost.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the configuration is invalid.
    pub fn connect(config: &RedisConfig) -> Result<Self, BrokerError> {
        let info = config.connection_info()?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) && CryptoProvider::get_default().is_none() {
            // Another thread may have installed a provider meanwhile; either will do.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let channel = keys::wake_channel(config.prefix());
        Ok(Self {
            prefix: config.prefix().to_owned(),
            channel: channel.clone(),
            connection: SharedConnection::new(config.clone()),
            subscriber: Subscriber::new(config.clone(), channel),
            known: Mutex::default(),
            retry_first: AtomicBool::new(false),
            archive: config.archive(),
        })
    }

    fn keys(&self, queue: &QueueName) -> Keys {
        Keys::new(&self.prefix, queue)
    }

    /// Returns the first arguments of every script that may announce a task.
    fn announcing<'a>(&'a self, keys: &'a Keys, queue: &'a QueueName) -> Args<'a> {
        Args::default().text(&keys.base).text(&self.channel).text(queue.as_str())
    }

    /// Adds a queue to the set of queues, once for each connection: in Redis Cluster the scripts cannot, since the set is in
    /// another hash slot than the queue.
    async fn register_queue(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let generation = self.connection.generation().await?;
        let is_known = lock(&self.known).get(queue) == Some(&generation);
        if !is_known {
            let mut sadd = cmd("SADD");
            sadd.arg(keys::queues(&self.prefix)).arg(queue.as_str());
            self.connection.call(&sadd).await?;
            lock(&self.known).insert(queue.clone(), generation);
        }
        Ok(())
    }

    /// Removes a queue from the set of queues.
    async fn unregister_queue(&self, queue: &QueueName) -> Result<(), BrokerError> {
        lock(&self.known).remove(queue);
        let mut srem = cmd("SREM");
        srem.arg(keys::queues(&self.prefix)).arg(queue.as_str());
        self.connection.call(&srem).await.map(drop)
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn enqueue(&self, queue: &QueueName, tasks: &[NewTask]) -> Result<Vec<Enqueued>, BrokerError> {
        let messages: Vec<NewMessage> = tasks.iter().map(NewMessage::from).collect();
        self.enqueue_messages(queue, &messages).await
    }

    async fn dequeue_within(
        &self,
        queue: &QueueName,
        limits: DequeueLimits,
        lease: Duration,
    ) -> Result<Dequeued, BrokerError> {
        self.dequeue_all(queue, limits, lease.min(MAX_LEASE)).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        ends: &[(Lease, Settlement)],
    ) -> Result<Vec<Settled>, BrokerError> {
        self.settle_all(queue, ends).await
    }

    async fn extend(
        &self,
        queue: &QueueName,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<bool>, BrokerError> {
        self.extend_all(queue, leases, lease.min(MAX_LEASE)).await
    }

    async fn recover(&self, queue: &QueueName, limit: usize) -> Result<Recovered, BrokerError> {
        self.recover_expired(queue, limit).await
    }

    async fn forward(&self, queue: &QueueName, limit: usize) -> Result<usize, BrokerError> {
        self.forward_due(queue, limit).await
    }

    async fn tidy(&self, queue: &QueueName, limit: usize) -> Result<Tidied, BrokerError> {
        self.tidy_queue(queue, limit).await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<bool, BrokerError> {
        let keys = self.keys(queue);
        let args = Args::default().int(i64::from(paused)).text(&self.channel).text(queue.as_str());
        let changed = self.connection.run(&scripts::PAUSE, &[&keys.paused], &args).await?;
        Ok(reply::int(&changed)? == 1)
    }

    async fn publish_status(&self, process: &str, status: &[u8], keep: Duration) -> Result<(), BrokerError> {
        self.store_status(process, status, keep).await
    }

    async fn statuses(&self) -> Result<Vec<Vec<u8>>, BrokerError> {
        self.load_statuses().await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.connection.call(&cmd("PING")).await.map(drop)
    }

    async fn health(&self) -> Result<Eviction, BrokerError> {
        self.check_health().await
    }

    async fn operate(
        &self,
        queue: &QueueName,
        ids: &[String],
        operation: Operation,
    ) -> Result<Vec<Operated>, BrokerError> {
        self.operate_all(queue, ids, operation).await
    }

    async fn delete_queue(&self, queue: &QueueName, with_tasks: bool) -> Result<QueueDeletion, BrokerError> {
        self.remove_queue(queue, with_tasks).await
    }

    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        self.read_queues().await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, BrokerError> {
        self.read_stats(queue).await
    }

    async fn list(
        &self,
        queue: &QueueName,
        state: TaskState,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<TaskInfo>, BrokerError> {
        self.read_page(queue, state, offset, limit).await
    }

    async fn find(&self, queue: &QueueName, id: &str) -> Result<Option<TaskInfo>, BrokerError> {
        self.read_task(queue, id).await
    }

    async fn wait(&self, queues: &[QueueName], timeout: Duration) {
        self.subscriber.wait(queues, timeout).await;
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn to_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Maximum number of tasks of a script call. Most of the gain of batching is reached at 32, and a script must not block
/// Redis for long.
const CHUNK: usize = 128;

/// Maximum size of a script call in bytes, unless one task alone is larger.
const CHUNK_BYTES: usize = 1 << 20;
