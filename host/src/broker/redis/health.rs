//! Whether the server can be written, and whether it evicts keys.

use redis::{Value, cmd};

use super::scripts::Args;
use super::{RedisBroker, keys, scripts};
use crate::broker::{BrokerError, Cause, Eviction};

impl RedisBroker {
    pub(super) async fn check_health(&self) -> Result<Eviction, BrokerError> {
        let key = keys::probe(&self.prefix);
        self.connection.run(&scripts::PROBE, &[&key], &Args::default().int(1000)).await?;
        let mut info = cmd("INFO");
        info.arg("memory");
        match self.connection.call(&info).await {
            Ok(reply) => Ok(eviction(reply)),
            Err(error) if error.cause() == Some(Cause::Permission) => {
                Ok(Eviction::Unknown("the Redis user lacks the right +info".to_owned()))
            }
            Err(BrokerError::Refused(error)) => Ok(Eviction::Unknown(error.to_string())),
            Err(error) => Err(error),
        }
    }
}

/// Reads the policy from the reply to `INFO memory`.
fn eviction(reply: Value) -> Eviction {
    let bytes = match reply {
        Value::BulkString(bytes) => bytes,
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.into_bytes(),
        _ => Vec::new(),
    };
    let text = String::from_utf8_lossy(&bytes);
    match text.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")) {
        Some("noeviction") => Eviction::Never,
        Some(policy) => Eviction::Policy(policy.to_owned()),
        None => Eviction::Unknown("the server does not report `maxmemory_policy`".to_owned()),
    }
}
