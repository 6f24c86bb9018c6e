//! The decryption keys of one opening, and whether a key that is kept elsewhere can be believed when nothing comes of it.
//!
//! An authentic body that does not decrypt was sealed wrongly, or the secret that a token gave for it is wrong. A broken
//! token must not have a good task refused for good.

use std::time::Duration;

use taskseal_core::keys::{AgreementPublicKey, EncryptionKey};
use taskseal_core::keyset::DecryptionKeys;
use taskseal_core::{Agree, KeyId, OpenError, Refusal, Secret};

use super::Keyring;
use super::agreement::{Agreement, HeldAgreement, RemoteAgreement};
use super::signer::SignerFault;

/// Decryption keys to open one envelope with. Made by [`Keyring::opening`].
#[derive(Debug)]
pub struct OpeningKeys<'k> {
    keyring: &'k Keyring,
    asked: Option<Asked<'k>>,
}

/// What a key that is kept elsewhere was asked, and what it answered.
#[derive(Debug)]
struct Asked<'k> {
    key: &'k dyn RemoteAgreement,
    peer: AgreementPublicKey,
    /// In a box: moved, it would leave a copy.
    answer: Result<Box<Secret<32>>, SignerFault>,
}

/// A key of [`OpeningKeys`]: agrees, and what it answers is remembered.
#[derive(Debug)]
pub struct WitnessedAgreement<'w, 'k> {
    key: &'k Agreement,
    asked: &'w mut Option<Asked<'k>>,
}

/// How soon a key is asked again whose answers contradict each other.
const SOON: Duration = Duration::from_millis(200);

impl<'k> OpeningKeys<'k> {
    pub(super) const fn new(keyring: &'k Keyring) -> Self {
        Self { keyring, asked: None }
    }

    /// What an error of opening comes to: [`OpenError::KeyUnavailable`] in the place of [`Refusal::Rejected`] if the body
    /// was to be decrypted by a key that is kept elsewhere and that gives another answer now, or fails its test
    /// ([`RemoteAgreement::self_test`]).
    ///
    /// It may block as the opening did.
    #[must_use]
    pub fn verdict(&self, error: OpenError) -> OpenError {
        match (&self.asked, error) {
            (Some(asked), OpenError::Refused(Refusal::Rejected)) if !self.stands(asked) => {
                OpenError::KeyUnavailable
            }
            _ => error,
        }
    }

    /// After which time it is worth opening again after [`OpenError::KeyUnavailable`]; `None`: asking again is of no use.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match &self.asked.as_ref()?.answer {
            Ok(_) => Some(SOON),
            Err(fault) => fault.retry_after(),
        }
    }

    /// The key that was asked, and what keeps its answer from being believed, after [`OpenError::KeyUnavailable`].
    pub(crate) fn fault(&self) -> (Option<KeyId>, String) {
        let kid = self.asked.as_ref().map(|asked| asked.key.kid());
        let reason = match &self.asked {
            Some(Asked { answer: Err(fault), .. }) => fault.to_string(),
            _ => "its answers contradict each other or are wrong".to_owned(),
        };
        (kid, reason)
    }

    /// Whether the key passes its own test, and then gives the same answer as before: asked in this order, a key that was
    /// mended meanwhile contradicts itself. Only the test can have a token taken out of use, and no envelope has a say in
    /// that.
    fn stands(&self, asked: &Asked<'_>) -> bool {
        let Ok(first) = &asked.answer else { return false };
        asked.key.self_test().is_ok() && asked.key.agree(&asked.peer).is_ok_and(|second| same(first, &second))
    }
}

impl<'k> DecryptionKeys for OpeningKeys<'k> {
    type Agree<'w>
        = WitnessedAgreement<'w, 'k>
    where
        Self: 'w;

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        self.keyring.shared_key(kid)
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<WitnessedAgreement<'_, 'k>> {
        let HeldAgreement(key) = self.keyring.private_key(kid)?;
        Some(WitnessedAgreement { key, asked: &mut self.asked })
    }
}

impl Agree for WitnessedAgreement<'_, '_> {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        HeldAgreement(self.key).kid()
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        let answer = HeldAgreement(self.key).agree(peer);
        if let Agreement::Remote(key) = self.key {
            let copy = match &answer {
                Ok(secret) => Ok(boxed(secret)),
                Err(fault) => Err(fault.clone()),
            };
            *self.asked = Some(Asked { key: &**key, peer: *peer, answer: copy });
        }
        answer
    }
}

/// A copy that is made where it stays.
fn boxed(secret: &Secret<32>) -> Box<Secret<32>> {
    let mut copy = Box::new(Secret::zeroed());
    copy.as_mut_bytes().copy_from_slice(secret.as_bytes());
    copy
}

/// Compares in constant time.
fn same(one: &Secret<32>, other: &Secret<32>) -> bool {
    let pairs = one.as_bytes().iter().zip(other.as_bytes());
    pairs.fold(0, |differences, (one, other)| differences | (one ^ other)) == 0
}

#[cfg(test)]
mod tests;
