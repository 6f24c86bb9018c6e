//! The keys of a keyset at one time: keys that verify, keys that may seal, recipients, and decryption keys.

use core::cmp::Reverse;

use super::entry::{Entry, EntryKey};
use crate::keys::{AgreementPublicKey, EncryptionKey, HmacKey};
use crate::keyset::{DecryptionKeys, KeyLookup, KeyRecord, RecordKey};
use crate::kid::KeyId;
use crate::name::{Audience, Issuer, TaskType};
use crate::suite::Kind;
use crate::time::TimeWindow;

/// Finds the secrets of the shared keys that a keyset names.
pub trait SharedKeys {
    /// Returns the HMAC key with exactly this kid.
    fn hmac_key(&self, kid: KeyId) -> Option<&HmacKey>;

    /// Returns the encryption key with exactly this kid.
    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey>;
}

/// No shared keys, for suites S, SE and SP.
impl SharedKeys for () {
    fn hmac_key(&self, _: KeyId) -> Option<&HmacKey> {
        None
    }

    fn encryption_key(&self, _: KeyId) -> Option<&EncryptionKey> {
        None
    }
}

/// Shared keys in slices.
impl SharedKeys for (&[HmacKey], &[EncryptionKey]) {
    fn hmac_key(&self, kid: KeyId) -> Option<&HmacKey> {
        self.0.iter().find(|key| key.kid() == kid)
    }

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        self.1.iter().find(|key| key.kid() == kid)
    }
}

impl<S: SharedKeys + ?Sized> SharedKeys for &S {
    fn hmac_key(&self, kid: KeyId) -> Option<&HmacKey> {
        (**self).hmac_key(kid)
    }

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        (**self).encryption_key(kid)
    }
}

/// The keys of a keyset that is in force. As a [`KeyLookup`] it finds the keys that verify envelopes:
///
/// * an ES256 key, an HMAC key, and an encryption key with a role; the latter two if their secrets are available. A key
///   agreement key, an encryption key of suite SE and a tombstone are never found;
/// * until `accept_until`, if it is staged, primary or retiring. A disabled or compromised key is found, so that its
///   envelopes are refused as `key-not-valid` and not as `unknown-key`.
#[derive(Clone, Copy, Debug)]
pub struct CurrentKeys<'k, 'a, S = ()> {
    entries: &'k [Entry<'a>],
    /// `None` for any time.
    now: Option<TimeWindow>,
    shared: S,
}

impl<'k, 'a> CurrentKeys<'k, 'a> {
    pub(super) const fn new(entries: &'k [Entry<'a>], now: Option<TimeWindow>) -> Self {
        Self { entries, now, shared: () }
    }
}

impl<'k, 'a, S> CurrentKeys<'k, 'a, S> {
    /// Adds the secrets of shared keys, so that suites M and E can be verified.
    #[must_use]
    pub fn with_shared_keys<T: SharedKeys>(self, shared: T) -> CurrentKeys<'k, 'a, T> {
        CurrentKeys { entries: self.entries, now: self.now, shared }
    }

    /// Returns the entry with this kid in any state.
    #[must_use]
    pub fn entry(&self, kid: KeyId) -> Option<&'k Entry<'a>> {
        let index = self.entries.binary_search_by_key(&kid, Entry::kid).ok()?;
        self.entries.get(index)
    }

    /// Returns whether this key may seal now, that is, sign, authenticate or encrypt. The key must be primary and
    /// within its period of use.
    #[must_use]
    pub fn sealing_allowed(&self, kid: KeyId) -> bool {
        self.entry(kid).is_some_and(|entry| self.seals(entry))
    }

    /// Returns the recipient with this kid (suite SP), if producers may encrypt to it now.
    #[must_use]
    pub fn recipient(&self, kid: KeyId) -> Option<&'k AgreementPublicKey> {
        self.recipients().find(|key| key.kid() == kid)
    }

    /// Returns the recipients (suite SP) that producers may encrypt to now, by ascending kid: one for each group of
    /// workers with a common private key.
    pub fn recipients(&self) -> impl Iterator<Item = &'k AgreementPublicKey> {
        self.recipient_entries().map(|(_, key)| key)
    }

    /// Returns the recipient (suite SP) to which the keyset says that a body is encrypted now: that of a task by
    /// `issuer`, or of the result for the request of `issuer`. If the roles of several recipients match, the one with the
    /// latest `use_from` is returned, of those the one with the lowest kid. A recipient without a role is never returned.
    #[must_use]
    pub fn recipient_for(
        &self,
        kind: Kind,
        issuer: Issuer<'_>,
        task_type: TaskType<'_>,
        audience: Audience<'_>,
    ) -> Option<&'k AgreementPublicKey> {
        self.recipient_entries()
            .filter(|(entry, _)| {
                entry.role.is_some_and(|role| role.matches(kind, issuer, task_type, audience))
            })
            // The first of several is the one with the lowest kid.
            .min_by_key(|(entry, _)| Reverse(entry.use_from.unwrap_or(0)))
            .map(|(_, key)| key)
    }

    fn recipient_entries(&self) -> impl Iterator<Item = (&'k Entry<'a>, &'k AgreementPublicKey)> {
        self.entries.iter().filter(|entry| self.seals(entry)).filter_map(|entry| match &entry.key {
            EntryKey::Agreement(key) => Some((entry, key)),
            _ => None,
        })
    }

    fn seals(&self, entry: &Entry<'_>) -> bool {
        entry.state.seals()
            && self.is_from(entry.use_from)
            && self.is_before(entry.sign_until)
            && self.is_before(entry.accept_until)
    }

    fn is_from(&self, start: Option<u64>) -> bool {
        self.now.is_none_or(|now| start.is_none_or(|start| now.earliest >= start))
    }

    fn is_before(&self, end: Option<u64>) -> bool {
        self.now.is_none_or(|now| end.is_none_or(|end| now.latest < end))
    }
}

impl<'k, 'a, S: SharedKeys> CurrentKeys<'k, 'a, S> {
    /// Returns whether this key may decrypt now. The key must be staged, primary or retiring, before the end of its
    /// acceptance, and one of these: a key agreement key (suite SP), an encryption key without a role (suite SE), an
    /// encryption key with a role whose secret is available (suite E).
    #[must_use]
    pub fn decryption_allowed(&self, kid: KeyId) -> bool {
        self.entry(kid).is_some_and(|entry| {
            let decrypts = match entry.key {
                EntryKey::Agreement(_) => true,
                // Verification refuses keys of suite E inside SE if it can find them. Keys that it cannot find are not
                // used.
                EntryKey::A256Gcm(_) => entry.role.is_none() || self.shared.encryption_key(kid).is_some(),
                EntryKey::Es256(_) | EntryKey::Hmac256(_) | EntryKey::Tombstone(_) => false,
            };
            decrypts && entry.state.is_accepted() && self.is_before(entry.accept_until)
        })
    }

    /// Restricts `keys` to those that may decrypt now.
    #[must_use]
    pub const fn permitted<D: DecryptionKeys>(self, keys: D) -> PermittedKeys<'k, 'a, D, S> {
        PermittedKeys { current: self, keys }
    }
}

impl<S: SharedKeys> KeyLookup for CurrentKeys<'_, '_, S> {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        let entry = self.entry(kid)?;
        let key = match &entry.key {
            EntryKey::Es256(key) => RecordKey::Es256(key),
            EntryKey::Hmac256(_) => RecordKey::Hmac256(self.shared.hmac_key(kid)?),
            // A key has one purpose: without a role it encrypts inside SE.
            EntryKey::A256Gcm(_) if entry.role.is_some() => {
                RecordKey::A256Gcm(self.shared.encryption_key(kid)?)
            }
            EntryKey::A256Gcm(_) | EntryKey::Agreement(_) | EntryKey::Tombstone(_) => return None,
        };
        let role = entry.role.unwrap_or_default();
        let mut record = KeyRecord::new(key).kind(role.kind);
        (record.issuers, record.types, record.audiences) = (role.issuers, role.types, role.audiences);
        record.valid_until = entry.accept_until.unwrap_or(u64::MAX);
        record.enabled = entry.state.is_accepted();
        (record.kid() == kid).then_some(record)
    }
}

/// Decryption keys that a keyset allows to be used now. Other keys are not found.
#[derive(Debug)]
pub struct PermittedKeys<'k, 'a, D, S = ()> {
    current: CurrentKeys<'k, 'a, S>,
    keys: D,
}

impl<D: DecryptionKeys, S: SharedKeys> DecryptionKeys for PermittedKeys<'_, '_, D, S> {
    type Agree<'g>
        = D::Agree<'g>
    where
        Self: 'g;

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        self.keys.encryption_key(kid).filter(|_| self.current.decryption_allowed(kid))
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<Self::Agree<'_>> {
        if self.current.decryption_allowed(kid) { self.keys.agreement_key(kid) } else { None }
    }
}
