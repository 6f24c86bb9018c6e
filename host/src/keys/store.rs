//! The interface to places that keep keys, one for each URI scheme.

use std::fmt;
use std::path::Path;

use super::error::KeyError;
use super::handle::{KeyHandle, KeyUsage};
use super::reference::{InvalidKeyRef, KeyRef};
use super::secret_source::FetchedSecret;

/// A place that keeps keys, named by the scheme of their URIs.
///
/// [`KeyStores::with`](super::KeyStores::with) registers one.
pub trait KeyStore: Send + Sync + fmt::Debug {
    /// Returns the scheme in lower case, without the colon: `pkcs11`.
    fn scheme(&self) -> &'static str;

    /// Parses a URI of this scheme. `file` is the configuration file that contains it; relative paths start in its folder.
    ///
    /// # Errors
    /// [`InvalidKeyRef`] if the URI does not name one key.
    fn parse(&self, uri: &str, file: &Path) -> Result<KeyRef, InvalidKeyRef>;

    /// Returns the keys to which a reference leads, of which the keyset chooses: a folder of files, or several keys with one label. The
    /// default is for stores whose references lead to one key.
    ///
    /// It may block.
    ///
    /// # Errors
    /// [`KeyError`] if they cannot be listed.
    fn list(&self, key: &KeyRef, _usage: KeyUsage) -> Result<Vec<KeyRef>, KeyError> {
        Ok(vec![key.clone()])
    }

    /// Opens a key that this store has parsed, to be used as `usage` says. The caller checks that the handle fits.
    ///
    /// It may block.
    ///
    /// # Errors
    /// [`KeyError`] if the key is unavailable, damaged, or not made for this usage.
    fn open(&self, key: &KeyRef, usage: KeyUsage) -> Result<KeyHandle, KeyError>;

    /// Returns a secret as bytes, such as a password. The default is for stores that hand out none.
    ///
    /// It may block.
    ///
    /// # Errors
    /// [`KeyError`] if the secret is unavailable, or this store hands out none.
    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        let message = format!("`{}:` does not hand out secrets as bytes", self.scheme());
        Err(KeyError::invalid(secret, message).hint("name a file or another source of secrets"))
    }
}
