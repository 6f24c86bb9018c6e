//! The Redis of `[broker]` as the carrier of a signed keyset.

use std::sync::mpsc;
use std::time::Duration;

use crate::broker::BrokerError;
use crate::broker::redis::RedisBroker;
use crate::config::{BrokerConfig, Config};
use crate::keys::{KeyringError, KeysetError};
use crate::runtime::{BoxFuture, boxed, spawn_thread};

/// Time limit of one call, with its connection.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Config {
    pub(super) fn stored_keyset(&self) -> Result<Option<Vec<u8>>, String> {
        self.on_broker(|broker| boxed(async move { broker.keyset().await }))
    }

    /// Returns the keyset that is stored in the Redis of `[broker]`, which is not verified. Blocks for at most ten seconds.
    ///
    /// # Errors
    /// [`KeyringError::Keyset`] if the broker is not a Redis, or cannot be reached.
    #[doc(hidden)]
    pub fn published_keyset(&self) -> Result<Option<Vec<u8>>, KeyringError> {
        self.stored_keyset().map_err(|message| unreachable(&message))
    }

    /// Stores a signed keyset in the Redis of `[broker]`, from where hosts with `keyset_url = "broker:"` fetch it. Blocks for at most
    /// ten seconds. The caller has verified it.
    ///
    /// # Errors
    /// [`KeyringError::Keyset`] if the broker is not a Redis, or cannot be reached.
    #[doc(hidden)]
    pub fn publish_keyset(&self, keyset: &[u8]) -> Result<(), KeyringError> {
        let keyset = keyset.to_owned();
        self.on_broker(|broker| boxed(async move { broker.store_keyset(&keyset).await }))
            .map_err(|message| unreachable(&message))
    }

    /// Runs a call to Redis on another thread: the caller may be a thread of an async runtime.
    fn on_broker<T: Send + 'static>(
        &self,
        call: impl FnOnce(RedisBroker) -> BoxFuture<'static, Result<T, BrokerError>> + Send + 'static,
    ) -> Result<T, String> {
        let BrokerConfig::Redis(settings) = &self.broker else {
            return Err("is not a Redis, which alone can carry a keyset".to_owned());
        };
        let broker = self.redis_broker(settings).map_err(|error| error.to_string())?;
        let (send, receive) = mpsc::channel();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let result = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
                let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, call(broker)).await });
                answer
                    .map_err(|_| format!("timed out after {} s", TIMEOUT.as_secs()))?
                    .map_err(|error| error.to_string())
            });
            // The receiver waits for it.
            let _ = send.send(result);
        };
        spawn_thread("keyset", work).map_err(|error| error.to_string())?;
        receive.recv().unwrap_or_else(|_| Err("the call was interrupted".to_owned()))
    }
}

fn unreachable(message: &str) -> KeyringError {
    KeysetError::carrier_unavailable(CARRIER, message, "check `url` of [broker], and that Redis is available")
        .into()
}

/// The carrier in messages.
pub(super) const CARRIER: &str = "broker:";
