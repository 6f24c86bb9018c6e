//! One key of the keyset: the key, what it may sign for, and its status.

use std::fmt;

use serde::Deserialize;
use taskseal_core::keys::{AgreementPublicKey, EncryptionKey, HmacKey, VerifyingKey};
use taskseal_core::keyset::{KeyRecord, RecordKey};
use taskseal_core::{KeyId, Kind, NameSet};

use super::algorithm::Algorithm;

/// A key of the keyset.
#[derive(Debug)]
pub struct Record {
    pub(super) key: KeysetKey,
    pub(super) kind: Kind,
    pub(super) status: Status,
    pub(super) label: Option<String>,
    /// Patterns joined by spaces, as [`NameSet`] reads them.
    pub(super) issuers: String,
    pub(super) types: String,
    pub(super) audiences: String,
    pub(super) valid_from: u64,
    pub(super) valid_until: u64,
}

/// The part of a key that a keyset contains.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeysetKey {
    /// Verifies signatures.
    Es256(VerifyingKey),
    /// Verifies HMAC tags.
    Hs256(Box<HmacKey>),
    /// An HMAC key whose secret is in a token: it may seal, but this host cannot verify with it.
    Hs256InToken(KeyId),
    /// Verifies and decrypts.
    A256Gcm(Box<EncryptionKey>),
    /// Tasks or results are encrypted to it.
    EcdhEs(AgreementPublicKey),
}

impl KeysetKey {
    /// Returns the kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        match self {
            Self::Es256(key) => key.kid(),
            Self::Hs256(key) => key.kid(),
            Self::Hs256InToken(kid) => *kid,
            Self::A256Gcm(key) => key.kid(),
            Self::EcdhEs(key) => key.kid(),
        }
    }

    /// Returns the algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::Hs256(_) | Self::Hs256InToken(_) => Algorithm::Hs256,
            Self::A256Gcm(_) => Algorithm::A256Gcm,
            Self::EcdhEs(_) => Algorithm::EcdhEs,
        }
    }
}

/// The status of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// May seal; what it sealed is accepted.
    #[default]
    Active,
    /// May not seal; what it sealed is accepted.
    Retiring,
    /// Not accepted, temporarily.
    Disabled,
    /// Not accepted, permanently.
    Revoked,
}

impl Status {
    /// Returns whether what the key sealed is accepted.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Active | Self::Retiring)
    }

    /// Returns the word in keyset files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Record {
    /// Returns the kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.key.kid()
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> &KeysetKey {
        &self.key
    }

    /// Returns what it seals or decrypts: tasks or results.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
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

    /// Returns the end of its validity, in seconds of Unix time; `u64::MAX` if it has none.
    #[must_use]
    pub const fn valid_until(&self) -> u64 {
        self.valid_until
    }

    /// Checks whether it may seal new envelopes of `kind`. The error completes a sentence that starts with the key.
    pub(super) fn may_seal(&self, kind: Kind, now: u64) -> Result<(), String> {
        if self.kind != kind {
            return Err(format!("is for {}s", kind_word(self.kind)));
        }
        if self.status != Status::Active {
            return Err(format!("is {}", self.status));
        }
        if now < self.valid_from {
            return Err("is not valid yet".to_owned());
        }
        if now >= self.valid_until {
            return Err("has expired".to_owned());
        }
        Ok(())
    }

    /// Returns whether it may sign for anything.
    const fn has_rights(&self) -> bool {
        !(self.issuers.is_empty() && self.types.is_empty() && self.audiences.is_empty())
    }

    /// Returns the record for the verifier; `None` for a key that verifies nothing.
    pub(super) fn to_core(&self) -> Option<KeyRecord<'_>> {
        let key = match &self.key {
            KeysetKey::Es256(key) => RecordKey::Es256(key),
            KeysetKey::Hs256(key) => RecordKey::Hmac256(key),
            // A shared key without rights belongs to suite SE: it decrypts inside signatures and verifies nothing.
            KeysetKey::A256Gcm(_) if !self.has_rights() => return None,
            KeysetKey::A256Gcm(key) => RecordKey::A256Gcm(key),
            KeysetKey::Hs256InToken(_) | KeysetKey::EcdhEs(_) => return None,
        };
        let mut record = KeyRecord::new(key)
            .kind(self.kind)
            .issuers(self.issuers())
            .types(self.types())
            .audiences(self.audiences());
        record.valid_from = self.valid_from;
        record.valid_until = self.valid_until;
        record.enabled = self.status.is_accepted();
        Some(record)
    }
}

pub(super) const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Result => "result",
        _ => "task",
    }
}
