//! Errors of tokens and keys, and whether a retry can succeed.

mod fault;

use std::fmt;
use std::time::Duration;

pub use self::fault::Fault;
pub(crate) use self::fault::{Failure, if_mechanism_missing, if_unsupported};

use crate::login::pin::PinError;

/// The reason why a token or a key in it cannot be used. Contains neither PINs nor key material.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The token is unavailable and is being recovered.
    #[error("the token is unavailable; retry in {} ms", retry_after.as_millis())]
    Transient {
        /// Time until a retry can succeed.
        retry_after: Duration,
    },
    /// The token did not respond in time.
    #[error("the token did not respond in time")]
    Timeout,
    /// The token rejected the PIN. This process does not try it again; it tries another PIN once.
    #[error("the token rejected the PIN, which is not tried again{}", if *count_low { "; few attempts remain" } else { "" })]
    AuthFailed {
        /// The token has counted wrong PINs (`CKF_USER_PIN_COUNT_LOW`).
        count_low: bool,
    },
    /// The token rejected this PIN earlier in this process. No attempt is made until its source has another PIN.
    #[error("the token rejected this PIN earlier in this process: correct the PIN")]
    LockedOut,
    /// The login failed in a way that may have been caused by the PIN. This process does not try it again.
    #[error("the login failed, possibly because of the PIN, and is not tried again before a restart: {0}")]
    LoginFailed(Fault),
    /// The token has locked the PIN. Only its security officer can reset it.
    #[error("the PIN is locked in the token")]
    PinLocked,
    /// One more wrong PIN would lock the token (`CKF_USER_PIN_FINAL_TRY`), so no attempt is made.
    #[error("the token accepts only one more PIN attempt, which must be made by an operator")]
    FinalTry,
    /// The token has counted a wrong PIN since its last login (`CKF_USER_PIN_COUNT_LOW`), and the settings allow no attempt
    /// in that case.
    #[error("the token has counted a wrong PIN since its last login, so no attempt was made")]
    PinCounted,
    /// A login is needed, and the settings do not allow one.
    #[error("not logged in")]
    LoginOmitted,
    /// The PIN is missing or cannot be read.
    #[error("no PIN: {0}")]
    Pin(#[from] PinError),
    /// No token has the requested label, serial number, manufacturer and model.
    #[error("no such token")]
    NoSuchToken,
    /// The name now matches a different token than at first. The PIN is not sent to it.
    #[error("the name now matches a different token than at first")]
    TokenChanged,
    /// The token has no such key.
    #[error("no such key in the token")]
    NoSuchKey,
    /// The name matches more than one token or key.
    #[error("{count} {what} match this name")]
    Ambiguous {
        /// `tokens`, `keys` or `public keys`.
        what: &'static str,
        /// Number of matches.
        count: usize,
    },
    /// The token has the key, but the key must not be used.
    #[error("the key in the token is rejected: {0}")]
    WrongKey(#[from] KeyDefect),
    /// The name now matches a different key than the one that was loaded.
    #[error("the name now matches a different key than the one that was loaded")]
    KeyChanged,
    /// The token returned a wrong result, which was discarded: a signature that does not verify, two different tags
    /// of one message, a wrapped key that unwraps to another key, or a shared secret of the wrong length. Also
    /// returned if a key fails its self-test.
    #[error("the token returned a wrong result, which was discarded")]
    FaultyAnswer,
    /// The token does not accept a message of this length in one call. The key remains usable.
    #[error("the token does not accept a message of {len} bytes")]
    TooLong {
        /// Length of the message, in bytes.
        len: usize,
    },
    /// The bytes were not produced by this wrapping key.
    #[error("the wrapped key was modified, or was wrapped with a different key")]
    NotWrapped,
    /// This process was forked after the library was loaded, which PKCS#11 does not support.
    #[error("the token was opened before this process was forked: open it after the fork")]
    Forked,
    /// The token lacks a mechanism or a feature.
    #[error("the token does not support {0}")]
    Unsupported(&'static str),
    /// The configuration or the state of the token does not allow the operation.
    #[error("{0}")]
    Config(&'static str),
    /// The PKCS#11 library cannot be loaded.
    #[error("cannot load the PKCS#11 library: {0}")]
    Module(String),
    /// The token reported an error.
    #[error("{0}")]
    Token(Fault),
    /// The token was closed.
    #[error("the token is closed")]
    Closed,
}

impl Error {
    /// Returns whether the same call can succeed later without intervention.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Timeout | Self::FaultyAnswer)
    }

    /// Returns whether the error concerns the PIN, so that a retry could lock the token.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        matches!(
            self,
            Self::AuthFailed { .. }
                | Self::LockedOut
                | Self::LoginFailed(_)
                | Self::PinLocked
                | Self::FinalTry
                | Self::PinCounted
        )
    }
}

/// The reason why a key is rejected although the token has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyDefect {
    /// It can leave the token (`CKA_EXTRACTABLE`), and the settings do not allow that.
    #[error("it is extractable: CKA_EXTRACTABLE is not false")]
    Extractable,
    /// Its value can be read in plaintext (`CKA_SENSITIVE` is false).
    #[error("its value can be read: CKA_SENSITIVE is not true")]
    NotSensitive,
    /// It has the wrong type, curve or size.
    #[error("it has the wrong type, curve or size")]
    Type,
    /// It lacks the required use (`CKA_SIGN`, `CKA_DERIVE`, `CKA_WRAP`), allows other uses as well, or the token does
    /// not report its uses.
    #[error("it is not restricted to the required use: {0}")]
    Usage(WrongUses),
    /// It was loaded for another use than this call.
    #[error("it was loaded for another use")]
    OtherUse,
    /// It requires the PIN for every use (`CKA_ALWAYS_AUTHENTICATE`).
    #[error("it requires the PIN for every use: CKA_ALWAYS_AUTHENTICATE is true")]
    AlwaysAuthenticate,
    /// It can be used without a login (`CKA_PRIVATE` is false).
    #[error("it can be used without a login: CKA_PRIVATE is not true")]
    NotPrivate,
    /// Its `CKA_ID` has the length of a kid and is not the kid of its public key, or it is a symmetric key whose id is not a
    /// kid.
    #[error("its id (CKA_ID) is not its kid")]
    Id,
    /// The token has no usable public key for it.
    #[error("the token has no usable public key for it")]
    PublicKey,
}

/// The attributes that do not restrict a key to its use, with their values. One bit for each of `USES`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrongUses {
    set: u8,
    clear: u8,
    missing: u8,
}

impl WrongUses {
    /// Adds an attribute; its value is `None` if the token does not report it.
    pub(crate) fn push(&mut self, name: &'static str, value: Option<bool>) {
        let bit = USES.iter().position(|used| *used == name).map_or(0, |index| 1 << index);
        match value {
            Some(true) => self.set |= bit,
            Some(false) => self.clear |= bit,
            None => self.missing |= bit,
        }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.set | self.clear | self.missing == 0
    }
}

/// The attributes of uses.
const USES: [&str; 7] =
    ["CKA_SIGN", "CKA_SIGN_RECOVER", "CKA_DERIVE", "CKA_WRAP", "CKA_UNWRAP", "CKA_ENCRYPT", "CKA_DECRYPT"];

/// Writes `CKA_DECRYPT is true, CKA_UNWRAP is not reported`.
impl fmt::Display for WrongUses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (index, name) in USES.iter().enumerate() {
            for (bits, value) in [(self.set, "true"), (self.clear, "false"), (self.missing, "not reported")] {
                if bits & (1 << index) != 0 {
                    write!(f, "{separator}{name} is {value}")?;
                    separator = ", ";
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pin_errors_are_not_transient() {
        for error in [
            Error::AuthFailed { count_low: true },
            Error::LockedOut,
            Error::PinLocked,
            Error::FinalTry,
            Error::Pin(PinError::Invalid),
        ] {
            assert!(!error.is_transient(), "{error}");
        }
    }

    #[test]
    fn messages_are_one_line_without_capital_or_full_stop() {
        for error in [
            Error::Transient { retry_after: Duration::from_millis(200) },
            Error::Ambiguous { what: "keys", count: 2 },
            Error::WrongKey(KeyDefect::Id),
            Error::Unsupported("AES keys"),
            Error::Pin(PinError::InsecurePermissions),
        ] {
            let message = error.to_string();
            assert!(
                message.starts_with(|first: char| first.is_lowercase() || first.is_numeric()),
                "{message}"
            );
            assert!(!message.ends_with('.') && !message.contains('\n'), "{message}");
        }
    }
}
