//! Key agreement keys, which decrypt bodies of suite SP: in memory, or kept elsewhere.

use std::fmt;
use std::sync::Arc;

use taskseal_core::keys::{AgreementKey, AgreementPublicKey};
use taskseal_core::{Agree, KeyId, Secret};

use super::signer::SignerFault;

/// A P-256 key agreement key kept elsewhere: in a token or in a key service.
///
/// Calls may block; async code makes them on blocking threads.
pub trait RemoteAgreement: Send + Sync + fmt::Debug {
    /// Returns the kid of the key.
    fn kid(&self) -> KeyId;

    /// Returns the x-coordinate of the point shared with `peer`.
    ///
    /// # Errors
    /// [`SignerFault`]. The task stays sealed then, and may be retried.
    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault>;

    /// Tests the key against a key pair generated for the test, whose shared secret is known.
    ///
    /// Called when an authentic body does not decrypt, to tell a faulty token from a task that was sealed wrongly. A token
    /// that fails must be taken out of use until it passes.
    ///
    /// # Errors
    /// [`SignerFault`] if the answer is wrong or missing. The task stays sealed then, and may be retried.
    ///
    /// # Security
    /// The verdict must depend only on the key and its token. If it depended on received data, a producer of wrongly sealed
    /// tasks could take a good token out of use.
    fn self_test(&self) -> Result<(), SignerFault>;
}

/// One decryption key of a [`Keyring`](super::Keyring).
#[derive(Debug)]
pub(super) enum Agreement {
    Software(Box<AgreementKey>),
    Remote(Arc<dyn RemoteAgreement>),
}

/// Implemented for the reference, so that many threads can decrypt with one key.
impl Agree for &Agreement {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        match self {
            Agreement::Software(key) => key.public_key().kid(),
            Agreement::Remote(key) => key.kid(),
        }
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        match self {
            Agreement::Software(key) => {
                let mut key: &AgreementKey = key;
                key.agree(peer).map_err(|never| match never {})
            }
            Agreement::Remote(key) => key.agree(peer),
        }
    }
}
