//! Who decrypts what is encrypted to a public key: a key in memory, or one that never leaves the place it is kept in.

use std::fmt;
use std::sync::Arc;

use taskseal_core::keys::{AgreementKey, AgreementPublicKey};
use taskseal_core::{Agree, KeyId, Secret};

use super::signer::SignerFault;

/// A P-256 key agreement key that is kept elsewhere: in a token, in a key service.
///
/// Calls may block; async code makes them on threads of their own.
pub trait RemoteAgreement: Send + Sync + fmt::Debug {
    /// The key's kid.
    fn kid(&self) -> KeyId;

    /// The x-coordinate of the point shared with `peer`.
    ///
    /// # Errors
    /// [`SignerFault`]. The task stays sealed then, and may be tried again.
    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault>;

    /// Has the key prove that it agrees rightly: with a key pair that is made for this, so that it is known what has to
    /// come of it. Asked when an authentic body does not decrypt, to tell a broken token from a task that was sealed
    /// wrongly. A token that fails is to be taken out of use until it passes.
    ///
    /// # Errors
    /// [`SignerFault`] if the answer is wrong, or if there is none. The task stays sealed then, and may be tried again.
    ///
    /// # Security
    /// The verdict must depend on the key and its token alone, and on nothing that anybody sent: else who seals tasks
    /// wrongly could have a good token taken out of use.
    fn self_test(&self) -> Result<(), SignerFault>;
}

/// One key to decrypt with.
#[derive(Debug)]
pub(super) enum Agreement {
    Software(Box<AgreementKey>),
    Remote(Arc<dyn RemoteAgreement>),
}

/// A key of a [`Keyring`](super::Keyring) that agrees. Many threads may use one key.
#[derive(Clone, Copy, Debug)]
pub struct HeldAgreement<'k>(pub(super) &'k Agreement);

impl Agree for HeldAgreement<'_> {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        match self.0 {
            Agreement::Software(key) => key.public_key().kid(),
            Agreement::Remote(key) => key.kid(),
        }
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        match self.0 {
            Agreement::Software(key) => {
                let mut key: &AgreementKey = key;
                key.agree(peer).map_err(|never| match never {})
            }
            Agreement::Remote(key) => key.agree(peer),
        }
    }
}
