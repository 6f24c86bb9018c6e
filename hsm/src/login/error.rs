//! Errors of a connection attempt: whether it may be repeated, and when.

use std::time::Duration;

use crate::error::Error;

/// The reason why there is no connection to a token.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// It can be tried again, at the earliest after this time.
    Retryable(Error, Duration),
    /// It must not be tried again: an operator must act.
    Permanent(Error),
}

impl ConnectError {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Retryable(error, _) | Self::Permanent(error) => error,
        }
    }
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        match error {
            Error::AuthFailed { .. }
            | Error::LockedOut
            | Error::LoginFailed(_)
            | Error::PinLocked
            | Error::FinalTry
            | Error::Forked
            | Error::Config(_)
            | Error::Unsupported(_) => Self::Permanent(error),
            retryable => Self::Retryable(retryable, Duration::ZERO),
        }
    }
}
