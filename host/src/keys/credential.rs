//! Keys in systemd credentials: `cred:NAME` is a key file that systemd passes to a service.

use std::path::Path;

use super::error::KeyError;
use super::file;
use super::handle::{KeyHandle, KeyUsage};
use super::reference::{InvalidKeyRef, KeyRef};
use super::store::KeyStore;
use crate::file_security;

/// The store of keys in credentials.
#[derive(Clone, Copy, Debug)]
pub(super) struct CredentialStore;

impl KeyStore for CredentialStore {
    fn scheme(&self) -> &'static str {
        "cred"
    }

    fn parse(&self, uri: &str, file: &Path) -> Result<KeyRef, InvalidKeyRef> {
        Ok(KeyRef::new(self.scheme(), file_security::secret_path(file, uri), uri))
    }

    /// Opens whichever key the file contains: the caller checks the algorithm.
    fn open(&self, key: &KeyRef, _: KeyUsage) -> Result<KeyHandle, KeyError> {
        file::read(key).map(KeyHandle::Secret)
    }
}
