//! Errors of Redis as errors of a broker.

use redis::{ErrorKind, RedisError};

use crate::broker::{BrokerError, Cause};

#[cfg(test)]
mod tests;

/// Converts an error while connecting: no request was sent, so nothing was done.
pub(super) fn while_connecting(error: RedisError) -> BrokerError {
    let cause = cause_of(&error).or_else(|| is_foreign_protocol(&error).then_some(Cause::Protocol));
    let error = match error.kind() {
        ErrorKind::Io => BrokerError::Unavailable(error.into()),
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => from_server(error),
        // The server does not speak the protocol, or the address is invalid.
        _ => BrokerError::Refused(error.into()),
    };
    error.with_cause(cause)
}

/// Converts an error of a call: if no reply came, the request may have been executed.
pub(super) fn while_calling(error: RedisError) -> BrokerError {
    let cause = cause_of(&error);
    let error = match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => BrokerError::Ambiguous(error.into()),
        ErrorKind::Server(_) | ErrorKind::Extension => from_server(error),
        _ => BrokerError::Refused(error.into()),
    };
    error.with_cause(cause)
}

/// Returns whether the connection must be replaced: broken, out of sync, or to a server that became a replica.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
        || matches!(code_of(error).as_str(), "READONLY" | "UNBLOCKED" | "NOAUTH" | "WRONGPASS")
}

/// Returns the setting that is wrong, as far as the words of the server or of TLS tell it.
fn cause_of(error: &RedisError) -> Option<Cause> {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::AuthenticationFailed => return Some(Cause::Credentials),
        ErrorKind::RESP3NotSupported => return Some(Cause::UnknownCommand),
        // The client passes on the words of TLS only.
        ErrorKind::Io => return cause_of_tls(&text),
        ErrorKind::Server(_) | ErrorKind::Extension => {}
        _ => return None,
    }
    match code_of(error).as_str() {
        "NOAUTH" | "WRONGPASS" => Some(Cause::Credentials),
        "NOPERM" => Some(Cause::Permission),
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => Some(Cause::Cluster),
        "READONLY" => Some(Cause::Replica),
        _ if text.contains("without any password configured") => Some(Cause::Credentials),
        // Redis 6.2 words a missing right inside a script like this.
        _ if text.contains("can't run this command or subcommand") => Some(Cause::Permission),
        _ if text.contains("unknown command") || text.contains("Unknown Redis command") => {
            Some(Cause::UnknownCommand)
        }
        _ => None,
    }
}

fn cause_of_tls(text: &str) -> Option<Cause> {
    if text.contains("invalid peer certificate") {
        Some(Cause::ServerCertificate)
    } else if text.contains("received fatal alert") {
        // The protocols of both sides have no version in common, or the server rejects this client.
        let is_about_client =
            ["Certificate", "UnknownCA", "UnknownCa", "AccessDenied"].iter().any(|name| text.contains(name));
        is_about_client.then_some(Cause::ClientCertificate)
    } else {
        text.contains("received corrupt message").then_some(Cause::Protocol)
    }
}

/// Returns whether the server has answered the first request with other bytes than a reply, or closed the connection.
fn is_foreign_protocol(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Parse || error.is_connection_dropped() && !error.is_connection_refusal()
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
