//! The queue of the demonstration: a file, or a Redis that may be in use.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redis::IntoConnectionInfo;
use taskseal::QueueName;
use taskseal::broker::Broker;
use taskseal::broker::redis::{Password, RedisBroker, RedisConfig};
use taskseal::broker::sqlite::SqliteBroker;
use taskseal::config::PasswordSource;
use taskseal::keys::KeyStores;
use zeroize::Zeroizing;

use super::attacker::{AnyError, EmbeddedStorage, RedisStorage, Storage};

/// Where the queue is.
pub(super) enum Location {
    /// A file in the folder of the demonstration.
    Embedded,
    /// A Redis server.
    Redis {
        /// Its URL, possibly with a password.
        url: Zeroizing<String>,
        /// The password, if the URL has none.
        password: Option<Zeroizing<String>>,
    },
}

impl Location {
    /// Reads the password of a Redis.
    pub(super) fn new(url: Option<&str>, password: Option<&PasswordSource>) -> Result<Self, AnyError> {
        let Some(url) = url else { return Ok(Self::Embedded) };
        let password = password
            .map(|source| source.read(Path::new("--password-env"), &KeyStores::default()))
            .transpose()?;
        Ok(Self::Redis { url: Zeroizing::new(url.to_owned()), password })
    }

    /// Returns the broker as the report shows it: the URL without user and password.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Embedded => "embedded: one SQLite file".to_owned(),
            Self::Redis { url, .. } => format!("Redis: {}", without_user(url)),
        }
    }

    /// Returns the names of two queues. On Redis they are unique, because the server may be in use.
    pub(super) fn names(&self) -> Result<(QueueName, QueueName), AnyError> {
        let name = match self {
            Self::Embedded => "demo".to_owned(),
            Self::Redis { .. } => format!("taskseal-demo-{}", uuid::Uuid::now_v7().simple()),
        };
        Ok((QueueName::parse(&name)?, QueueName::parse(&format!("{name}-2"))?))
    }

    /// Opens the queue for the deployment. A Redis server is not called yet.
    pub(super) fn broker(&self, dir: &Path) -> Result<Arc<dyn Broker>, AnyError> {
        let Self::Redis { url, password } = self else {
            let file = queue_file(dir);
            fs::create_dir_all(file.parent().unwrap_or(dir))?;
            return Ok(Arc::new(SqliteBroker::open(&file)?));
        };
        let mut config = RedisConfig::new(url.as_str());
        if let Some(password) = password {
            config = config.with_password(Password::from(password.clone()));
        }
        Ok(Arc::new(RedisBroker::connect(&config)?))
    }

    /// Opens the queue for the attacker.
    pub(super) fn storage(&self, dir: &Path) -> Result<Box<dyn Storage>, AnyError> {
        let Self::Redis { url, password } = self else {
            return Ok(Box::new(EmbeddedStorage { path: queue_file(dir) }));
        };
        let mut server = url.as_str().into_connection_info()?;
        if let Some(password) = password {
            let settings = server.redis_settings().clone().set_password(password.as_str());
            server = server.set_redis_settings(settings);
        }
        Ok(Box::new(RedisStorage::connect(server, "asynq")?))
    }
}

fn queue_file(dir: &Path) -> PathBuf {
    dir.join("queue/queue.db")
}

/// Returns a URL without user, password and options.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("redis", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_of_a_url_has_no_password() {
        for url in
            ["redis://:secret@host:1/0", "redis://user:se@cret@host:1/0", "redis://host:1/0?pass=secret"]
        {
            assert_eq!(without_user(url), "redis://host:1/0");
        }
        assert_eq!(without_user("unix:///run/redis.sock?db=1&pass=secret"), "unix:///run/redis.sock");
    }
}
