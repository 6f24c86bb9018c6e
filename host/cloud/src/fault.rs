//! Faults of a service: which ones a retry can mend, and what to do about the others.

use std::time::Duration;

use taskseal::keys::{KeyError, KeyRef, SignerFault};
use taskseal_core::KeyId;

/// Maximum number of characters of a message of a service.
const MAX_MESSAGE: usize = 300;

/// Retry delay where the service does not give one.
const DEFAULT_RETRY: Duration = Duration::from_millis(200);

/// Maximum delay that a service can require before the next attempt, in seconds. It keeps sums of times in range.
const MAX_RETRY_AFTER: u64 = 3600;

/// Why a service did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Fault {
    kind: FaultKind,
    message: String,
    retry_after: Option<Duration>,
}

/// The kind of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// No connection, no answer in time, or an internal error of the service.
    Unreachable,
    /// The service limits the rate of requests.
    Throttled,
    /// Credentials are missing, expired, wrong, or do not permit the call.
    Credentials,
    /// The key, secret or version does not exist.
    NotFound,
    /// The key or secret is disabled or will be deleted.
    Disabled,
    /// The key is of another type than needed.
    WrongKey,
    /// The name leads to another key than at opening.
    Replaced,
    /// The answer is wrong: a signature that does not verify, or a field that is missing.
    FaultyAnswer,
    /// Any other refusal.
    Refused,
}

impl Fault {
    fn new(kind: FaultKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: readable(message.as_ref()), retry_after: None }
    }

    pub(crate) fn unreachable(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::Unreachable, message)
    }

    /// Creates the fault of an attempt that was not answered within `limit`.
    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self::unreachable(format!("timed out after {} ms", limit.as_millis()))
    }

    /// Creates the fault of a rate limit; `retry_after` is the delay that the service requires.
    pub(crate) fn throttled(message: impl AsRef<str>, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..Self::new(FaultKind::Throttled, message) }
    }

    pub(crate) fn credentials(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::Credentials, message)
    }

    pub(crate) fn not_found(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::NotFound, message)
    }

    pub(crate) fn disabled(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::Disabled, message)
    }

    pub(crate) fn wrong_key(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::WrongKey, message)
    }

    pub(crate) fn faulty_answer(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::FaultyAnswer, message)
    }

    pub(crate) fn refused(message: impl AsRef<str>) -> Self {
        Self::new(FaultKind::Refused, message)
    }

    /// Creates the fault of a name that led to the key `opened` and leads to another one now.
    pub(crate) fn replaced(opened: KeyId, found: Option<KeyId>) -> Self {
        let found = found.map_or_else(String::new, |kid| format!(", found {kid}"));
        Self::new(
            FaultKind::Replaced,
            format!("the key was replaced after it was opened: expected {opened}{found}"),
        )
    }

    /// Returns the time after which a retry may succeed; `None` if a retry cannot succeed.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let transient =
            matches!(self.kind, FaultKind::Unreachable | FaultKind::Throttled | FaultKind::FaultyAnswer);
        transient.then(|| self.retry_after.unwrap_or(DEFAULT_RETRY))
    }

    /// Returns what to do about it.
    const fn hint(&self) -> &'static str {
        match self.kind {
            FaultKind::Unreachable => "check the network, the endpoint and the region",
            FaultKind::Throttled => {
                "raise the quota of the account, or sign several tasks at once (`sign_batch`)"
            }
            FaultKind::Credentials => {
                "renew the credentials of this process, and grant them the permissions that the guide of the provider lists"
            }
            FaultKind::NotFound => "check the name, the version, the region and the account",
            FaultKind::Disabled => "enable the key or version, or name another one",
            FaultKind::WrongKey => "create a key on P-256 for this purpose, and name it",
            FaultKind::Replaced => {
                "add the new key to the keyset, then restart; or let the name lead to the old key again"
            }
            FaultKind::FaultyAnswer => {
                "the service or a proxy before it is faulty; nothing was sealed with this answer"
            }
            FaultKind::Refused => "see the message of the service",
        }
    }

    /// Returns the error of opening `key`.
    pub(crate) fn into_key_error(self, key: &KeyRef) -> KeyError {
        let hint = self.hint();
        let error = match self.kind {
            FaultKind::WrongKey => KeyError::invalid(key, self.message),
            FaultKind::Credentials => KeyError::credentials_refused(key, self.message),
            FaultKind::NotFound => KeyError::not_found(key, self.message),
            _ => KeyError::unavailable(key, self.message),
        };
        error.hint(hint)
    }

    /// Returns the error of a call with a key that is open.
    pub(crate) fn into_signer_fault(self) -> SignerFault {
        match self.retry_after() {
            Some(delay) => SignerFault::transient(self, delay),
            None => SignerFault::new(self),
        }
    }
}

/// Returns the delay of a `Retry-After` header (RFC 9110 section 10.2.3) in seconds. Services do not send its form with a date.
pub(crate) fn retry_after(header: Option<&str>) -> Option<Duration> {
    let seconds: u64 = header?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER)))
}

/// Returns a message of a service on one line, without control characters, shortened.
fn readable(message: &str) -> String {
    let words: Vec<&str> = message
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_that_a_service_requires_is_limited() {
        for (header, seconds) in [("7", 7), (" 3600 ", 3600), ("3601", 3600), ("18446744073709551615", 3600)]
        {
            assert_eq!(retry_after(Some(header)), Some(Duration::from_secs(seconds)), "{header}");
        }
        assert_eq!(retry_after(Some("Fri, 31 Dec 1999 23:59:59 GMT")), None);
        assert_eq!(retry_after(None), None);
    }
}
