//! Who signs: a key in memory, or one that never leaves the place it is kept in.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use taskseal_core::keys::SigningKey;
use taskseal_core::{KeyId, Signer};

/// An ES256 key that is kept elsewhere: in a token, in a key service.
///
/// Calls may block; async code makes them on threads of their own.
pub trait RemoteSigner: Send + Sync + fmt::Debug {
    /// The key's kid.
    fn kid(&self) -> KeyId;

    /// Signs a SHA-256 digest; returns `r || s`, both 32 bytes big-endian.
    ///
    /// # Errors
    /// [`SignerFault`]. Nothing is sealed then.
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault>;
}

/// Why a key that is kept elsewhere gave no answer. Cloned to every task that waited for it.
#[derive(Clone, Debug)]
pub struct SignerFault {
    error: Arc<dyn Error + Send + Sync>,
    kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultKind {
    /// Asking again is of no use.
    Lasting,
    /// Worth asking again after this time.
    Passing(Duration),
    /// It is this message that gets no answer; another one does.
    OfMessage,
}

impl SignerFault {
    /// Wraps the error of a token or service, or a text. Asking again is of no use.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into().into(), kind: FaultKind::Lasting }
    }

    /// As [`new`](Self::new) for one that is away and may come back: worth asking again after this time.
    pub fn transient(error: impl Into<Box<dyn Error + Send + Sync>>, retry_after: Duration) -> Self {
        Self { error: error.into().into(), kind: FaultKind::Passing(retry_after) }
    }

    /// As [`new`](Self::new) for one that refuses this message, for its length, and works all the same: asking again with
    /// another message is of use.
    pub fn refusing(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into().into(), kind: FaultKind::OfMessage }
    }

    /// After which time it is worth asking again; `None`: never.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            FaultKind::Passing(retry_after) => Some(retry_after),
            FaultKind::Lasting | FaultKind::OfMessage => None,
        }
    }

    /// Whether the message is at fault and not the key.
    #[must_use]
    pub const fn refuses_message(&self) -> bool {
        matches!(self.kind, FaultKind::OfMessage)
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

/// The signer of one sealing key.
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

/// Many threads sign with one key: `&signing`.
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
