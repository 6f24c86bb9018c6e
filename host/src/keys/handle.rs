//! Handles of opened keys: in the memory of this process, or kept elsewhere and used through calls.

use std::sync::Arc;

use taskseal_core::KeyId;
use taskseal_core::keys::POINT_LEN;

use super::agreement::RemoteAgreement;
use super::algorithm::Algorithm;
use super::authenticator::RemoteAuthenticator;
use super::secret_key::SecretKey;
use super::signer::RemoteSigner;

/// The purpose for which a key is opened. A store that knows the purpose of its keys refuses other ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyUsage {
    /// Signs with ES256: suites S, SE and SP.
    Sign,
    /// Authenticates with HS256: suite M.
    Authenticate,
    /// Encrypts with A256GCM: suite E, and bodies of suite SE.
    Encrypt,
    /// Decrypts bodies: ECDH-ES or A256GCM.
    Decrypt,
}

/// An opened key.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyHandle {
    /// A secret key in the memory of this process.
    Secret(SecretKey),
    /// An ES256 key kept elsewhere.
    Signer(Arc<dyn RemoteSigner>),
    /// An ECDH-ES key kept elsewhere.
    Agreement(Arc<dyn RemoteAgreement>),
    /// An HS256 key kept elsewhere.
    Authenticator(Arc<dyn RemoteAuthenticator>),
}

impl KeyHandle {
    /// Returns the kid.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        match self {
            Self::Secret(key) => key.kid(),
            Self::Signer(key) => key.kid(),
            Self::Agreement(key) => key.kid(),
            Self::Authenticator(key) => key.kid(),
        }
    }

    /// Returns the public key as an uncompressed point; `None` for a symmetric key, and for a key kept elsewhere that cannot
    /// say it.
    #[doc(hidden)]
    #[must_use]
    pub fn point(&self) -> Option<[u8; POINT_LEN]> {
        match self {
            Self::Secret(key) => key.point(),
            Self::Signer(key) => key.public_point(),
            Self::Agreement(key) => key.public_point(),
            Self::Authenticator(_) => None,
        }
    }

    /// Returns the algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(key) => key.algorithm(),
            Self::Signer(_) => Algorithm::Es256,
            Self::Agreement(_) => Algorithm::EcdhEs,
            Self::Authenticator(_) => Algorithm::Hs256,
        }
    }
}
