//! Where a key is kept: in a secret key file, or in a PKCS#11 token.

use std::fmt;
use std::path::{Path, PathBuf};

use super::relative_to;
use super::token::TokenKey;
use crate::file_error::FileError;

/// The place of a secret key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// A file, made by `taskseal keygen`.
    File(PathBuf),
    /// A key that never leaves its token, by its URI (RFC 7512).
    Token(TokenKey),
}

/// A `pkcs11:` URI that names no key. Shows no part of it: a PIN may be in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLocation(pub(super) String);

impl KeyLocation {
    /// Reads what a configuration says: a `pkcs11:` URI, or a path relative to the folder of `file`.
    ///
    /// # Errors
    /// [`InvalidLocation`] for a URI that does not name one key in one token.
    pub fn parse(text: &str, file: &Path) -> Result<Self, InvalidLocation> {
        if is_uri(text) {
            return TokenKey::parse(text).map(Self::Token);
        }
        Ok(Self::File(relative_to(file, text)))
    }

    /// What is wrong with the key there.
    pub(crate) fn fault(&self, message: impl Into<String>) -> FileError {
        match self {
            Self::File(file) => FileError::new(file, message),
            Self::Token(key) => key.fault(message),
        }
    }
}

/// Whether a text means a key in a token. No path begins like that by accident: `./pkcs11:x` is one. In whatever case:
/// what is then refused as a URI is not shown, and there may be a PIN in it.
pub(crate) fn is_uri(text: &str) -> bool {
    const SCHEME: &[u8] = b"pkcs11:";
    text.as_bytes().get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
}

impl fmt::Display for KeyLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Token(key) => key.fmt(f),
        }
    }
}

impl From<PathBuf> for KeyLocation {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

impl From<&Path> for KeyLocation {
    fn from(file: &Path) -> Self {
        Self::File(file.to_owned())
    }
}

impl From<&PathBuf> for KeyLocation {
    fn from(file: &PathBuf) -> Self {
        Self::File(file.clone())
    }
}

impl From<&Self> for KeyLocation {
    fn from(location: &Self) -> Self {
        location.clone()
    }
}
