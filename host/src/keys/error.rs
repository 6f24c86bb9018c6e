//! Errors of keys: which key, which configuration field, what is wrong, and what to do about it.

use std::fmt;
use std::io;
use std::ops::Deref;

use super::reference::KeyRef;
use super::signed_keyset::KeysetError;
use crate::file_error::FileError;

/// Why a key cannot be used.
///
/// Shown as `key: field: message`. The hint is shown on a separate line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError(Box<KeyFault>);

/// The parts of a [`KeyError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyFault {
    /// The key, with the configuration field that names it.
    pub key: KeyRef,
    /// Whether the key is unavailable, wrong or not allowed.
    pub kind: KeyErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The kind of a [`KeyError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyErrorKind {
    /// The file cannot be read, or the token or service cannot be used.
    Unavailable,
    /// The token rejected the PIN, or no attempt was made because more wrong PINs could lock the token. A restart would make
    /// another attempt.
    PinRefused,
    /// The key service refused the credentials of this process, or does not let them use this key.
    CredentialsRefused,
    /// The source has no such key, or not this version of it.
    NotFound,
    /// The token needs a login, which this process must not make.
    #[doc(hidden)]
    LoginOmitted,
    /// The key is damaged, insecurely stored, or of another algorithm than needed.
    Invalid,
    /// The keyset does not allow this use of the key.
    NotAllowed,
    /// The key to create already exists.
    Exists,
}

impl KeyError {
    /// Creates the error of a key.
    #[must_use]
    pub fn new(key: &KeyRef, kind: KeyErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(KeyFault { key: key.clone(), kind, message: message.into(), hint: None }))
    }

    /// Creates the error of a key that is unavailable.
    #[must_use]
    pub fn unavailable(key: &KeyRef, message: impl Into<String>) -> Self {
        Self::new(key, KeyErrorKind::Unavailable, message)
    }

    /// Creates the error of a key whose service refused the credentials of this process, or does not let them use the key.
    #[must_use]
    pub fn credentials_refused(key: &KeyRef, message: impl Into<String>) -> Self {
        Self::new(key, KeyErrorKind::CredentialsRefused, message)
    }

    /// Creates the error of a key that its source does not have, or not in the version that the URI names.
    #[must_use]
    pub fn not_found(key: &KeyRef, message: impl Into<String>) -> Self {
        Self::new(key, KeyErrorKind::NotFound, message)
    }

    /// Creates the error of a key that is damaged or of another algorithm than needed.
    #[must_use]
    pub fn invalid(key: &KeyRef, message: impl Into<String>) -> Self {
        Self::new(key, KeyErrorKind::Invalid, message)
    }

    /// Creates the error of a key that the keyset does not allow to be used.
    #[must_use]
    pub fn not_allowed(key: &KeyRef, message: impl Into<String>) -> Self {
        Self::new(key, KeyErrorKind::NotAllowed, message)
    }

    /// Creates the error of a key for which the operating system gave no random bytes.
    pub(super) fn no_randomness(key: &KeyRef, error: getrandom::Error) -> Self {
        Self::invalid(key, format!("cannot get random bytes from the system: {error}"))
    }

    /// Creates the error of a key from that of its file.
    pub(super) fn of_file(key: &KeyRef, error: &FileError) -> Self {
        let kind = match error.io {
            None => KeyErrorKind::Invalid,
            Some(io::ErrorKind::AlreadyExists) => KeyErrorKind::Exists,
            Some(_) => KeyErrorKind::Unavailable,
        };
        let mut fault = Self::new(key, kind, &error.message);
        fault.0.hint.clone_from(&error.hint);
        fault
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Returns whether the file cannot be read, or the token or service cannot be used.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.0.kind == KeyErrorKind::Unavailable
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        if let Some(field) = self.key.field() {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for KeyError {}

impl Deref for KeyError {
    type Target = KeyFault;

    fn deref(&self) -> &KeyFault {
        &self.0
    }
}

/// Why a keyring or one of its keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The configuration or the keyset file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A signed keyset, or the record of it, cannot be used.
    #[error(transparent)]
    Keyset(#[from] KeysetError),
}

impl KeyringError {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::File(error) => error.hint.as_deref(),
            Self::Key(error) => error.hint.as_deref(),
            Self::Keyset(error) => Some(&error.hint),
        }
    }
}
