//! One connection to Redis, shared by all calls, replaced when it is lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, PushInfo, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::config::RedisConfig;
use super::error;
use super::scripts::{Args, Script};
use crate::broker::{BrokerError, Cause};
use crate::lock::lock;
use crate::retry::{Backoff, Delays};

/// The connection, or the time of the next attempt to connect.
pub(super) struct SharedConnection {
    config: RedisConfig,
    slot: AsyncMutex<Slot>,
}

struct Slot {
    connection: Option<Connection>,
    /// Number of connections so far.
    generation: u64,
    delays: Delays,
    outage: Option<Outage>,
}

#[derive(Clone)]
struct Connection {
    inner: MultiplexedConnection,
    generation: u64,
    closed: Arc<AtomicBool>,
    /// When the first of the errors was returned that no reply has followed.
    failing_since: Arc<Mutex<Option<Instant>>>,
}

impl Connection {
    /// Returns whether the connection has returned nothing but errors for this long: the next one may lead to a server
    /// that works, or use a new password.
    fn has_failed_for(&self, duration: Duration) -> bool {
        let now = Instant::now();
        let mut since = lock(&self.failing_since);
        now.duration_since(*since.get_or_insert(now)) >= duration
    }
}

/// A failed attempt to connect: when the next attempt is allowed, and why it failed.
struct Outage {
    until: Instant,
    reason: String,
    cause: Option<Cause>,
}

impl SharedConnection {
    pub(super) fn new(config: RedisConfig) -> Self {
        let delays = Backoff::RECONNECT.delays();
        let slot = Slot { connection: None, generation: 0, delays, outage: None };
        Self { config, slot: AsyncMutex::new(slot) }
    }

    /// Returns the number of the connection: a server that restarted may have lost what earlier ones stored.
    pub(super) async fn generation(&self) -> Result<u64, BrokerError> {
        Ok(self.connection().await?.generation)
    }

    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, BrokerError> {
        self.try_call(command).await?.map_err(error::while_calling)
    }

    /// Runs a script by its hash, or by its text if Redis does not have the script.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        args: &Args<'_>,
    ) -> Result<Value, BrokerError> {
        match self.try_call(&script.by_hash(keys, args)).await? {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.call(&script.by_text(keys, args)).await
            }
            answer => answer.map_err(error::while_calling),
        }
    }

    async fn try_call(&self, command: &Cmd) -> Result<Result<Value, RedisError>, BrokerError> {
        let mut connection = self.connection().await?;
        let answer = command.query_async::<Value>(&mut connection.inner).await;
        let is_useless = match &answer {
            Ok(_) => {
                *lock(&connection.failing_since) = None;
                false
            }
            // The server is in order, and gets the text of the script next.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => false,
            Err(error) => error::ends_connection(error) || connection.has_failed_for(RENEW_AFTER),
        };
        if is_useless {
            connection.closed.store(true, Ordering::Release);
        }
        Ok(answer)
    }

    /// Returns the open connection, or a new one. During an outage calls fail at once until the next attempt is due.
    async fn connection(&self) -> Result<Connection, BrokerError> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            if !connection.closed.load(Ordering::Acquire) {
                return Ok(connection.clone());
            }
            slot.connection = None;
        }
        if let Some(outage) = slot.outage.as_ref().filter(|outage| Instant::now() < outage.until) {
            let error = BrokerError::Unavailable(outage.reason.clone().into());
            return Err(error.with_cause(outage.cause));
        }
        match self.open().await {
            Ok((inner, closed)) => {
                slot.generation += 1;
                slot.delays.reset();
                slot.outage = None;
                let failing_since = Arc::default();
                let connection = Connection { inner, generation: slot.generation, closed, failing_since };
                slot.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                let until = Instant::now() + slot.delays.after_failure();
                slot.outage = Some(Outage { until, reason: error.to_string(), cause: error.cause() });
                Err(error)
            }
        }
    }

    async fn open(&self) -> Result<(MultiplexedConnection, Arc<AtomicBool>), BrokerError> {
        let response_timeout = self.config.response_timeout();
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        // The only push on this connection is the client's own notice that it was closed. Before a request is written it
        // tells "nothing was done" from "no reply came".
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(response_timeout.min(CONNECT_TIMEOUT)))
            .set_response_timeout(Some(response_timeout))
            .set_push_sender(move |_: PushInfo| {
                seen.store(true, Ordering::Release);
                Ok::<(), RedisError>(())
            });
        let client = self.config.client()?;
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(error::while_connecting)?;
        Ok((connection, closed))
    }
}

impl fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConnection").field("config", &self.config).finish_non_exhaustive()
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection may return nothing but errors.
const RENEW_AFTER: Duration = Duration::from_secs(3);
