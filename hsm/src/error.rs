//! What can go wrong between a caller and a token, and whether trying again can help.

use std::fmt;
use std::time::Duration;

use cryptoki::error::{Error as Cryptoki, RvError};

use crate::login::pin::PinError;

/// Why a token or a key in it could not be used. Shows neither PINs nor key material.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The token is away and is being recovered.
    #[error("the token is away; it is tried again in {} ms", retry_after.as_millis())]
    Transient {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The token did not answer in time.
    #[error("the token did not answer in time")]
    Timeout,
    /// The token refused the PIN. It is not tried a second time.
    #[error("the token refused the pin, which is not tried again{}", if *count_low { "; few attempts are left" } else { "" })]
    AuthFailed {
        /// The token has counted wrong PINs (`CKF_USER_PIN_COUNT_LOW`).
        count_low: bool,
    },
    /// The token refused the PIN before, in this process. No further attempt is made until it is restarted.
    #[error("the token refused the pin earlier in this process: correct the pin and restart")]
    LockedOut,
    /// Logging in failed in a way that may have been about the PIN. It is not tried again in this process.
    #[error("the login failed, perhaps because of the pin, and is not tried again before a restart: {0}")]
    LoginFailed(Fault),
    /// The token has locked the PIN; only its security officer can help.
    #[error("the pin is locked in the token")]
    PinLocked,
    /// One more wrong PIN would lock the token (`CKF_USER_PIN_FINAL_TRY`), so none is tried.
    #[error("the token accepts one last attempt at its pin, which is left to a human")]
    FinalTry,
    /// There is no PIN, or it cannot be read.
    #[error("no pin: {0}")]
    Pin(#[from] PinError),
    /// No token has the label, serial number, maker and model that were asked for.
    #[error("no such token")]
    NoSuchToken,
    /// Another token goes by this name now. It is not shown the PIN.
    #[error("another token goes by this name than at first")]
    TokenChanged,
    /// The token has no such key.
    #[error("no such key in the token")]
    NoSuchKey,
    /// More than one token or key goes by this name.
    #[error("{count} {what} go by this name")]
    Ambiguous {
        /// `tokens` or `keys`.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// There is such a key, but it must not be used.
    #[error("the key in the token is refused: {0}")]
    WrongKey(#[from] KeyDefect),
    /// Behind the name is another key than at first.
    #[error("the token has another key under this name than before")]
    KeyChanged,
    /// The token returned something wrong, which was not used: a signature that does not verify, two tags of one
    /// message, a wrapped key that is another one when it is unwrapped, a shared secret of the wrong length; or a key did
    /// not pass its test.
    #[error("the token calculated wrongly; the result was not used")]
    FaultyAnswer,
    /// The token takes no message of this length in one call. The key is none the worse for it.
    #[error("the token takes no message of {len} bytes")]
    TooLong {
        /// Bytes of the message.
        len: usize,
    },
    /// The bytes are not what this key wrapped.
    #[error("the wrapped key was changed, or was wrapped with another key")]
    NotWrapped,
    /// This process is a fork of the one that loaded the library. PKCS#11 does not survive that.
    #[error("the token was opened before this process was forked: open it after")]
    Forked,
    /// The token cannot do this.
    #[error("the token does not support {0}")]
    Unsupported(&'static str),
    /// The token was named or set up in a way that cannot work.
    #[error("{0}")]
    Config(&'static str),
    /// The PKCS#11 library cannot be loaded.
    #[error("the pkcs#11 library cannot be loaded: {0}")]
    Module(String),
    /// The token reported an error.
    #[error("{0}")]
    Token(Fault),
    /// The token was closed.
    #[error("the token is closed")]
    Closed,
}

impl Error {
    /// Whether the same call can succeed later without anybody's help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Timeout | Self::FaultyAnswer)
    }

    /// Whether the PIN is the matter, so that trying again would do harm.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        matches!(
            self,
            Self::AuthFailed { .. }
                | Self::LockedOut
                | Self::LoginFailed(_)
                | Self::PinLocked
                | Self::FinalTry
        )
    }
}

/// Why a key is refused although the token has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyDefect {
    /// It could leave the token (`CKA_EXTRACTABLE`), and the settings do not allow that.
    #[error("it is extractable")]
    Extractable,
    /// It can be read in plain (`CKA_SENSITIVE` is false).
    #[error("it is not sensitive")]
    NotSensitive,
    /// It is of another type, curve or size.
    #[error("it is of another type, curve or size")]
    Type,
    /// It may not be used for this (`CKA_SIGN`, `CKA_DERIVE`, `CKA_WRAP`), or for more than this, or the token does not
    /// show whether it may.
    #[error("it is not made for this use alone")]
    Usage,
    /// It wants the PIN for every use (`CKA_ALWAYS_AUTHENTICATE`).
    #[error("it wants the pin for every use")]
    AlwaysAuthenticate,
    /// It can be used without a login (`CKA_PRIVATE` is false).
    #[error("it can be used without a login")]
    NotPrivate,
    /// Its `CKA_ID` is not the kid of its public key, or no kid at all.
    #[error("its id is not its kid")]
    Id,
    /// The token shows no public key that goes with it.
    #[error("the token has no usable public key for it")]
    PublicKey,
}

/// The function of PKCS#11 that failed and the code it failed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// A panic on a thread of the token.
    pub(crate) fn panic() -> Self {
        Self("a thread of the token panicked".to_owned())
    }

    pub(crate) fn new(error: &Cryptoki) -> Self {
        match error {
            Cryptoki::Pkcs11(code, function) => Self(format!("C_{function:?}: {}", ckr(*code))),
            other => Self(format!("pkcs#11: {other}")),
        }
    }
}

/// The name the standard gives a code: `DeviceError` is `CKR_DEVICE_ERROR`.
fn ckr(code: RvError) -> String {
    match code {
        RvError::VendorDefined(number) | RvError::UnknownErrorCode(number) => format!("CKR {number:#010x}"),
        named => {
            let mut name = String::from("CKR");
            for letter in format!("{named:?}").chars() {
                if letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            name
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({})", self.0)
    }
}

/// What an operation inside a session ended with: the library's own error, to be classified, or ours, which is final.
#[derive(Debug)]
pub(crate) enum Failure {
    Library(Cryptoki),
    Ours(Error),
}

impl From<Cryptoki> for Failure {
    fn from(error: Cryptoki) -> Self {
        Self::Library(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<KeyDefect> for Failure {
    fn from(defect: KeyDefect) -> Self {
        Self::Ours(Error::WrongKey(defect))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Library(error) => Self::Token(Fault::new(&error)),
            Failure::Ours(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn faults_have_the_names_of_the_standard() {
        let fault = |code| Fault::new(&Cryptoki::Pkcs11(code, Function::SignInit)).to_string();

        assert_eq!(fault(RvError::DeviceError), "C_SignInit: CKR_DEVICE_ERROR");
        assert_eq!(fault(RvError::UserPinNotInitialized), "C_SignInit: CKR_USER_PIN_NOT_INITIALIZED");
        assert_eq!(fault(RvError::VendorDefined(0x8000_0001)), "C_SignInit: CKR 0x80000001");
    }

    #[test]
    fn nothing_about_a_pin_is_worth_trying_again() {
        for error in [
            Error::AuthFailed { count_low: true },
            Error::LockedOut,
            Error::PinLocked,
            Error::FinalTry,
            Error::Pin(PinError::NotAPin),
        ] {
            assert!(!error.is_transient(), "{error}");
        }
    }

    #[test]
    fn messages_are_one_line_in_lower_case() {
        for error in [
            Error::Transient { retry_after: Duration::from_millis(200) },
            Error::Ambiguous { what: "keys", count: 2 },
            Error::WrongKey(KeyDefect::Id),
            Error::Unsupported("AES keys"),
            Error::Pin(PinError::OpenToOthers),
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
