//! What an error from Redis means for the caller.

use redis::{ErrorKind, RedisError};

use crate::broker::BrokerError;

#[cfg(test)]
mod tests;

/// While connecting nothing was asked for yet, so no failure leaves a doubt.
pub(super) fn while_connecting(error: RedisError) -> BrokerError {
    match error.kind() {
        ErrorKind::Io => BrokerError::Unavailable(error.into()),
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => from_server(error),
        // Whatever answered there does not speak the protocol, or the address makes no sense.
        _ => BrokerError::Refused(error.into()),
    }
}

/// Once a request was handed over, a missing answer says nothing about whether it was carried out.
pub(super) fn while_calling(error: RedisError) -> BrokerError {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => BrokerError::Ambiguous(error.into()),
        ErrorKind::Server(_) | ErrorKind::Extension => from_server(error),
        _ => BrokerError::Refused(error.into()),
    }
}

/// Whether the connection is of no more use: broken, out of step, or to a server that became a replica.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) || code_of(error) == "READONLY"
}

fn from_server(error: RedisError) -> BrokerError {
    match code_of(&error).as_str() {
        "LOADING" | "BUSY" | "UNKILLABLE" | "CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN" | "READONLY"
        | "NOREPLICAS" => BrokerError::Unavailable(error.into()),
        "OOM" | "MISCONF" => BrokerError::Full(error.into()),
        _ if error.to_string().contains("max number of clients") => BrokerError::Unavailable(error.into()),
        _ => BrokerError::Refused(error.into()),
    }
}

/// The error's first word. Redis 6.2 wraps an error inside a script as `ERR ... @user_script: 12: -OOM ...`.
fn code_of(error: &RedisError) -> String {
    let code = error.code().unwrap_or_default();
    let text = error.to_string();
    if code == "ERR" && text.contains("@user_script") {
        let inner = text.split_whitespace().find_map(|word| word.strip_prefix('-'));
        if let Some(inner) = inner.filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase())) {
            return inner.to_owned();
        }
    }
    code.to_owned()
}
