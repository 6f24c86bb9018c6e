//! The errors of a broker, grouped by what the caller can do about them.

use std::error::Error;

use crate::escape::Escaped;

#[cfg(test)]
mod tests;

/// A failed call of a broker. Texts of the broker are escaped in the message; the sources show them unescaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Nothing was done: the broker is unreachable, loading, or busy. A retry may succeed.
    #[error("broker unavailable: {}", Escaped::new(&.0.to_string()))]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The request was sent and no reply came: it may have been executed. Every call may be repeated.
    #[error("no reply from the broker: {}", Escaped::new(&.0.to_string()))]
    Ambiguous(#[source] Box<dyn Error + Send + Sync>),
    /// The broker has no space; nothing was stored. A retry may succeed once it has.
    #[error("broker is out of space: {}", Escaped::new(&.0.to_string()))]
    Full(#[source] Box<dyn Error + Send + Sync>),
    /// The broker rejects the call: wrong password, missing permission, wrong server, invalid argument.
    #[error("broker refused: {}", Escaped::new(&.0.to_string()))]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// The stored data is not what this program or asynq would store.
    #[error("unexpected data in the broker: {}", Escaped::new(.0))]
    Corrupt(String),
}

impl BrokerError {
    /// Returns whether the same call may succeed later without a change on this host.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Ambiguous(_) | Self::Full(_))
    }
}
