//! The attacker: writes to the storage of the queue directly, without the checks of the broker interface.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Commands, ConnectionInfo};
use rusqlite::{Connection, params};
use taskseal::QueueName;
use taskseal::broker::{Broker, NewTask, TaskInfo, TaskRecord};

/// Any error of the demonstration.
pub(super) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Maximum time of one call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Full write access to what a broker stores. Calls block.
pub(super) trait Storage: Send + Sync {
    /// Removes a task completely.
    fn erase(&self, queue: &QueueName, id: &str) -> Result<(), AnyError>;

    /// Replaces the result of a completed task.
    fn set_result(&self, queue: &QueueName, id: &str, result: &[u8]) -> Result<(), AnyError>;

    /// Makes the stored form of a task undecodable.
    fn garble(&self, queue: &QueueName, id: &str) -> Result<(), AnyError>;

    /// Removes queues: the clean-up after the demonstration.
    fn clear(&self, queues: &[QueueName]) -> Result<(), AnyError>;
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
        self.storage.erase(queue, &record.id)?;
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
        connection.busy_timeout(TIMEOUT)?;
        Ok(connection)
    }
}

impl Storage for EmbeddedStorage {
    fn erase(&self, queue: &QueueName, id: &str) -> Result<(), AnyError> {
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

    fn set_result(&self, queue: &QueueName, id: &str, result: &[u8]) -> Result<(), AnyError> {
        let sql = "UPDATE result SET envelope = ?3
                   WHERE seq = (SELECT seq FROM task WHERE queue = ?1 AND id = ?2)";
        self.open()?.execute(sql, params![queue.as_str(), id, result])?;
        Ok(())
    }

    fn garble(&self, queue: &QueueName, id: &str) -> Result<(), AnyError> {
        let sql = "UPDATE record SET max_retries = -1
                   WHERE seq = (SELECT seq FROM task WHERE queue = ?1 AND id = ?2)";
        self.open()?.execute(sql, params![queue.as_str(), id])?;
        Ok(())
    }

    /// The file is deleted with its folder.
    fn clear(&self, _: &[QueueName]) -> Result<(), AnyError> {
        Ok(())
    }
}

/// The keys of a Redis server, changed as by `redis-cli`.
pub(super) struct RedisStorage {
    connection: Mutex<redis::Connection>,
    prefix: String,
}

impl RedisStorage {
    /// Connects to a server, which must answer in time.
    pub(super) fn connect(server: ConnectionInfo, prefix: &str) -> Result<Self, AnyError> {
        let connection = redis::Client::open(server)?.get_connection_with_timeout(TIMEOUT)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { connection: Mutex::new(connection), prefix: prefix.to_owned() })
    }

    fn connection(&self) -> MutexGuard<'_, redis::Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, queue: &QueueName, rest: &str) -> String {
        format!("{}:{{{queue}}}:{rest}", self.prefix)
    }
}

impl Storage for RedisStorage {
    fn erase(&self, queue: &QueueName, id: &str) -> Result<(), AnyError> {
        let mut connection = self.connection();
        for list in ["pending", "active"] {
            let _: i64 = connection.lrem(self.key(queue, list), 0, id)?;
        }
        for set in ["lease", "scheduled", "retry", "archived", "completed"] {
            let _: i64 = connection.zrem(self.key(queue, set), id)?;
        }
        let _: i64 = connection.del(self.key(queue, &format!("t:{id}")))?;
        Ok(())
    }

    fn set_result(&self, queue: &QueueName, id: &str, result: &[u8]) -> Result<(), AnyError> {
        let mut connection = self.connection();
        let _: i64 = connection.hset(self.key(queue, &format!("t:{id}")), "result", result)?;
        Ok(())
    }

    fn garble(&self, queue: &QueueName, id: &str) -> Result<(), AnyError> {
        let mut connection = self.connection();
        let _: i64 = connection.hset(self.key(queue, &format!("t:{id}")), "msg", b"\xff\xff")?;
        Ok(())
    }

    fn clear(&self, queues: &[QueueName]) -> Result<(), AnyError> {
        let mut connection = self.connection();
        for queue in queues {
            let mut cursor = 0_u64;
            loop {
                let pattern = self.key(queue, "*");
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
                let (next, keys): (u64, Vec<String>) = scan.query(&mut *connection)?;
                if !keys.is_empty() {
                    let _: i64 = connection.del(keys)?;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            let _: i64 = connection.srem(format!("{}:queues", self.prefix), queue.as_str())?;
        }
        Ok(())
    }
}
