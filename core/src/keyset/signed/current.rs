//! The keys of a keyset at one time: what verifies, what may seal, what may be encrypted to, what decrypts.

use super::entry::{Entry, EntryKey};
use crate::keys::{AgreementPublicKey, EncryptionKey, HmacKey};
use crate::keyset::{DecryptionKeys, KeyLookup, KeyRecord, RecordKey};
use crate::kid::KeyId;
use crate::time::TimeWindow;

/// Finds the secrets of the shared keys that a keyset names.
pub trait SharedKeys {
    /// The HMAC key with exactly this kid.
    fn hmac_key(&self, kid: KeyId) -> Option<&HmacKey>;

    /// The encryption key with exactly this kid.
    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey>;
}

/// No shared keys: enough for suites S, SE and SP.
impl SharedKeys for () {
    fn hmac_key(&self, _: KeyId) -> Option<&HmacKey> {
        None
    }

    fn encryption_key(&self, _: KeyId) -> Option<&EncryptionKey> {
        None
    }
}

/// Keys side by side in memory.
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
/// * an ES256 key, an HMAC key, and an encryption key with a role; the latter two if their secrets were
///   handed in. A key to agree with, an encryption key of suite SE and a tombstone are never found;
/// * from the moment the keyset names it until `accept_until`, if it is staged, primary or retiring. A
///   disabled or compromised key is found, so that what it sealed is refused as `key-not-valid` and not as
///   unknown.
#[derive(Clone, Copy, Debug)]
pub struct CurrentKeys<'k, 'a, S = ()> {
    entries: &'k [Entry<'a>],
    /// `None`: whatever time it is.
    now: Option<TimeWindow>,
    shared: S,
}

impl<'k, 'a> CurrentKeys<'k, 'a> {
    pub(super) const fn new(entries: &'k [Entry<'a>], now: Option<TimeWindow>) -> Self {
        Self { entries, now, shared: () }
    }
}

impl<'k, 'a, S> CurrentKeys<'k, 'a, S> {
    /// With the secrets of shared keys, so that suites M and E can be verified.
    #[must_use]
    pub fn with_shared_keys<T: SharedKeys>(self, shared: T) -> CurrentKeys<'k, 'a, T> {
        CurrentKeys { entries: self.entries, now: self.now, shared }
    }

    /// The entry with this kid, whatever its state.
    #[must_use]
    pub fn entry(&self, kid: KeyId) -> Option<&'k Entry<'a>> {
        let index = self.entries.binary_search_by_key(&kid, Entry::kid).ok()?;
        self.entries.get(index)
    }

    /// Whether something may be sealed with this key now: signed, authenticated or encrypted. The key is
    /// primary and in its period of use.
    #[must_use]
    pub fn sealing_allowed(&self, kid: KeyId) -> bool {
        self.entry(kid).is_some_and(|entry| self.seals(entry))
    }

    /// The key with this kid to encrypt to (suite SP), if that is allowed now.
    #[must_use]
    pub fn recipient(&self, kid: KeyId) -> Option<&'k AgreementPublicKey> {
        self.recipients().find(|key| key.kid() == kid)
    }

    /// The keys that may be encrypted to now (suite SP), by ascending kid: one for each group of workers that
    /// shares a private key.
    pub fn recipients(&self) -> impl Iterator<Item = &'k AgreementPublicKey> {
        self.entries.iter().filter(|entry| self.seals(entry)).filter_map(|entry| match &entry.key {
            EntryKey::Agreement(key) => Some(key),
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
    /// Whether something may be decrypted with this key now. The key is staged, primary or retiring, before
    /// the end of its acceptance, and one of these: a key to agree with (suite SP), an encryption key without
    /// a role (suite SE), an encryption key with a role whose secret was handed in (suite E).
    #[must_use]
    pub fn decryption_allowed(&self, kid: KeyId) -> bool {
        self.entry(kid).is_some_and(|entry| {
            let decrypts = match entry.key {
                EntryKey::Agreement(_) => true,
                // Verifying refuses a key that it can find inside SE. One that it cannot find is not used.
                EntryKey::A256Gcm(_) => entry.role.is_none() || self.shared.encryption_key(kid).is_some(),
                EntryKey::Es256(_) | EntryKey::Hmac256(_) | EntryKey::Tombstone(_) => false,
            };
            decrypts && entry.state.is_accepted() && self.is_before(entry.accept_until)
        })
    }

    /// Lets nothing of `keys` through but what may decrypt now.
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
            // One key, one purpose: without a role it encrypts inside SE.
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

/// Decryption keys of which a keyset says that they may be used now; others are as good as absent.
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
