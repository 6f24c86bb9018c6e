//! The signed keyset in Redis, which only carries it: hosts verify it with the roots that they have pinned.

use redis::{Value, cmd};
use taskseal_core::keyset::signed::MAX_KEYSET;

use super::{RedisBroker, keys, reply};
use crate::broker::BrokerError;

impl RedisBroker {
    /// Returns the keyset that is stored; `None` if there is none. One that is too long is cut off, and refused for that.
    pub(crate) async fn keyset(&self) -> Result<Option<Vec<u8>>, BrokerError> {
        let mut getrange = cmd("GETRANGE");
        getrange.arg(keys::keyset(&self.prefix)).arg(0).arg(MAX_KEYSET);
        match self.connection.call(&getrange).await? {
            Value::BulkString(keyset) if keyset.is_empty() => Ok(None),
            Value::BulkString(keyset) => Ok(Some(keyset)),
            _ => Err(reply::unexpected()),
        }
    }

    /// Stores a keyset in place of another.
    pub(crate) async fn store_keyset(&self, keyset: &[u8]) -> Result<(), BrokerError> {
        let mut set = cmd("SET");
        set.arg(keys::keyset(&self.prefix)).arg(keyset);
        self.connection.call(&set).await.map(drop)
    }
}
