//! One key of the keyset: the key, what it may sign for, its state and its times.

use std::sync::Arc;

use taskseal_core::keys::{AgreementPublicKey, EncryptionKey, HmacKey, VerifyingKey};
use taskseal_core::keyset::signed::{Entry, EntryKey, KeyState, Role};
use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{KeyId, Kind, NameSet};

use super::algorithm::Algorithm;

mod from_entry;

/// A key of the keyset.
#[derive(Debug)]
pub struct Record {
    /// Shared with the keyset that replaces this one while the file of a secret cannot be read.
    pub(super) key: Arc<KeysetKey>,
    pub(super) kind: Kind,
    pub(super) state: KeyState,
    pub(super) label: Option<String>,
    /// Patterns joined by spaces, as [`NameSet`] reads them.
    pub(super) issuers: String,
    pub(super) types: String,
    pub(super) audiences: String,
    /// Times of the key, in seconds of Unix time; `None` without a limit.
    pub(super) use_from: Option<u64>,
    pub(super) sign_until: Option<u64>,
    pub(super) accept_until: Option<u64>,
    /// Time of the last change of its state, in seconds of Unix time, for those who change it. Verifiers ignore it.
    pub(super) since: Option<u64>,
}

/// The part of a key that a keyset contains.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeysetKey {
    /// Verifies signatures.
    Es256(VerifyingKey),
    /// Verifies HMAC tags.
    Hs256(Box<HmacKey>),
    /// A shared key whose secret this host does not have: in a token it may seal, but this host cannot verify or decrypt with it.
    Named(Algorithm, KeyId),
    /// Verifies and decrypts.
    A256Gcm(Box<EncryptionKey>),
    /// Tasks or results are encrypted to it.
    EcdhEs(AgreementPublicKey),
    /// What is left of a destroyed key: its kid cannot be assigned to another key.
    Destroyed(KeyId),
}

impl KeysetKey {
    /// Returns the kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        match self {
            Self::Es256(key) => key.kid(),
            Self::Hs256(key) => key.kid(),
            Self::Named(_, kid) | Self::Destroyed(kid) => *kid,
            Self::A256Gcm(key) => key.kid(),
            Self::EcdhEs(key) => key.kid(),
        }
    }

    /// Returns the algorithm; `None` for a destroyed key.
    #[must_use]
    pub const fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Es256(_) => Some(Algorithm::Es256),
            Self::Hs256(_) => Some(Algorithm::Hs256),
            Self::Named(algorithm, _) => Some(*algorithm),
            Self::A256Gcm(_) => Some(Algorithm::A256Gcm),
            Self::EcdhEs(_) => Some(Algorithm::EcdhEs),
            Self::Destroyed(_) => None,
        }
    }
}

impl Record {
    /// Returns the kid.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        self.key.kid()
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &KeysetKey {
        &self.key
    }

    /// Returns the name of its algorithm, or `destroyed`.
    pub(super) fn algorithm_name(&self) -> &'static str {
        self.key.algorithm().map_or("destroyed", Algorithm::name)
    }

    /// Returns what it seals or decrypts: tasks or results.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the state, which determines its uses.
    #[must_use]
    pub const fn state(&self) -> KeyState {
        self.state
    }

    /// Returns the label, a name for operators.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Returns the issuers it may sign for.
    #[must_use]
    pub fn issuers(&self) -> NameSet<'_> {
        NameSet::new(&self.issuers)
    }

    /// Returns the task types it may seal.
    #[must_use]
    pub fn types(&self) -> NameSet<'_> {
        NameSet::new(&self.types)
    }

    /// Returns the audiences it may seal for.
    #[must_use]
    pub fn audiences(&self) -> NameSet<'_> {
        NameSet::new(&self.audiences)
    }

    /// Returns the time from which it seals, in seconds of Unix time.
    #[must_use]
    pub const fn use_from(&self) -> Option<u64> {
        self.use_from
    }

    /// Returns the time from which it no longer seals, in seconds of Unix time.
    #[must_use]
    pub const fn sign_until(&self) -> Option<u64> {
        self.sign_until
    }

    /// Returns the time from which nothing that it sealed is accepted, in seconds of Unix time.
    #[must_use]
    pub const fn accept_until(&self) -> Option<u64> {
        self.accept_until
    }

    /// Returns the time of the last change of its state, in seconds of Unix time.
    #[must_use]
    pub const fn since(&self) -> Option<u64> {
        self.since
    }

    /// Returns the time from which it no longer seals, whatever ends it; `u64::MAX` if nothing does.
    #[must_use]
    pub fn sealing_end(&self) -> u64 {
        self.sign_until.into_iter().chain(self.accept_until).min().unwrap_or(u64::MAX)
    }

    /// Checks whether it may seal new envelopes of `kind`. The error completes a sentence that starts with the key.
    pub(super) fn may_seal(&self, kind: Kind, now: u64) -> Result<(), String> {
        if self.kind != kind {
            let (found, needed) = (kind_word(self.kind), kind_word(kind));
            return Err(format!("has `use = \"{found}\"`, not \"{needed}\""));
        }
        self.is_in_use(now)
    }

    /// Checks whether it may seal at `now`, in seconds of Unix time. The error completes a sentence that starts with the key.
    pub(super) fn is_in_use(&self, now: u64) -> Result<(), String> {
        if !self.state.seals() {
            return Err(format!("is {}", self.state));
        }
        if self.use_from.is_some_and(|from| now < from) {
            return Err("may not be used yet".to_owned());
        }
        if now >= self.sealing_end() {
            return Err("has expired".to_owned());
        }
        Ok(())
    }

    /// Returns whether what it sealed is accepted at `now`, in seconds of Unix time, and whether it decrypts.
    pub(super) fn is_accepted(&self, now: u64) -> bool {
        self.state.is_accepted() && self.accept_until.is_none_or(|until| now < until)
    }

    /// Returns whether it may sign for anything, or is chosen for bodies.
    pub(super) const fn has_rights(&self) -> bool {
        !(self.issuers.is_empty() && self.types.is_empty() && self.audiences.is_empty())
    }

    /// Returns the field that lacks a pattern although another one has patterns.
    pub(super) fn missing_right(&self) -> Option<&'static str> {
        let fields = [("issuers", &self.issuers), ("types", &self.types), ("audiences", &self.audiences)];
        let missing = fields.into_iter().find(|(_, patterns)| patterns.is_empty());
        missing.filter(|_| self.has_rights()).map(|(field, _)| field)
    }

    /// Returns the record for the verifier; `None` for a key that verifies nothing.
    pub(super) fn to_core(&self) -> Option<KeyRecord<'_>> {
        let key = match &*self.key {
            KeysetKey::Es256(key) => RecordKey::Es256(key),
            KeysetKey::Hs256(key) => RecordKey::Hmac256(key),
            // A shared key without rights belongs to suite SE: it decrypts inside signatures and verifies nothing.
            KeysetKey::A256Gcm(_) if !self.has_rights() => return None,
            KeysetKey::A256Gcm(key) => RecordKey::A256Gcm(key),
            KeysetKey::Named(..) | KeysetKey::EcdhEs(_) | KeysetKey::Destroyed(_) => return None,
        };
        let mut record = KeyRecord::new(key)
            .kind(self.kind)
            .issuers(self.issuers())
            .types(self.types())
            .audiences(self.audiences());
        record.valid_until = self.accept_until.unwrap_or(u64::MAX);
        record.enabled = self.state.is_accepted();
        Some(record)
    }

    /// Returns the entry of a signed keyset that means the same.
    #[must_use]
    pub fn to_entry(&self) -> Entry<'_> {
        let key = match &*self.key {
            KeysetKey::Es256(key) => EntryKey::Es256(*key),
            KeysetKey::Hs256(key) => EntryKey::Hmac256(key.kid()),
            KeysetKey::Named(Algorithm::A256Gcm, kid) => EntryKey::A256Gcm(*kid),
            KeysetKey::Named(_, kid) => EntryKey::Hmac256(*kid),
            KeysetKey::A256Gcm(key) => EntryKey::A256Gcm(key.kid()),
            KeysetKey::EcdhEs(key) => EntryKey::Agreement(*key),
            KeysetKey::Destroyed(kid) => return Entry::tombstone(*kid),
        };
        let mut entry = Entry::new(key, self.state);
        (entry.use_from, entry.sign_until, entry.accept_until) =
            (self.use_from, self.sign_until, self.accept_until);
        // An agreement key without rights is for results too.
        let is_for_results = matches!(*self.key, KeysetKey::EcdhEs(_)) && self.kind == Kind::Result;
        if self.has_rights() || is_for_results {
            let role = Role::new().kind(self.kind).issuers(self.issuers());
            entry.role = Some(role.types(self.types()).audiences(self.audiences()));
        }
        entry
    }
}

pub(super) const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Result => "result",
        _ => "task",
    }
}
