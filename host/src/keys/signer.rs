//! Signing keys: in memory, or kept elsewhere.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use taskseal_core::keys::{POINT_LEN, SigningKey};
use taskseal_core::{KeyId, Signer};

/// An ES256 key kept elsewhere: in a token or in a key service.
///
/// Calls may block; async code makes them on blocking threads.
pub trait RemoteSigner: Send + Sync + fmt::Debug {
    /// Returns the kid of the key.
    fn kid(&self) -> KeyId;

    /// Returns the public key as an uncompressed point, if the key can say it.
    fn public_point(&self) -> Option<[u8; POINT_LEN]> {
        None
    }

    /// Signs a SHA-256 digest; returns `r || s`, both 32 bytes big-endian.
    ///
    /// # Errors
    /// [`SignerFault`]. Nothing is sealed then.
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault>;
}

/// Why a key kept elsewhere did not answer. Every task of a batch gets a clone.
#[derive(Clone, Debug)]
pub struct SignerFault {
    error: Arc<dyn Error + Send + Sync>,
    kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultKind {
    /// A retry cannot succeed.
    Permanent,
    /// A retry may succeed after this time.
    Transient(Duration),
    /// This message is refused; another one may succeed.
    Message,
}

impl SignerFault {
    /// Creates a permanent fault from the error of a token or service, or from a text.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into().into(), kind: FaultKind::Permanent }
    }

    /// Creates a transient fault: a retry may succeed after `retry_after`.
    pub fn transient(error: impl Into<Box<dyn Error + Send + Sync>>, retry_after: Duration) -> Self {
        Self { error: error.into().into(), kind: FaultKind::Transient(retry_after) }
    }

    /// Creates the fault of a message that is too long. The key remains usable for other messages.
    pub fn refusing(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into().into(), kind: FaultKind::Message }
    }

    /// Returns the time after which a retry may succeed; `None` if a retry cannot succeed.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            FaultKind::Transient(retry_after) => Some(retry_after),
            FaultKind::Permanent | FaultKind::Message => None,
        }
    }

    /// Returns whether the message was refused while the key remains usable.
    #[must_use]
    pub const fn refuses_message(&self) -> bool {
        matches!(self.kind, FaultKind::Message)
    }
}

impl fmt::Display for SignerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for SignerFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The signing key of one [`SealingKey`](super::SealingKey).
#[derive(Debug)]
pub(super) enum Signing {
    Software(Box<SigningKey>),
    Remote(Arc<dyn RemoteSigner>),
}

impl Signing {
    pub(super) fn kid(&self) -> KeyId {
        match self {
            Self::Software(key) => key.verifying_key().kid(),
            Self::Remote(signer) => signer.kid(),
        }
    }

    pub(super) const fn may_block(&self) -> bool {
        matches!(self, Self::Remote(_))
    }
}

/// Implemented for the reference, so that many threads can sign with one key.
impl Signer for &Signing {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        Signing::kid(self)
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        match self {
            Signing::Software(key) => {
                let mut key: &SigningKey = key;
                key.sign_digest(digest).map_err(|never| match never {})
            }
            Signing::Remote(signer) => signer.sign_digest(digest),
        }
    }
}
