//! Storing a task unless an equal one is stored and not done: asynq's uniqueness locks.

use std::time::Duration;

use redis::Value;

use super::asynq::NewMessage;
use super::scripts::Args;
use super::{RedisBroker, enqueue, keys, millis, reply, scripts};
use crate::broker::{BrokerError, Enqueued};
use crate::queue::QueueName;

/// The outcome of [`RedisBroker::enqueue_unique`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unique {
    /// The lock was free, or held by the same task.
    Enqueued(Enqueued),
    /// The task with this id holds the lock; nothing was stored.
    Locked(String),
}

impl RedisBroker {
    /// Stores one task and locks its `unique_key` until the task is done, at most for `ttl` after it becomes pending. If
    /// the id is already taken, no lock is taken.
    ///
    /// # Errors
    /// [`BrokerError`]; [`BrokerError::Refused`] if the key does not belong to this queue.
    pub async fn enqueue_unique(
        &self,
        queue: &QueueName,
        task: &NewMessage,
        ttl: Duration,
    ) -> Result<Unique, BrokerError> {
        let keys = self.keys(queue);
        let message = &task.message;
        if !message.unique_key.starts_with(&keys.unique()) {
            return Err(BrokerError::Refused("the uniqueness key does not belong to this queue".into()));
        }
        enqueue::check_id(task)?;
        self.register_queue(queue).await?;
        let queues = keys::queues(&self.prefix);
        let mut args = Args::default().text(&message.id);
        args.push_owned(message.encode());
        let args = args
            .int(task.process_at.map_or(0, |at| at.0))
            .int(millis(ttl))
            .text(&self.channel)
            .text(queue.as_str())
            .text(&queues);
        let hash = keys.task(&message.id);
        let names = [message.unique_key.as_str(), &hash, &keys.pending, &keys.scheduled];
        match self.connection.run(&scripts::ENQUEUE_UNIQUE, &names, &args).await? {
            Value::BulkString(holder) => Ok(Unique::Locked(reply::id(Value::BulkString(holder))?)),
            Value::Array(stored) => {
                let stored = stored.into_iter().next().ok_or_else(reply::unexpected)?;
                enqueue::outcome(task, stored).map(Unique::Enqueued)
            }
            answer => enqueue::outcome(task, answer).map(Unique::Enqueued),
        }
    }
}
