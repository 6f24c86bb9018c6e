//! What can go wrong between us and a broker, grouped by what the caller can do about it.

use std::error::Error;

use crate::escape::Escaped;

#[cfg(test)]
mod tests;

/// A broker call that did not give an answer. What the broker said is escaped when it is shown; the sources, asked for
/// one by one, say it as it came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Nothing was done: the broker cannot be reached, is loading, or is busy. Trying again may help.
    #[error("broker unavailable: {}", Escaped::new(&.0.to_string()))]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The request was sent and no answer came: it may have been carried out. Every call may be repeated.
    #[error("no answer from the broker: {}", Escaped::new(&.0.to_string()))]
    Ambiguous(#[source] Box<dyn Error + Send + Sync>),
    /// The broker has no room; nothing was stored. Trying again may help once there is.
    #[error("broker is out of space: {}", Escaped::new(&.0.to_string()))]
    Full(#[source] Box<dyn Error + Send + Sync>),
    /// The broker will never carry this out as asked: wrong password, missing right, wrong server.
    #[error("broker refused: {}", Escaped::new(&.0.to_string()))]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// What is stored is not what we or asynq would store there.
    #[error("unexpected data in the broker: {}", Escaped::new(.0))]
    Corrupt(String),
}

impl BrokerError {
    /// Whether the same call may succeed later without anybody changing anything here.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Ambiguous(_) | Self::Full(_))
    }
}
