//! The interface to places that hand out secrets as bytes, and the one key store that reads key files from them.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::armoured_key;
use super::error::KeyError;
use super::handle::{KeyHandle, KeyUsage};
use super::reference::{InvalidKeyRef, KeyRef};
use super::store::KeyStore;
use crate::file_watch;

/// A place that hands out secrets as bytes, named by the scheme of their URIs: an environment variable, a secrets manager.
///
/// [`KeyStores::with_source`](super::KeyStores::with_source) registers one. Its secrets can be keys, each as the content of a
/// key file, and passwords.
pub trait SecretSource: Send + Sync + fmt::Debug {
    /// Returns the scheme in lower case, without the colon: `env`.
    fn scheme(&self) -> &'static str;

    /// Parses a URI of this scheme. `file` is the configuration file that contains it; relative paths start in its folder.
    ///
    /// # Errors
    /// [`InvalidKeyRef`] if the URI does not name one secret.
    fn parse(&self, uri: &str, file: &Path) -> Result<KeyRef, InvalidKeyRef>;

    /// Fetches a secret that this source has parsed.
    ///
    /// It may block, for a limited time.
    ///
    /// # Errors
    /// [`KeyError`]: [`unavailable`](KeyError::unavailable) if a later attempt may succeed,
    /// [`credentials_refused`](KeyError::credentials_refused), [`not_found`](KeyError::not_found), or
    /// [`invalid`](KeyError::invalid) if the source returned something else than a secret.
    ///
    /// # Security
    /// Neither errors nor `Debug` may contain a part of the secret, or of the credentials that it is fetched with.
    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError>;
}

/// A secret in the memory of this process, wiped on drop.
pub struct FetchedSecret {
    content: Zeroizing<Vec<u8>>,
    version: Option<String>,
    time_to_live: Option<Duration>,
}

impl FetchedSecret {
    /// Creates a secret without version that stays valid.
    #[must_use]
    pub const fn new(content: Zeroizing<Vec<u8>>) -> Self {
        Self { content, version: None, time_to_live: None }
    }

    /// Sets the version that the source gives this content. It is not secret.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets the time after which the secret must be fetched again.
    #[must_use]
    pub const fn with_time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = Some(time_to_live);
        self
    }

    /// Returns the bytes.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Returns the key whose key file this content is, also as base64 on one or more lines. `key` names it in errors.
    ///
    /// A client or worker that opens the key loads its keys again before the time to live ends.
    ///
    /// # Errors
    /// [`KeyError`] if the content is not a key file.
    pub fn to_key(&self, key: &KeyRef) -> Result<KeyHandle, KeyError> {
        if let Some(time_to_live) = self.time_to_live {
            // A quarter of the time remains for further attempts.
            file_watch::record_fetch_again(time_to_live / 4 * 3);
        }
        armoured_key::parse_secret(key, &self.content).map(KeyHandle::Secret)
    }

    /// Returns the version of the content.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Returns the time after which the secret must be fetched again.
    #[must_use]
    pub const fn time_to_live(&self) -> Option<Duration> {
        self.time_to_live
    }
}

impl fmt::Debug for FetchedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedSecret")
            .field("version", &self.version)
            .field("time_to_live", &self.time_to_live)
            .finish_non_exhaustive()
    }
}

/// The key store of a source: each secret is the content of a key file, also as base64 on one or more lines.
#[derive(Debug)]
pub(super) struct SourceStore<S>(pub(super) S);

impl<S: SecretSource> KeyStore for SourceStore<S> {
    fn scheme(&self) -> &'static str {
        self.0.scheme()
    }

    fn parse(&self, uri: &str, file: &Path) -> Result<KeyRef, InvalidKeyRef> {
        self.0.parse(uri, file)
    }

    /// Opens whichever key the secret contains: the caller checks the algorithm.
    fn open(&self, key: &KeyRef, _: KeyUsage) -> Result<KeyHandle, KeyError> {
        self.0.fetch(key)?.to_key(key)
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        self.0.fetch(secret)
    }
}
