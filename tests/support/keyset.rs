//! A root that signs the keysets of a deployment.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::fs;
use std::path::Path;

use taskseal::keys::{Keyring, public_text};
use taskseal_core::Secret;
use taskseal_core::keys::SigningKey;
use taskseal_core::keyset::signed::{Checkpoint, Entry, KeysetDraft, MAX_ENTRIES};
use taskseal_core::name::KeysetName;

/// A root, with the checkpoint of the last keyset that it signed.
#[derive(Debug)]
pub struct Root {
    key: SigningKey,
    name: &'static str,
    last: Option<Checkpoint>,
}

/// A signed keyset, and the time from which it is refused, in seconds of Unix time.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Signed {
    pub bytes: Vec<u8>,
    pub not_after: u64,
}

impl Root {
    /// The root with this number of the deployment `name`.
    #[must_use]
    pub fn new(number: u8, name: &'static str) -> Self {
        let key = SigningKey::from_scalar(&Secret::copy_from(&[number; 32])).unwrap();
        Self { key, name, last: None }
    }

    /// Its public key, as `roots` of `[keys]` takes it.
    #[must_use]
    pub fn public(&self) -> String {
        public_text(&self.key.verifying_key().to_point())
    }

    /// Signs the next keyset, with the keys of a keyset file and others. It is in force from `issued_at` for `lifetime` seconds.
    pub fn sign(&mut self, file: &Path, others: &[Entry<'_>], issued_at: u64, lifetime: u64) -> Signed {
        let keyring = Keyring::load(file).unwrap();
        let (name, not_after) = (KeysetName::new(self.name).unwrap(), issued_at + lifetime);
        let mut draft = Box::new(match &self.last {
            None => KeysetDraft::<MAX_ENTRIES>::first(name, issued_at, not_after).unwrap(),
            Some(last) => KeysetDraft::after(last, name, issued_at, not_after).unwrap(),
        });
        for entry in keyring.records().map(taskseal::keys::Record::to_entry).chain(others.iter().copied()) {
            draft.insert(entry).unwrap();
        }
        let mut bytes = vec![0; draft.signed_len()];
        draft.sign(&mut self.key, &mut bytes).unwrap();
        self.last = Some(draft.checkpoint());
        Signed { bytes, not_after }
    }
}

impl Signed {
    /// Writes it to a file.
    pub fn write(&self, path: &Path) {
        fs::write(path, &self.bytes).unwrap();
    }
}
