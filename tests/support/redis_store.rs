//! A Redis server as a store of the conformance suite.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use redis::Commands;
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::{ArchiveLimits, Broker};
use taskseal::queue::QueueName;

use crate::conformance::Store;
use crate::redis::RedisServer;

#[async_trait]
impl Store for RedisServer {
    async fn open_with(&self, archive: ArchiveLimits) -> Arc<dyn Broker> {
        let config = RedisConfig::new(self.url()).with_archive_limits(archive);
        Arc::new(RedisBroker::connect(&config).unwrap())
    }

    async fn damage(&self, queue: &QueueName, id: &str, bytes: &[u8]) {
        let new: usize = self.raw().hset(task_key(queue, id), "msg", bytes).unwrap();
        assert_eq!(new, 0);
    }

    async fn lose(&self, queue: &QueueName, id: &str) {
        let deleted: usize = self.raw().del(task_key(queue, id)).unwrap();
        assert_eq!(deleted, 1);
    }

    async fn lose_lease(&self, queue: &QueueName, id: &str) {
        let deleted: usize = self.raw().zrem(format!("asynq:{{{queue}}}:lease"), id).unwrap();
        assert_eq!(deleted, 1);
    }
}

fn task_key(queue: &QueueName, id: &str) -> String {
    format!("asynq:{{{queue}}}:t:{id}")
}
