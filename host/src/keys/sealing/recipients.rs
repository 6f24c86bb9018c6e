//! The recipients of suite SP, and batches whose bodies are encrypted to several keys.

use taskseal_core::Kind;
use taskseal_core::keys::AgreementPublicKey;

use super::{Draft, NotSealed, SealFault};
use crate::keys::keyring::Keyring;
use crate::keys::recipients::NoRecipient;

/// How the recipient of a body is found.
#[derive(Debug)]
pub(super) enum Recipients {
    /// A key that the configuration names.
    Named(AgreementPublicKey),
    /// The key that the keyset of the sealing key chooses for each body.
    OfKeyset,
}

impl Recipients {
    /// Returns the key to which a draft is encrypted now.
    pub(super) fn find(
        &self,
        keyset: &Keyring,
        kind: Kind,
        draft: &Draft<'_>,
    ) -> Result<AgreementPublicKey, NoRecipient> {
        match self {
            Self::Named(key) => Ok(*key),
            Self::OfKeyset => {
                let claims = draft.claims;
                keyset.recipient_for(kind, draft.issuer, claims.task_type, claims.audience)
            }
        }
    }

    /// Seals drafts by calling `seal` once for each recipient, with its drafts. Returns the envelopes in the order of `drafts`.
    pub(super) fn seal_each(
        &self,
        keyset: &Keyring,
        kind: Kind,
        drafts: &[Draft<'_>],
        mut seal: impl FnMut(&AgreementPublicKey, &[Draft<'_>]) -> Vec<Result<Vec<u8>, SealFault>>,
    ) -> Vec<Result<Vec<u8>, NotSealed>> {
        let found: Vec<_> = drafts.iter().map(|draft| self.find(keyset, kind, draft)).collect();
        let mut keys: Vec<AgreementPublicKey> = Vec::new();
        for key in found.iter().flatten() {
            if !keys.contains(key) {
                keys.push(*key);
            }
        }
        let mut sealed = Vec::with_capacity(keys.len());
        for key in keys {
            let of_key = |found: &Result<_, _>| found.as_ref().is_ok_and(|found| *found == key);
            let drafts = drafts.iter().zip(&found).filter(|(_, found)| of_key(found));
            let drafts: Vec<_> = drafts.map(|(draft, _)| *draft).collect();
            sealed.push((key, seal(&key, &drafts).into_iter()));
        }
        let mut envelope_for = |key: &AgreementPublicKey| {
            let (_, envelopes) = sealed.iter_mut().find(|(other, _)| other == key)?;
            envelopes.next()
        };
        found
            .into_iter()
            .map(|found| {
                let envelope = envelope_for(&found?);
                envelope.expect("one envelope or error for each draft").map_err(NotSealed::from)
            })
            .collect()
    }
}
