//! HMAC keys of suite M: in memory, or kept elsewhere.

use std::fmt;
use std::sync::Arc;

use taskseal_core::keys::HmacKey;
use taskseal_core::provider::MacStructure;
use taskseal_core::{Authenticator, KeyId, Secret};

use super::signer::SignerFault;

/// An HMAC-SHA256 key kept elsewhere: in a token or in a key service. It seals; verifiers hold the shared secret
/// themselves.
///
/// Calls may block; async code makes them on blocking threads.
pub trait RemoteAuthenticator: Send + Sync + fmt::Debug {
    /// Returns the kid of the key.
    fn kid(&self) -> KeyId;

    /// Returns the tag of a message.
    ///
    /// # Errors
    /// [`SignerFault`]. Nothing is sealed then.
    fn authenticate(&self, message: &MacStructure<'_>) -> Result<Secret<32>, SignerFault>;
}

/// The HMAC key of one [`SealingKey`](super::SealingKey).
#[derive(Debug)]
pub(super) enum Authenticating {
    Software(Box<HmacKey>),
    Remote(Arc<dyn RemoteAuthenticator>),
}

impl Authenticating {
    pub(super) fn kid(&self) -> KeyId {
        match self {
            Self::Software(key) => key.kid(),
            Self::Remote(key) => key.kid(),
        }
    }

    pub(super) const fn may_block(&self) -> bool {
        matches!(self, Self::Remote(_))
    }
}

/// Implemented for the reference, so that many threads can authenticate with one key.
impl Authenticator for &Authenticating {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        Authenticating::kid(self)
    }

    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, SignerFault> {
        match self {
            Authenticating::Software(key) => {
                let mut key: &HmacKey = key;
                key.authenticate(message).map_err(|never| match never {})
            }
            Authenticating::Remote(key) => key.authenticate(message),
        }
    }
}
