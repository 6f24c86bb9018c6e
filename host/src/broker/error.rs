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
    #[error("broker unavailable: {}", Escaped::new(&words(.0.as_ref())))]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The request was sent and no reply came: it may have been executed. Every call may be repeated.
    #[error("no reply from the broker: {}", Escaped::new(&words(.0.as_ref())))]
    Ambiguous(#[source] Box<dyn Error + Send + Sync>),
    /// The broker has no space; nothing was stored. A retry may succeed once it has.
    #[error("broker is out of space: {}", Escaped::new(&words(.0.as_ref())))]
    Full(#[source] Box<dyn Error + Send + Sync>),
    /// The broker rejects the call: wrong password, missing permission, wrong server, invalid argument.
    #[error("broker refused: {}", Escaped::new(&words(.0.as_ref())))]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// The stored data is not what this program or asynq would store.
    #[error("unexpected data in the broker: {}", Escaped::new(.0.trim_end_matches('.')))]
    Corrupt(String),
}

/// Returns the words of an error without a full stop, as messages are written.
fn words(error: &(dyn Error + Send + Sync)) -> String {
    let mut words = error.to_string();
    words.truncate(words.trim_end_matches(['.', '\r', '\n']).len());
    words
}

impl BrokerError {
    /// Returns whether the same call may succeed later without a change on this host.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Ambiguous(_) | Self::Full(_))
    }

    /// Returns the setting that is wrong, if the broker's words tell it.
    #[doc(hidden)]
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Unavailable(source)
            | Self::Ambiguous(source)
            | Self::Full(source)
            | Self::Refused(source) => source.downcast_ref::<Explained>().map(|error| error.cause),
            Self::Corrupt(_) => None,
        }
    }

    /// Adds the cause to an error that was made from text or from another error.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    pub(crate) fn with_cause(self, cause: Option<Cause>) -> Self {
        let Some(cause) = cause else { return self };
        let explained = |error| Explained { cause, error }.into();
        match self {
            Self::Unavailable(source) => Self::Unavailable(explained(source)),
            Self::Ambiguous(source) => Self::Ambiguous(explained(source)),
            Self::Full(source) => Self::Full(explained(source)),
            Self::Refused(source) => Self::Refused(explained(source)),
            Self::Corrupt(text) => Self::Corrupt(text),
        }
    }
}

/// The setting of this host or of the server that makes calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The user or the password is wrong or missing.
    Credentials,
    /// The user lacks a right.
    Permission,
    /// The certificate of the server is not trusted, has expired, or names another host.
    ServerCertificate,
    /// The server does not accept the certificate of this client, or asks for one.
    ClientCertificate,
    /// The server speaks another protocol: TLS instead of plain text, or plain text instead of TLS.
    Protocol,
    /// The server lacks a command: it is a Sentinel, too old, or restricted.
    UnknownCommand,
    /// The server is a node of a cluster.
    Cluster,
    /// The server is a replica.
    Replica,
    /// There is no queue file.
    MissingFile,
}

/// An error with its cause. It shows the words of the error.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Explained {
    cause: Cause,
    error: Box<dyn Error + Send + Sync>,
}
