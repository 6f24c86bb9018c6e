//! Reading the replies of scripts. A reply of another shape did not come from our scripts.

use redis::Value;

use crate::broker::BrokerError;
use crate::time::UnixMillis;

pub(super) fn array(value: Value) -> Result<Vec<Value>, BrokerError> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        _ => Err(unexpected()),
    }
}

/// Reads an array of exactly `N` items.
pub(super) fn tuple<const N: usize>(value: Value) -> Result<[Value; N], BrokerError> {
    array(value)?.try_into().map_err(|_| unexpected())
}

pub(super) fn int(value: &Value) -> Result<i64, BrokerError> {
    match value {
        Value::Int(number) => Ok(*number),
        _ => Err(unexpected()),
    }
}

pub(super) fn count(value: &Value) -> Result<usize, BrokerError> {
    usize::try_from(int(value)?).map_err(|_| unexpected())
}

/// Returns `count` unless it is more than was asked for.
pub(super) fn at_most(count: usize, limit: usize) -> Result<usize, BrokerError> {
    if count <= limit { Ok(count) } else { Err(unexpected()) }
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, BrokerError> {
    optional(value)?.ok_or_else(unexpected)
}

pub(super) fn optional(value: Value) -> Result<Option<Vec<u8>>, BrokerError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        _ => Err(unexpected()),
    }
}

/// Reads a task id. In one that is not UTF-8, which no known producer writes, invalid bytes are replaced.
pub(super) fn id(value: Value) -> Result<String, BrokerError> {
    bytes(value).map(|bytes| {
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    })
}

pub(super) fn ids(value: Value) -> Result<Vec<String>, BrokerError> {
    array(value)?.into_iter().map(id).collect()
}

/// Reads a counter stored as text; any other value counts as zero.
pub(super) fn counter(value: Value) -> Result<u64, BrokerError> {
    Ok(optional(value)?.and_then(parse).unwrap_or(0))
}

/// Reads Unix milliseconds as text; none for 0 and any other value.
pub(super) fn millis(value: Value) -> Result<Option<UnixMillis>, BrokerError> {
    Ok(optional(value)?.and_then(parse).filter(|millis| *millis > 0).map(UnixMillis))
}

fn parse<T: std::str::FromStr>(bytes: Vec<u8>) -> Option<T> {
    String::from_utf8(bytes).ok()?.parse().ok()
}

pub(super) fn unexpected() -> BrokerError {
    BrokerError::Corrupt("redis replied to a script in an unexpected form".to_owned())
}
