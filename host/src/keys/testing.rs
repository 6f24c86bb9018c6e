//! A folder of keys for tests.

use std::fs;
use std::path::PathBuf;

use taskseal_core::KeyId;

use super::algorithm::Algorithm;
use super::error::KeyringError;
use super::keyring::Keyring;
use super::secret_key::SecretKey;
use crate::file_error::FileError;

/// A folder with keys and a keyset.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn key(&self, name: &str, algorithm: Algorithm) -> SecretKey {
        SecretKey::create(&self.path(name), algorithm, "a test").unwrap()
    }

    pub(crate) fn keyset(&self, text: &str) -> Keyring {
        self.load(text).unwrap()
    }

    /// The error of a keyset that is refused.
    pub(crate) fn refused(&self, text: &str) -> FileError {
        match self.load(text).unwrap_err() {
            KeyringError::File(error) => error,
            other => panic!("{other}"),
        }
    }

    pub(crate) fn load(&self, text: &str) -> Result<Keyring, KeyringError> {
        self.write("keyset.toml", text);
        Keyring::load(&self.path("keyset.toml"))
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

pub(crate) const RIGHTS: &str = "issuers = [\"me\"]\ntypes = [\"*\"]\naudiences = [\"here/*\"]\n";

pub(crate) fn entry(key: &SecretKey, more: &str) -> String {
    let (kid, alg) = (key.kid(), key.algorithm());
    let public = key.public().map_or_else(String::new, |public| format!("public = \"{public}\"\n"));
    format!("[[key]]\nkid = \"{kid}\"\nalg = \"{alg}\"\n{public}{more}\n")
}

/// The entry of a key whose secret is in a token.
pub(crate) fn in_token(kid: KeyId) -> String {
    format!("[[key]]\nkid = \"{kid}\"\nalg = \"HS256\"\nuse = \"task\"\nin_token = true\n{RIGHTS}\n")
}
