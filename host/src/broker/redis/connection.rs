//! One connection to Redis, shared by all calls, replaced when it is lost.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, PushInfo, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error;
use super::scripts::{Args, Script};
use crate::broker::BrokerError;
use crate::retry::{Backoff, Delays};

/// The connection, or the time of the next attempt to connect.
pub(super) struct SharedConnection {
    client: Client,
    response_timeout: Duration,
    slot: Mutex<Slot>,
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
}

/// A failed attempt to connect: when the next attempt is allowed, and why it failed.
struct Outage {
    until: Instant,
    reason: String,
}

impl SharedConnection {
    pub(super) fn new(client: Client, response_timeout: Duration) -> Self {
        let delays = Backoff::RECONNECT.delays();
        let slot = Slot { connection: None, generation: 0, delays, outage: None };
        Self { client, response_timeout, slot: Mutex::new(slot) }
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
        if answer.as_ref().is_err_and(error::ends_connection) {
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
            return Err(BrokerError::Unavailable(outage.reason.clone().into()));
        }
        match self.open().await {
            Ok((inner, closed)) => {
                slot.generation += 1;
                slot.delays.reset();
                slot.outage = None;
                let connection = Connection { inner, generation: slot.generation, closed };
                slot.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                let until = Instant::now() + slot.delays.after_failure();
                slot.outage = Some(Outage { until, reason: error.to_string() });
                Err(error::while_connecting(error))
            }
        }
    }

    async fn open(&self) -> Result<(MultiplexedConnection, Arc<AtomicBool>), RedisError> {
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        // The only push on this connection is the client's own notice that it was closed. Before a request is written it
        // tells "nothing was done" from "no reply came".
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.response_timeout.min(CONNECT_TIMEOUT)))
            .set_response_timeout(Some(self.response_timeout))
            .set_push_sender(move |_: PushInfo| {
                seen.store(true, Ordering::Release);
                Ok::<(), RedisError>(())
            });
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok((connection, closed))
    }
}

impl fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConnection")
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
