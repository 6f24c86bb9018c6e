//! Decryption keys for one opening, and whether the answers of a key kept elsewhere can be trusted.
//!
//! If an authentic body does not decrypt, either it was sealed wrongly, or the token gave a wrong secret. A faulty token must
//! not cause a good task to be refused permanently, so the key is tested before the task is refused.

use std::time::{Duration, Instant};

use taskseal_core::keys::{AgreementPublicKey, EncryptionKey};
use taskseal_core::keyset::DecryptionKeys;
use taskseal_core::{Agree, KeyId, OpenError, Refusal, Secret};

use super::agreement::{Agreement, RemoteKey};
use super::keyring::Keyring;
use super::signer::SignerFault;

/// Decryption keys to open one envelope with. Made by [`Keyring::opening`].
#[derive(Debug)]
pub struct OpeningKeys<'k> {
    keyring: &'k Keyring,
    last_call: Option<RemoteCall<'k>>,
}

/// A call to a key kept elsewhere, and its answer.
#[derive(Debug)]
struct RemoteCall<'k> {
    key: &'k RemoteKey,
    peer: AgreementPublicKey,
    /// In a box: a move would leave a copy.
    answer: Result<Box<Secret<32>>, SignerFault>,
}

/// A key of [`OpeningKeys`]. It records the calls to keys kept elsewhere.
#[derive(Debug)]
pub struct OpeningAgreement<'w, 'k> {
    key: &'k Agreement,
    last_call: &'w mut Option<RemoteCall<'k>>,
}

/// Retry delay for a key whose answers contradict each other.
const CONTRADICTION_RETRY: Duration = Duration::from_millis(200);

impl Keyring {
    /// Returns the decryption keys to open one envelope with.
    #[must_use]
    pub const fn opening(&self) -> OpeningKeys<'_> {
        OpeningKeys { keyring: self, last_call: None }
    }
}

impl OpeningKeys<'_> {
    /// Returns the final error of an opening that failed with `error`.
    ///
    /// This is [`OpenError::KeyUnavailable`] instead of [`Refusal::Rejected`] if a key kept elsewhere was to decrypt the body
    /// and gives another answer now, or fails its test ([`RemoteAgreement::self_test`](super::RemoteAgreement::self_test)).
    ///
    /// It may block as the opening did.
    #[must_use]
    pub fn verdict(&self, error: OpenError) -> OpenError {
        match (&self.last_call, error) {
            (Some(call), OpenError::Refused(Refusal::Rejected)) if !call.is_confirmed() => {
                OpenError::KeyUnavailable
            }
            _ => error,
        }
    }

    /// Returns the time after which a retry may succeed, after [`OpenError::KeyUnavailable`]; `None` if a retry cannot
    /// succeed.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match &self.last_call.as_ref()?.answer {
            Ok(_) => Some(CONTRADICTION_RETRY),
            Err(fault) => fault.retry_after(),
        }
    }

    /// Returns the key that was called and why its answer cannot be used, after [`OpenError::KeyUnavailable`].
    pub(crate) fn fault(&self) -> (Option<KeyId>, String) {
        let kid = self.last_call.as_ref().map(|call| call.key.key.kid());
        let reason = match &self.last_call {
            Some(RemoteCall { answer: Err(fault), .. }) => fault.to_string(),
            _ => "its answers contradict each other or are wrong".to_owned(),
        };
        (kid, reason)
    }
}

impl RemoteCall<'_> {
    /// Returns whether the key passes its test and then repeats its answer.
    ///
    /// In this order, a key that was repaired in the meantime contradicts its first answer. Only the test can take a token
    /// out of use, and the test does not depend on an envelope.
    fn is_confirmed(&self) -> bool {
        let Ok(first) = &self.answer else { return false };
        self.key.is_sound(Instant::now)
            && self.key.key.agree(&self.peer).is_ok_and(|second| same(first, &second))
    }
}

impl<'k> DecryptionKeys for OpeningKeys<'k> {
    type Agree<'w>
        = OpeningAgreement<'w, 'k>
    where
        Self: 'w;

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        self.keyring.shared_key(kid)
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<OpeningAgreement<'_, 'k>> {
        let key = self.keyring.private_key(kid)?;
        Some(OpeningAgreement { key, last_call: &mut self.last_call })
    }
}

impl Agree for OpeningAgreement<'_, '_> {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        Agree::kid(&self.key)
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        let mut key = self.key;
        let answer = key.agree(peer);
        if let Agreement::Remote(key) = self.key {
            let copy = match &answer {
                Ok(secret) => Ok(boxed(secret)),
                Err(fault) => Err(fault.clone()),
            };
            *self.last_call = Some(RemoteCall { key, peer: *peer, answer: copy });
        }
        answer
    }
}

/// Copies a secret into a box, so that no move leaves a copy.
fn boxed(secret: &Secret<32>) -> Box<Secret<32>> {
    let mut copy = Box::new(Secret::zeroed());
    copy.as_mut_bytes().copy_from_slice(secret.as_bytes());
    copy
}

/// Compares two secrets in constant time.
fn same(one: &Secret<32>, other: &Secret<32>) -> bool {
    let pairs = one.as_bytes().iter().zip(other.as_bytes());
    pairs.fold(0, |differences, (one, other)| differences | (one ^ other)) == 0
}

#[cfg(test)]
mod tests;
