//! Keysets: the keys that verify envelopes, with their rights and periods of validity.

pub mod signed;

use heapless::Vec;

use crate::error::InvalidKey;
use crate::keys::{EncryptionKey, HmacKey, VerifyingKey};
use crate::kid::KeyId;
use crate::name::NameSet;
use crate::provider::Agree;
use crate::suite::Kind;
use crate::time::TimeWindow;

/// A key that verifies envelopes, with its rights.
///
/// The record determines the algorithm, never the message: a message with another algorithm is rejected.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KeyRecord<'a> {
    /// The key.
    pub key: RecordKey<'a>,
    /// The kind of envelope that it seals: tasks or results. A key has one purpose.
    pub kind: Kind,
    /// Issuers for which it may seal.
    pub issuers: NameSet<'a>,
    /// Task types that it may seal.
    pub types: NameSet<'a>,
    /// Audiences (`deployment/queue`) for which it may seal.
    pub audiences: NameSet<'a>,
    /// Unix time in seconds from which the key is accepted.
    pub valid_from: u64,
    /// Unix time in seconds from which the key is refused; `u64::MAX` for no end.
    pub valid_until: u64,
    /// Whether envelopes sealed with the key are accepted; false if it is revoked or disabled.
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
    /// Creates a record for tasks, without rights and without an end. Set the fields that apply.
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

    /// Returns the kid of the key.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        match self.key {
            RecordKey::Es256(key) => key.kid(),
            RecordKey::Hmac256(key) => key.kid(),
            RecordKey::A256Gcm(key) => key.kid(),
        }
    }

    /// Returns whether the key is enabled and within its period of validity, with `skew` seconds of tolerance.
    #[must_use]
    pub const fn is_valid(&self, now: TimeWindow, skew: u32) -> bool {
        let skew = skew as u64;
        // A clock without an upper bound reports `u64::MAX`, which must not exceed the end of a key that has no end.
        let has_no_end = self.valid_until == u64::MAX;
        self.enabled
            && now.earliest.saturating_add(skew) >= self.valid_from
            && (has_no_end || now.latest < self.valid_until.saturating_add(skew))
    }

    /// Sets the issuers.
    #[must_use]
    pub const fn issuers(mut self, issuers: NameSet<'a>) -> Self {
        self.issuers = issuers;
        self
    }

    /// Sets the task types.
    #[must_use]
    pub const fn types(mut self, types: NameSet<'a>) -> Self {
        self.types = types;
        self
    }

    /// Sets the audiences.
    #[must_use]
    pub const fn audiences(mut self, audiences: NameSet<'a>) -> Self {
        self.audiences = audiences;
        self
    }

    /// Sets the kind of envelope.
    #[must_use]
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}

/// Finds the record with a kid.
pub trait KeyLookup {
    /// Returns the record with exactly this kid; `None` if there is none. Verification never tries another key.
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>>;
}

impl<L: KeyLookup + ?Sized> KeyLookup for &L {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        (**self).find(kid)
    }
}

/// A set of up to `N` records in fixed memory.
#[derive(Clone, Debug, Default)]
pub struct Keyset<'a, const N: usize> {
    records: Vec<KeyRecord<'a>, N>,
}

impl<'a, const N: usize> Keyset<'a, N> {
    /// Creates an empty keyset.
    #[must_use]
    pub const fn new() -> Self {
        Self { records: Vec::new() }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`InvalidKey`] if the keyset is full or already has a record with this kid.
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

/// Finds the keys that decrypt bodies.
pub trait DecryptionKeys {
    /// A key agreement key of this store.
    type Agree<'k>: Agree
    where
        Self: 'k;

    /// Returns the shared encryption key with exactly this kid (suites E and SE).
    fn encryption_key(&self, kid: KeyId) -> Option<&EncryptionKey>;

    /// Returns the key agreement key with exactly this kid (suite SP).
    fn agreement_key(&mut self, kid: KeyId) -> Option<Self::Agree<'_>>;
}

/// No decryption keys, for suites S and M.
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
