//! The keyring: the keyset of a deployment and the decryption keys of this host.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taskseal_core::keys::EncryptionKey;
use taskseal_core::keyset::KeyRecord;
use taskseal_core::keyset::signed::KeyState;
use taskseal_core::{KeyId, KeyLookup, Policy};

use super::agreement::{Agreement, RemoteAgreement, RemoteKey};
use super::error::{KeyError, KeyringError};
use super::handle::{KeyHandle, KeyUsage};
use super::keyset_file;
use super::record::{KeysetKey, Record};
use super::reference::KeyRef;
use super::registry::KeyStores;
use super::secret_key::SecretKey;
use super::signed_keyset::{Fetched, KeysetError, KeysetHead, LoadMode, Loaded, SharedKeys, SignedKeyset};
use crate::time::{clock, unix_seconds};

#[cfg(test)]
mod tests;

/// The keyset and the decryption keys of this host. It is immutable; cloning shares it.
#[derive(Clone, Debug)]
pub struct Keyring {
    file: Arc<Path>,
    stores: KeyStores,
    records: Arc<BTreeMap<KeyId, Record>>,
    decryption: Arc<Decryption>,
    /// The head of a signed keyset; `None` for a keyset file that is not signed.
    head: Option<Arc<KeysetHead>>,
}

/// Secret keys that decrypt bodies and are not in the keyset.
#[derive(Debug, Default)]
struct Decryption(Vec<(KeyId, DecryptionKey)>);

#[derive(Debug)]
enum DecryptionKey {
    Private(Agreement),
    Shared(Box<EncryptionKey>),
}

impl Keyring {
    /// Reads a keyset file and the symmetric keys it names. Further keys are opened in the stores of this crate.
    ///
    /// # Errors
    /// [`KeyringError`] with the line of a wrong entry, or with the symmetric key that cannot be read.
    pub fn load(keyset: &Path) -> Result<Self, KeyringError> {
        Self::load_with(keyset, &KeyStores::default())
    }

    /// Reads a keyset file as [`load`](Self::load) does. Further keys are opened in `stores`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(keyset: &Path, stores: &KeyStores) -> Result<Self, KeyringError> {
        Self::load_file(keyset, stores, SharedKeys::Required)
    }

    /// Reads a keyset file.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn load_file(
        keyset: &Path,
        stores: &KeyStores,
        shared: SharedKeys,
    ) -> Result<Self, KeyringError> {
        Ok(Self {
            file: keyset.into(),
            stores: stores.clone(),
            records: Arc::new(keyset_file::load(keyset, shared)?),
            decryption: Arc::default(),
            head: None,
        })
    }

    /// Verifies a signed keyset and, unless `mode` omits it, stores its checkpoint. `fetched` is what a second carrier
    /// returned. Further keys are opened in `stores`.
    ///
    /// # Errors
    /// [`KeyringError::Keyset`] if the keyset is refused or its checkpoint cannot be stored; the other ones if a file or a shared
    /// key cannot be read.
    pub(crate) fn load_signed(
        settings: &SignedKeyset,
        stores: &KeyStores,
        fetched: Option<Fetched>,
        mode: LoadMode,
    ) -> Result<Self, KeyringError> {
        let loaded = settings.load(stores, fetched, mode, unix_seconds())?;
        Ok(Self::of_loaded(settings, stores, loaded))
    }

    pub(super) fn of_loaded(settings: &SignedKeyset, stores: &KeyStores, loaded: Loaded) -> Self {
        let Loaded { records, head } = loaded;
        Self {
            file: settings.file.as_path().into(),
            stores: stores.clone(),
            records: Arc::new(records),
            decryption: Arc::default(),
            head: Some(Arc::new(head)),
        }
    }

    /// Returns the same keyset with these decryption keys, and no others. A folder is every key in it, a label
    /// in a token every key with it.
    ///
    /// # Errors
    /// [`KeyError`] if a key cannot be used, or cannot decrypt.
    pub fn with_decryption_keys<K: Into<KeyRef>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self, KeyError> {
        let mut decryption = Decryption::default();
        for key in keys {
            for key in self.stores.list(&key.into(), KeyUsage::Decrypt)? {
                decryption.add(&key, self.stores.open(&key, KeyUsage::Decrypt)?)?;
            }
        }
        Ok(self.decrypting_with(decryption))
    }

    /// Returns the same keyset with these decryption keys, which are kept elsewhere, and no others.
    #[must_use]
    pub fn with_remote_decryption_keys(
        &self,
        keys: impl IntoIterator<Item = Arc<dyn RemoteAgreement>>,
    ) -> Self {
        let mut decryption = Decryption::default();
        for key in keys {
            decryption.insert(key.kid(), DecryptionKey::Private(Agreement::Remote(RemoteKey::new(key))));
        }
        self.decrypting_with(decryption)
    }

    fn decrypting_with(&self, decryption: Decryption) -> Self {
        Self { decryption: Arc::new(decryption), ..self.clone() }
    }

    /// Returns the keyset with the decryption keys of another keyring, and with its shared keys where this one only names them.
    pub(super) fn with_secrets_of(mut self, other: &Self) -> Self {
        // A keyset that was just read has one owner.
        let records = Arc::get_mut(&mut self.records).into_iter().flat_map(BTreeMap::values_mut);
        for record in records {
            let KeysetKey::Named(algorithm, kid) = *record.key else { continue };
            let known = other.record(kid).filter(|known| known.key.algorithm() == Some(algorithm));
            if let Some(known) = known {
                record.key = Arc::clone(&known.key);
            }
        }
        Self { decryption: Arc::clone(&other.decryption), ..self }
    }

    /// Returns the same keyset without keys that decrypt.
    pub(super) fn without_decryption_keys(&self) -> Self {
        self.decrypting_with(Decryption::default())
    }

    /// Returns the path of the keyset file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the head of a signed keyset; `None` for a keyset file that is not signed.
    #[must_use]
    pub fn head(&self) -> Option<&KeysetHead> {
        self.head.as_deref()
    }

    /// Checks whether the keyset is in force at `now`, in seconds of Unix time. A keyset file that is not signed has no end.
    ///
    /// # Errors
    /// [`KeysetError`] if a signed keyset has expired since it was loaded, or the clock was set back.
    pub fn check_in_force(&self, now: u64) -> Result<(), KeysetError> {
        let Some(head) = &self.head else { return Ok(()) };
        head.check(now).map_err(|refusal| head.error(&self.file, refusal, now))
    }

    /// Returns the kids of the keyset in order, whatever their status.
    pub fn known_kids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.records.keys().copied()
    }

    /// Returns the records of the keyset in the order of their kids.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.records.values()
    }

    /// Returns a record of the keyset, whatever its status.
    #[must_use]
    pub fn record(&self, kid: KeyId) -> Option<&Record> {
        self.records.get(&kid)
    }

    /// Returns the kids of the decryption keys of this host, in order.
    #[must_use]
    pub fn decryption_kids(&self) -> Vec<KeyId> {
        let shared = self.records.values().filter(|record| matches!(record.key(), KeysetKey::A256Gcm(_)));
        let mut kids: Vec<_> = shared.map(Record::kid).collect();
        kids.extend(self.decryption.0.iter().map(|(kid, _)| kid));
        kids.sort_unstable();
        kids.dedup();
        kids
    }

    /// Returns the stores that open its keys.
    pub(super) const fn stores(&self) -> &KeyStores {
        &self.stores
    }

    /// Checks whether the shared key of suite SE may encrypt at `now`, in seconds of Unix time. The error completes a sentence that
    /// starts with the key.
    pub(super) fn is_in_use(&self, kid: KeyId, now: u64) -> Result<(), String> {
        match self.records.get(&kid) {
            Some(record) => record.is_in_use(now),
            None if self.head.is_some() => Err("is not in it".to_owned()),
            None => Ok(()),
        }
    }

    /// Returns a shared key that decrypts.
    pub(super) fn shared_key(&self, kid: KeyId) -> Option<&EncryptionKey> {
        if self.is_withdrawn(kid) {
            return None;
        }
        match self.records.get(&kid) {
            Some(record) => match record.key() {
                KeysetKey::A256Gcm(key) => Some(key),
                // A key of suite E that verifies nothing here must not be used inside of signatures either.
                _ if record.has_rights() => None,
                _ => self.decryption.shared(kid),
            },
            None => self.decryption.shared(kid),
        }
    }

    /// Returns a private key that decrypts.
    pub(super) fn private_key(&self, kid: KeyId) -> Option<&Agreement> {
        if self.is_withdrawn(kid) {
            return None;
        }
        self.decryption.private(kid)
    }

    /// Returns whether a decryption key is kept elsewhere, so that opening may block.
    pub(crate) fn may_block(&self) -> bool {
        let remote = |(_, key): &(_, _)| matches!(key, DecryptionKey::Private(Agreement::Remote(_)));
        self.decryption.0.iter().any(remote)
    }

    /// Returns whether the keyset has the key as a destroyed one: what it sealed can never be verified again.
    pub(crate) fn is_destroyed(&self, kid: KeyId) -> bool {
        self.record(kid).is_some_and(|record| record.state() == KeyState::Destroyed)
    }

    /// Returns whether the keyset has the key as one that is or may be known to an attacker.
    pub(crate) fn is_compromised(&self, kid: KeyId) -> bool {
        self.record(kid).is_some_and(|record| record.state() == KeyState::Compromised)
    }

    /// Returns whether the keyset has the key as one that is out of use for another reason.
    pub(crate) fn is_disabled(&self, kid: KeyId) -> bool {
        self.record(kid).is_some_and(|record| record.state() == KeyState::Disabled)
    }

    /// Returns whether tasks that a key sealed for an issuer, a type and an audience are accepted now, with `skew` of tolerance, if their
    /// signature is valid.
    pub(crate) fn accepts(
        &self,
        kid: KeyId,
        [issuer, task_type, audience]: [&str; 3],
        skew: Duration,
    ) -> bool {
        let skew = u32::try_from(skew.as_secs()).unwrap_or(Policy::MAX_SKEW).min(Policy::MAX_SKEW);
        self.find(kid).is_some_and(|record| {
            record.is_valid(clock(), skew)
                && record.issuers.contains(issuer)
                && record.types.contains(task_type)
                && record.audiences.contains(audience)
        })
    }

    /// Returns whether the keyset forbids the key. A key that is not in a keyset file may decrypt, because the configuration names
    /// it. A key that is not in a signed keyset may not.
    pub(super) fn is_withdrawn(&self, kid: KeyId) -> bool {
        let now = unix_seconds();
        match self.records.get(&kid) {
            Some(record) => !record.is_accepted(now) || self.check_in_force(now).is_err(),
            None => self.head.is_some(),
        }
    }
}

impl Decryption {
    fn private(&self, kid: KeyId) -> Option<&Agreement> {
        self.0.iter().find_map(|(other, key)| match key {
            DecryptionKey::Private(key) if *other == kid => Some(key),
            _ => None,
        })
    }

    fn shared(&self, kid: KeyId) -> Option<&EncryptionKey> {
        self.0.iter().find_map(|(other, key)| match key {
            DecryptionKey::Shared(key) if *other == kid => Some(key.as_ref()),
            _ => None,
        })
    }

    /// Adds a key, in place of another of its kind with its kid.
    fn insert(&mut self, kid: KeyId, key: DecryptionKey) {
        self.0.retain(|(other, held)| *other != kid || discriminant(held) != discriminant(&key));
        self.0.push((kid, key));
    }

    fn add(&mut self, place: &KeyRef, handle: KeyHandle) -> Result<(), KeyError> {
        let kid = handle.kid();
        let key = match handle {
            KeyHandle::Secret(SecretKey::Agree(key)) => DecryptionKey::Private(Agreement::Software(key)),
            KeyHandle::Agreement(key) => DecryptionKey::Private(Agreement::Remote(RemoteKey::new(key))),
            KeyHandle::Secret(SecretKey::Encrypt(key)) => DecryptionKey::Shared(key),
            other => {
                let message =
                    format!("an {} key cannot decrypt; were two key files exchanged?", other.algorithm());
                return Err(KeyError::invalid(place, message).hint(
                    "`taskseal keygen receive` and `taskseal keygen shared` generate decryption keys",
                ));
            }
        };
        self.insert(kid, key);
        Ok(())
    }
}

impl KeyLookup for Keyring {
    fn find(&self, kid: KeyId) -> Option<KeyRecord<'_>> {
        // A signed keyset that has expired verifies nothing.
        self.check_in_force(unix_seconds()).ok()?;
        self.records.get(&kid)?.to_core()
    }
}
