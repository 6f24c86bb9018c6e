//! References to keys: the URI or path under which a configuration names a key.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// The scheme of keys in files. A path without a scheme means it.
pub(super) const FILE: &str = "file";

/// The place of one secret key, parsed but not yet opened.
///
/// Made by [`KeyStores::parse`](super::KeyStores::parse) or from a path. `Display` and `Debug` show the name of the key and
/// omit what leads to a PIN or password.
#[derive(Clone)]
pub struct KeyRef {
    scheme: &'static str,
    address: OsString,
    name: String,
    field: Option<String>,
}

impl KeyRef {
    /// Creates the reference to a key at `address` in the store of `scheme`; messages show `name`.
    ///
    /// # Security
    /// `name` ends up in logs. Leave out what leads to a PIN or password.
    #[must_use]
    pub fn new(scheme: &'static str, address: impl Into<OsString>, name: impl Into<String>) -> Self {
        Self { scheme, address: address.into(), name: name.into(), field: None }
    }

    /// Sets the configuration field that names this key, with its table: `client.key`.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Returns the scheme of the store that opens this key.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns the address in its store: the path of a file, the whole URI of other keys.
    ///
    /// # Security
    /// It may name the source of a PIN. Show the reference itself instead.
    #[must_use]
    pub fn address(&self) -> &OsStr {
        &self.address
    }

    /// Returns the configuration field that names this key.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

/// References are equal if they lead to the same place, whichever field names them.
impl PartialEq for KeyRef {
    fn eq(&self, other: &Self) -> bool {
        (self.scheme, &self.address) == (other.scheme, &other.address)
    }
}

impl Eq for KeyRef {}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRef").field("name", &self.name).field("field", &self.field).finish_non_exhaustive()
    }
}

impl From<PathBuf> for KeyRef {
    fn from(file: PathBuf) -> Self {
        let name = file.display().to_string();
        Self::new(FILE, file, name)
    }
}

impl From<&Path> for KeyRef {
    fn from(file: &Path) -> Self {
        file.to_owned().into()
    }
}

impl From<&PathBuf> for KeyRef {
    fn from(file: &PathBuf) -> Self {
        file.clone().into()
    }
}

impl From<&Self> for KeyRef {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

/// A text that does not name a key. It shows no part of the text, which may contain a PIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct InvalidKeyRef {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl InvalidKeyRef {
    /// Creates the error. Neither text may repeat what was parsed.
    #[must_use]
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Resolves `path` against the folder of `file`.
pub(crate) fn relative_to(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}
