//! Keys in systemd credentials: `cred:NAME` is a key file that systemd passes to a service.

use std::path::Path;

use super::error::KeyError;
use super::file;
use super::reference::{InvalidKeyRef, KeyRef};
use super::secret_source::{FetchedSecret, SecretSource};
use crate::file_security;

/// The source of secrets in credentials.
#[derive(Clone, Copy, Debug)]
pub(super) struct CredentialSource;

impl SecretSource for CredentialSource {
    fn scheme(&self) -> &'static str {
        "cred"
    }

    fn parse(&self, uri: &str, file: &Path) -> Result<KeyRef, InvalidKeyRef> {
        Ok(KeyRef::new(self.scheme(), file_security::secret_path(file, uri), uri))
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        file::content(secret).map(FetchedSecret::new)
    }
}
