//! Names of queues, which are safe in a Redis key, an audience, a log line and a file name.

use std::fmt;
use std::str::FromStr;

/// Name of a queue: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
///
/// Stricter than asynq, so that a name can neither leave the braces of a Redis key nor contain a separator of an audience.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(String);

impl QueueName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidQueueName`] if it is empty, too long or has another character.
    pub fn parse(name: &str) -> Result<Self, InvalidQueueName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
            return Err(InvalidQueueName);
        }
        Ok(Self(name.to_owned()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueName {
    type Err = InvalidQueueName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The text is not a [`QueueName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a queue name is 1 to 64 of A-Z a-z 0-9 . _ -")]
#[non_exhaustive]
pub struct InvalidQueueName;
