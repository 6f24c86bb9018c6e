//! The attacker: writes to the storage of the queue directly, without the checks of the broker interface.

use async_trait::async_trait;
use redis::AsyncCommands;
use rusqlite::{Connection, params};
use taskseal::QueueName;
use taskseal::broker::{Broker, NewTask, TaskInfo, TaskRecord};

/// Any error of the demonstration.
pub(super) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Full write access to what a broker stores.
#[async_trait]
pub(super) trait Storage: Send + Sync {
    /// Removes a task completely.
    async fn erase(&self, queue: &QueueName, id: &str) -> Result<(), AnyError>;

    /// Replaces the result of a completed task.
    async fn set_result(&self, queue: &QueueName, id: &str, result: &[u8]) -> Result<(), AnyError>;

    /// Makes the stored form of a task undecodable.
    async fn garble(&self, queue: &QueueName, id: &str) -> Result<(), AnyError>;

    /// Removes queues: the clean-up after the demonstration.
    async fn clear(&self, queues: &[QueueName]) -> Result<(), AnyError>;
}

/// An attacker who can write to the queue and knows every public key.
pub(super) struct Attacker<'d> {
    pub(super) broker: &'d dyn Broker,
    pub(super) storage: &'d dyn Storage,
}

impl Attacker<'_> {
    /// Reads what the queue stores for a task.
    pub(super) async fn read(&self, queue: &QueueName, id: &str) -> Result<(TaskInfo, TaskRecord), AnyError> {
        let info = self.broker.find(queue, id).await?.ok_or("no task to read")?;
        let record = info.record.clone().ok_or("no decodable task to read")?;
        Ok((info, record))
    }

    /// Enqueues a record and replaces any task with its id.
    pub(super) async fn replace(&self, queue: &QueueName, record: TaskRecord) -> Result<(), AnyError> {
        self.storage.erase(queue, &record.id).await?;
        self.broker.enqueue(queue, &[NewTask::now(record)]).await?;
        Ok(())
    }
}

/// The file of the embedded broker, opened as by `sqlite3`.
pub(super) struct EmbeddedStorage {
    pub(super) path: std::path::PathBuf,
}

impl EmbeddedStorage {
    fn open(&self) -> Result<Connection, AnyError> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(connection)
    }
}

#[async_trait]
impl Storage for EmbeddedStorage {
    async fn erase(&self, queue: &QueueName, id: &str) -> Result<(), AnyError> {
        let mut connection = self.open()?;
        let change = connection.transaction()?;
        let task = (queue.as_str(), id);
        let found =
            change.query_row("SELECT seq, state FROM task WHERE queue = ?1 AND id = ?2", task, |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            });
        let Ok((seq, state)) = found else { return Ok(()) };
        change.execute("DELETE FROM record WHERE seq = ?1", [seq])?;
        change.execute("DELETE FROM result WHERE seq = ?1", [seq])?;
        change.execute("DELETE FROM task WHERE seq = ?1", [seq])?;
        // A careful attacker keeps the counts correct. A CHECK limits the column name to six words.
        let count = format!("UPDATE queue SET \"{state}\" = \"{state}\" - 1 WHERE name = ?1");
        change.execute(&count, [queue.as_str()])?;
        change.commit()?;
        Ok(())
    }

    async fn set_result(&self, queue: &QueueName, id: &str, result: &[u8]) -> Result<(), AnyError> {
        let sql = "UPDATE result SET envelope = ?3
                   WHERE seq = (SELECT seq FROM task WHERE queue = ?1 AND id = ?2)";
        self.open()?.execute(sql, params![queue.as_str(), id, result])?;
        Ok(())
    }

    async fn garble(&self, queue: &QueueName, id: &str) -> Result<(), AnyError> {
        let sql = "UPDATE record SET max_retries = -1
                   WHERE seq = (SELECT seq FROM task WHERE queue = ?1 AND id = ?2)";
        self.open()?.execute(sql, params![queue.as_str(), id])?;
        Ok(())
    }

    /// The file is deleted with its folder.
    async fn clear(&self, _: &[QueueName]) -> Result<(), AnyError> {
        Ok(())
    }
}

/// The keys of a Redis server, changed as by `redis-cli`.
pub(super) struct RedisStorage {
    pub(super) connection: redis::aio::MultiplexedConnection,
    pub(super) prefix: String,
}

impl RedisStorage {
    fn key(&self, queue: &QueueName, rest: &str) -> String {
        format!("{}:{{{queue}}}:{rest}", self.prefix)
    }
}

#[async_trait]
impl Storage for RedisStorage {
    async fn erase(&self, queue: &QueueName, id: &str) -> Result<(), AnyError> {
        let mut connection = self.connection.clone();
        for list in ["pending", "active"] {
            let _: i64 = connection.lrem(self.key(queue, list), 0, id).await?;
        }
        for set in ["lease", "scheduled", "retry", "archived", "completed"] {
            let _: i64 = connection.zrem(self.key(queue, set), id).await?;
        }
        let _: i64 = connection.del(self.key(queue, &format!("t:{id}"))).await?;
        Ok(())
    }

    async fn set_result(&self, queue: &QueueName, id: &str, result: &[u8]) -> Result<(), AnyError> {
        let mut connection = self.connection.clone();
        let _: i64 = connection.hset(self.key(queue, &format!("t:{id}")), "result", result).await?;
        Ok(())
    }

    async fn garble(&self, queue: &QueueName, id: &str) -> Result<(), AnyError> {
        let mut connection = self.connection.clone();
        let _: i64 = connection.hset(self.key(queue, &format!("t:{id}")), "msg", b"\xff\xff").await?;
        Ok(())
    }

    async fn clear(&self, queues: &[QueueName]) -> Result<(), AnyError> {
        let mut connection = self.connection.clone();
        for queue in queues {
            let mut cursor = 0_u64;
            loop {
                let pattern = self.key(queue, "*");
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
                let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
                if !keys.is_empty() {
                    let _: i64 = connection.del(keys).await?;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            let _: i64 = connection.srem(format!("{}:queues", self.prefix), queue.as_str()).await?;
        }
        Ok(())
    }
}
