//! Keysets: which keys may seal, for whom, what, where and when.

pub mod signed;

use heapless::Vec;

use crate::error::InvalidKey;
use crate::keys::{EncryptionKey, HmacKey, VerifyingKey};
use crate::kid::KeyId;
use crate::name::NameSet;
use crate::provider::Agree;
use crate::suite::Kind;
use crate::time::TimeWindow;

/// A key that verifies envelopes, and what it may vouch for.
///
/// The record, never the message, decides the algorithm: a message that names another one is rejected.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KeyRecord<'a> {
    /// The key.
    pub key: RecordKey<'a>,
    /// What it seals: tasks or results. One key, one purpose.
    pub kind: Kind,
    /// Issuers it may speak for.
    pub issuers: NameSet<'a>,
    /// Task types it may seal.
    pub types: NameSet<'a>,
    /// Audiences (`deployment/queue`) it may seal for.
    pub audiences: NameSet<'a>,
    /// Unix time in seconds from which on it is accepted.
    pub valid_from: u64,
    /// Unix time in seconds from which on it is refused; `u64::MAX`: no end.
    pub valid_until: u64,
    /// False: revoked or disabled; nothing it sealed is accepted.
    pub enabled: bool,
}

/// The key of a record.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RecordKey<'a> {
    /// Verifies suites S, SE and SP.
    Es256(&'a VerifyingKey),
    /// Verifies suite M.
    Hmac256(&'a HmacKey),
    /// Verifies suite E.
    A256Gcm(&'a EncryptionKey),
}

impl<'a> KeyRecord<'a> {
    /// A record for tasks with no rights and no end: set the fields that apply.
    #[must_use]
    pub const fn new(key: RecordKey<'a>) -> Self {
        Self {
            key,
            kind: Kind::Task,
            issuers: NameSet::NONE,
            types: NameSet::NONE,
            audiences: NameSet::NONE,
            valid_from: 0,
            valid_until: u64::MAX,
            enabled: true,
        }
    }

    /// The key's kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        match self.key {
            RecordKey::Es256(key) => key.kid(),
            RecordKey::Hmac256(key) => key.kid(),
            RecordKey::A256Gcm(key) => key.kid(),
        }
    }

    /// Whether the key is enabled and within its period of validity, `skew` seconds of tolerance included.
    #[must_use]
    pub const fn is_valid(&self, now: TimeWindow, skew: u32) -> bool {
        let skew = skew as u64;
        // Who knows no latest time gives the greatest number, and a key without an end has none to compare it with.
        let has_no_end = self.valid_until == u64::MAX;
        self.enabled
            && now.earliest.saturating_add(skew) >= self.valid_from
            && (has_no_end || now.latest < self.valid_until.saturating_add(skew))
    }

    /// Speaks for these issuers.
    #[must_use]
    pub const fn issuers(mut self, issuers: NameSet<'a>) -> Self {
        self.issuers = issuers;
        self
    }

    /// Seals these task types.
    #[must_use]
    pub const fn types(mut self, types: NameSet<'a>) -> Self {
        self.types = types;
        self
    }

    /// Seals for these audiences.
    #[must_use]
    pub const fn audiences(mut self, audiences: NameSet<'a>) -> Self {
        self.audiences = audiences;
        self
    }

    /// Seals `kind`.
    #[must_use]
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}

/// Finds the one record with a kid.
pub trait KeyLookup {
    /// The record with exactly this kid; `None` if there is none. There is no second try with another key.
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>>;
}

impl<L: KeyLookup + ?Sized> KeyLookup for &L {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        (**self).find(kid)
    }
}

/// Up to `N` records in fixed memory.
#[derive(Clone, Debug, Default)]
pub struct Keyset<'a, const N: usize> {
    records: Vec<KeyRecord<'a>, N>,
}

impl<'a, const N: usize> Keyset<'a, N> {
    /// No records.
    #[must_use]
    pub const fn new() -> Self {
        Self { records: Vec::new() }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`InvalidKey`] if the keyset is full or has a record with this kid already.
    pub fn insert(&mut self, record: KeyRecord<'a>) -> Result<(), InvalidKey> {
        if self.records.iter().any(|other| other.kid() == record.kid()) {
            return Err(InvalidKey);
        }
        self.records.push(record).map_err(|_| InvalidKey)
    }
}

impl<const N: usize> KeyLookup for Keyset<'_, N> {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        self.records.iter().find(|record| record.kid() == kid).copied()
    }
}

/// Finds the keys that bodies are decrypted with.
pub trait DecryptionKeys {
    /// A key agreement key of this store.
    type Agree<'k>: Agree
    where
        Self: 'k;

    /// The shared encryption key with exactly this kid (suites E and SE).
    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey>;

    /// The key agreement key with exactly this kid (suite SP).
    fn agreement_key(&mut self, kid: KeyId) -> Option<Self::Agree<'_>>;
}

/// No decryption keys: enough for suites S and M.
impl DecryptionKeys for () {
    type Agree<'k> = crate::keys::AgreementKey;

    fn encryption_key(&self, _: KeyId) -> Option<&EncryptionKey> {
        None
    }

    fn agreement_key(&mut self, _: KeyId) -> Option<Self::Agree<'_>> {
        None
    }
}

/// One shared encryption key.
impl DecryptionKeys for &EncryptionKey {
    type Agree<'k>
        = crate::keys::AgreementKey
    where
        Self: 'k;

    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        (self.kid() == kid).then_some(*self)
    }

    fn agreement_key(&mut self, _: KeyId) -> Option<Self::Agree<'_>> {
        None
    }
}

/// One key agreement key.
impl DecryptionKeys for crate::keys::AgreementKey {
    type Agree<'k> = &'k mut Self;

    fn encryption_key(&self, _: KeyId) -> Option<&EncryptionKey> {
        None
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<Self::Agree<'_>> {
        (Agree::kid(self) == kid).then_some(self)
    }
}

#[cfg(test)]
mod tests;
