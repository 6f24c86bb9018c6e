//! Errors of Redis as errors of a broker.

use redis::{ErrorKind, RedisError};

use crate::broker::BrokerError;

#[cfg(test)]
mod tests;

/// Converts an error while connecting: no request was sent, so nothing was done.
pub(super) fn while_connecting(error: RedisError) -> BrokerError {
    match error.kind() {
        ErrorKind::Io => BrokerError::Unavailable(error.into()),
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => from_server(error),
        // The server does not speak the protocol, or the address is invalid.
        _ => BrokerError::Refused(error.into()),
    }
}

/// Converts an error of a call: if no reply came, the request may have been executed.
pub(super) fn while_calling(error: RedisError) -> BrokerError {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => BrokerError::Ambiguous(error.into()),
        ErrorKind::Server(_) | ErrorKind::Extension => from_server(error),
        _ => BrokerError::Refused(error.into()),
    }
}

/// Returns whether the connection must be replaced: broken, out of sync, or to a server that became a replica.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
        || matches!(code_of(error).as_str(), "READONLY" | "UNBLOCKED" | "NOAUTH" | "WRONGPASS")
}

fn from_server(error: RedisError) -> BrokerError {
    match code_of(&error).as_str() {
        "LOADING" | "BUSY" | "UNKILLABLE" | "CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN" | "READONLY"
        | "UNBLOCKED" | "NOREPLICAS" => BrokerError::Unavailable(error.into()),
        "OOM" | "MISCONF" => BrokerError::Full(error.into()),
        _ if error.to_string().contains("max number of clients") => BrokerError::Unavailable(error.into()),
        _ => BrokerError::Refused(error.into()),
    }
}

/// Returns the first word of an error. Redis 6.2 wraps an error inside a script: `ERR ... @user_script: 12: -OOM ...`.
fn code_of(error: &RedisError) -> String {
    let code = error.code().unwrap_or_default();
    let text = error.to_string();
    // A proxy puts words before those of the server, or shows them as an unknown error.
    if text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "READONLY") {
        return "READONLY".to_owned();
    }
    if code == "ERR" && text.contains("@user_script") {
        let inner = text.split_whitespace().find_map(|word| word.strip_prefix('-'));
        if let Some(inner) = inner.filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase())) {
            return inner.to_owned();
        }
    }
    code.to_owned()
}
