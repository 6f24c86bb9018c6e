//! The decryption keys of one opening, and whether a key that is kept elsewhere can be believed when nothing comes of it.
//!
//! An authentic body that does not decrypt was sealed wrongly, or the secret that a token gave for it is wrong. A broken
//! token must not have a good task refused for good.

use std::time::Duration;

use taskseal_core::keys::{AgreementKey, AgreementPublicKey, EncryptionKey};
use taskseal_core::keyset::DecryptionKeys;
use taskseal_core::{Agree, KeyId, OpenError, Refusal, Secret};

use super::Keyring;
use super::agreement::{Agreement, HeldAgreement, RemoteAgreement};
use super::record::KeysetKey;
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
    answer: Result<Secret<32>, SignerFault>,
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
    /// was to be decrypted by a key that is kept elsewhere and that gives another answer now, or a wrong one to a
    /// question whose answer is known here.
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

    /// Whether the key gives the right answer to a key pair of ours, and then the same one as before: asked in this order, a
    /// key that was mended meanwhile contradicts itself.
    fn stands(&self, asked: &Asked<'_>) -> bool {
        let Ok(first) = &asked.answer else { return false };
        self.is_right(asked.key) && asked.key.agree(&asked.peer).is_ok_and(|second| same(first, &second))
    }

    /// Whether the key agrees with a fresh key pair on what that pair's private half says. Nothing is known of one whose
    /// public half the keyset does not have.
    fn is_right(&self, key: &dyn RemoteAgreement) -> bool {
        let Some(KeysetKey::EcdhEs(public)) = self.keyring.record(key.kid()).map(|record| record.key())
        else {
            return true;
        };
        let Some(mut ours) = fresh() else { return false };
        let Ok(expected) = ours.agree(public);
        key.agree(&ours.public_key()).is_ok_and(|answer| same(&expected, &answer))
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
                Ok(secret) => Ok(Secret::copy_from(secret.as_bytes())),
                Err(fault) => Err(fault.clone()),
            };
            *self.asked = Some(Asked { key: &**key, peer: *peer, answer: copy });
        }
        answer
    }
}

/// A key pair that nobody else has; `None` without randomness.
fn fresh() -> Option<AgreementKey> {
    let mut scalar = Secret::zeroed();
    // All but one in 2^32 scalars are of use.
    (0..4).find_map(|_| {
        getrandom::fill(scalar.as_mut_bytes()).ok()?;
        AgreementKey::from_scalar(&scalar).ok()
    })
}

/// Compares in constant time.
fn same(one: &Secret<32>, other: &Secret<32>) -> bool {
    let pairs = one.as_bytes().iter().zip(other.as_bytes());
    pairs.fold(0, |differences, (one, other)| differences | (one ^ other)) == 0
}

#[cfg(test)]
mod tests;
