//! The keys that seal, as a producer or an intruder would hold them.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use taskseal::keys::{KeyHandle, Keyring, RemoteSigner, SealingKey, SealingSource, SecretKey};
use taskseal_core::keys::{AgreementKey, SigningKey};
use taskseal_core::{Kind, Suite};

use super::{Fleet, PRODUCER, WORKER};

impl Fleet {
    /// A key that seals tasks in suite SE, whatever the workers think of it.
    #[must_use]
    pub fn sealing_key(&self, name: &str) -> SealingKey {
        self.sealing_key_for("shared", name, Kind::Task)
    }

    pub(super) fn sealing_key_for(&self, shared: &str, name: &str, kind: Kind) -> SealingKey {
        let source = SealingSource::new(Suite::Se, self.path(&format!("{name}.key")))
            .encryption_key(self.path(&format!("{shared}.key")));
        Keyring::load(&self.path("all.toml")).unwrap().sealing_key(&source, kind).unwrap()
    }

    /// The producer's key in another suite.
    #[must_use]
    pub fn sealing_key_in(&self, suite: Suite) -> SealingKey {
        let mut source = SealingSource::new(suite, self.path("producer.key"));
        match suite {
            Suite::Se => source = source.encryption_key(self.path("shared.key")),
            Suite::Sp => source = source.recipient(self.kids["recipient"]),
            _ => {}
        }
        Keyring::load(&self.path("all.toml")).unwrap().sealing_key(&source, Kind::Task).unwrap()
    }

    /// The producer's key as if it were in a token, in suite SE.
    #[must_use]
    pub fn sealing_key_by(&self, signer: Arc<dyn RemoteSigner>) -> SealingKey {
        let source =
            SealingSource::new(Suite::Se, self.path("token")).encryption_key(self.path("shared.key"));
        Keyring::load(&self.path("all.toml"))
            .unwrap()
            .sealing_key_from(KeyHandle::Signer(signer), &source, Kind::Task)
            .unwrap()
    }

    /// The workers' key for results as if it were in a token, in suite SE.
    #[must_use]
    pub fn result_key_by(&self, signer: Arc<dyn RemoteSigner>) -> SealingKey {
        let source =
            SealingSource::new(Suite::Se, self.path("token")).encryption_key(self.path("results.key"));
        Keyring::load(&self.path("all.toml"))
            .unwrap()
            .sealing_key_from(KeyHandle::Signer(signer), &source, Kind::Result)
            .unwrap()
    }

    /// The key that results are signed with, itself.
    #[must_use]
    pub fn worker_key(&self) -> SigningKey {
        self.signing_key(WORKER)
    }

    /// The key that tasks of suite SP are encrypted to, itself.
    #[must_use]
    pub fn recipient_key(&self) -> AgreementKey {
        match SecretKey::read(&self.path("recipient.key")).unwrap() {
            SecretKey::Agree(key) => *key,
            other => panic!("{other:?} agrees on nothing"),
        }
    }

    /// The producer's key itself.
    #[must_use]
    pub fn producer_key(&self) -> SigningKey {
        self.signing_key(PRODUCER)
    }

    fn signing_key(&self, name: &str) -> SigningKey {
        match SecretKey::read(&self.path(&format!("{name}.key"))).unwrap() {
            SecretKey::Sign(key) => *key,
            other => panic!("{other:?} signs nothing"),
        }
    }

    /// The producer's key with a shared key that the workers do not have.
    #[must_use]
    pub fn sealing_key_without_a_reader(&self) -> SealingKey {
        self.sealing_key_for("unshared", PRODUCER, Kind::Task)
    }
}
