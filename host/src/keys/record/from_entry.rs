//! The record of an entry of a signed keyset.

use std::sync::Arc;

use taskseal_core::keyset::signed::{Entry, EntryKey};

use super::{KeysetKey, Record};
use crate::keys::algorithm::Algorithm;
use crate::keys::secret_key::SecretKey;

impl Record {
    /// Returns the record of an entry. `secret` is the key with the kid of the entry if this host has it; its algorithm is that of
    /// the entry.
    pub(in crate::keys) fn from_entry(entry: &Entry<'_>, secret: Option<SecretKey>) -> Self {
        let role = entry.role.unwrap_or_default();
        Self {
            key: Arc::new(keyset_key(&entry.key, secret)),
            kind: role.kind,
            state: entry.state,
            label: None,
            since: None,
            issuers: role.issuers.as_str().to_owned(),
            types: role.types.as_str().to_owned(),
            audiences: role.audiences.as_str().to_owned(),
            use_from: entry.use_from,
            sign_until: entry.sign_until,
            accept_until: entry.accept_until,
        }
    }
}

fn keyset_key(key: &EntryKey, secret: Option<SecretKey>) -> KeysetKey {
    match (key, secret) {
        (EntryKey::Es256(key), _) => KeysetKey::Es256(*key),
        (EntryKey::Agreement(key), _) => KeysetKey::EcdhEs(*key),
        (EntryKey::Hmac256(_), Some(SecretKey::Mac(key))) => KeysetKey::Hs256(key),
        (EntryKey::A256Gcm(_), Some(SecretKey::Encrypt(key))) => KeysetKey::A256Gcm(key),
        (EntryKey::Hmac256(kid), _) => KeysetKey::Named(Algorithm::Hs256, *kid),
        (EntryKey::A256Gcm(kid), _) => KeysetKey::Named(Algorithm::A256Gcm, *kid),
        // A destroyed key, and kinds of keys of later versions, which the format of this version does not have.
        (other, _) => KeysetKey::Destroyed(other.kid()),
    }
}
