//! One connection to Redis, shared by all calls, made again when it is lost.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, PushInfo, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fault;
use super::scripts::{Args, Script};
use crate::broker::BrokerError;

/// The connection, or when to try for the next one.
pub(super) struct Link {
    client: Client,
    response_timeout: Duration,
    slot: Mutex<Slot>,
}

struct Slot {
    connection: Option<Connection>,
    /// Counts connections.
    generation: u64,
    backoff: Backoff,
    away: Option<Away>,
}

#[derive(Clone)]
struct Connection {
    inner: MultiplexedConnection,
    generation: u64,
    closed: Arc<AtomicBool>,
}

/// Redis could not be reached: until when nobody tries, and why.
struct Away {
    until: Instant,
    reason: String,
}

impl Link {
    pub(super) fn new(client: Client, response_timeout: Duration) -> Self {
        let slot = Slot { connection: None, generation: 0, backoff: Backoff::default(), away: None };
        Self { client, response_timeout, slot: Mutex::new(slot) }
    }

    /// Counts connections: what was told to an earlier one may be unknown to a server that came back empty.
    pub(super) async fn generation(&self) -> Result<u64, BrokerError> {
        Ok(self.connection().await?.generation)
    }

    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, BrokerError> {
        self.try_call(command).await?.map_err(fault::while_calling)
    }

    /// Runs a script by name, and by its text where Redis does not know the name (yet, or any more).
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        args: &Args<'_>,
    ) -> Result<Value, BrokerError> {
        match self.try_call(&script.by_name(keys, args)).await? {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.call(&script.by_text(keys, args)).await
            }
            answer => answer.map_err(fault::while_calling),
        }
    }

    async fn try_call(&self, command: &Cmd) -> Result<Result<Value, RedisError>, BrokerError> {
        let mut connection = self.connection().await?;
        let answer = command.query_async::<Value>(&mut connection.inner).await;
        if answer.as_ref().is_err_and(fault::ends_connection) {
            connection.closed.store(true, Ordering::Release);
        }
        Ok(answer)
    }

    /// The open connection, or a new one. While Redis is away all but one caller now and then fail at once.
    async fn connection(&self) -> Result<Connection, BrokerError> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            if !connection.closed.load(Ordering::Acquire) {
                return Ok(connection.clone());
            }
            slot.connection = None;
        }
        if let Some(away) = slot.away.as_ref().filter(|away| Instant::now() < away.until) {
            return Err(BrokerError::Unavailable(away.reason.clone().into()));
        }
        match self.open().await {
            Ok((inner, closed)) => {
                slot.generation += 1;
                slot.backoff = Backoff::default();
                slot.away = None;
                let connection = Connection { inner, generation: slot.generation, closed };
                slot.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                let until = Instant::now() + slot.backoff.next();
                slot.away = Some(Away { until, reason: error.to_string() });
                Err(fault::while_connecting(error))
            }
        }
    }

    async fn open(&self) -> Result<(MultiplexedConnection, Arc<AtomicBool>), RedisError> {
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        // The only push on this connection is the client's own note that it was cut off. Knowing that before
        // a request is written tells "nothing was done" from "no answer came".
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

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("response_timeout", &self.response_timeout).finish_non_exhaustive()
    }
}

/// Growing pauses between attempts to connect, spread so that hosts do not come back in step.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause: half to all of 50 ms, 100 ms, 200 ms ... 5 s.
    pub(super) fn next(&mut self) -> Duration {
        let full = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        // Without randomness the pause is merely not spread.
        let spread = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
        full.mul_f64(0.5 + spread / 2.0)
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
