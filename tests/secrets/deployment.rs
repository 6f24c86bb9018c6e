//! A deployment in a folder: a client and a worker for every suite, their keys in files or in a token.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taskseal::broker::Broker;
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::sqlite::SqliteBroker;
use taskseal::handler::Handlers;
use taskseal::keys::{Algorithm, KeyRef, KeyStores, Keyring, Record, SealingSource, SecretKey, public_text};
use taskseal::quarantine::{Limits, Quarantine};
use taskseal::replay::SqliteLedger;
use taskseal::result::ResultSealer;
use taskseal::{Client, ClientSettings, Worker, WorkerParts, WorkerSettings};
use taskseal_core::{KeyId, Kind, Suite, SuiteSet};
use taskseal_hsm::{EcKey, KeyUri, Token, Usage};
use taskseal_tests::fleet::mail;

/// The keys of a deployment: name, algorithm, use, and whether the keyset has an entry.
pub(crate) const KEYS: [(&str, Algorithm, &str, bool); 10] = [
    ("task-signer", Algorithm::Es256, "task", true),
    ("result-signer", Algorithm::Es256, "result", true),
    ("task-mac", Algorithm::Hs256, "task", true),
    ("result-mac", Algorithm::Hs256, "result", true),
    ("task-cipher", Algorithm::A256Gcm, "task", true),
    ("result-cipher", Algorithm::A256Gcm, "result", true),
    ("task-recipient", Algorithm::EcdhEs, "task", true),
    ("result-recipient", Algorithm::EcdhEs, "result", true),
    ("task-shared", Algorithm::A256Gcm, "task", false),
    ("result-shared", Algorithm::A256Gcm, "result", false),
];

/// Where private and shared keys are kept.
#[derive(Clone, Copy)]
pub(crate) enum Kept<'t> {
    InFiles,
    /// In files that are wrapped by this key of a token.
    Wrapped(&'t KeyUri),
    /// In a token, as far as they are not shared; the parts of the URI of a key before and after the name.
    InToken(&'t Token, [&'t str; 2]),
}

/// Makes the keys and the keyset, as `taskseal keygen` does.
pub(crate) fn make(folder: &Path, kept: Kept<'_>) {
    let mut keyset = String::new();
    for (name, algorithm, r#use, listed) in KEYS {
        let file = folder.join(format!("{name}.key"));
        let (kid, public) = match kept {
            Kept::InToken(token, [before, after]) if !algorithm.is_symmetric() => {
                let agrees = algorithm == Algorithm::EcdhEs;
                let usage = if agrees { Usage::Agree } else { Usage::Sign };
                let key = EcKey::generate(token, usage, name).unwrap();
                fs::write(file.with_extension("uri"), format!("{before}{name}{after}")).unwrap();
                (key.kid(), Some(public_text(&key.public_point())))
            }
            Kept::Wrapped(kek) => shown(&SecretKey::create_wrapped(&file, algorithm, name, kek).unwrap()),
            _ => shown(&SecretKey::create(&file, algorithm, name).unwrap()),
        };
        if listed {
            keyset += &format!("[[key]]\nkid = \"{kid}\"\nalg = \"{algorithm}\"\nuse = \"{use}\"\n");
            match public {
                Some(public) => writeln!(keyset, "public = \"{public}\"").unwrap(),
                None => writeln!(keyset, "secret_file = \"{name}.key\"").unwrap(),
            }
            if algorithm != Algorithm::EcdhEs {
                keyset += "issuers = [\"*\"]\ntypes = [\"*\"]\naudiences = [\"*\"]\n";
            }
        }
    }
    fs::write(folder.join("keyset.toml"), keyset).unwrap();
}

fn shown(key: &SecretKey) -> (KeyId, Option<String>) {
    (key.kid(), key.public())
}

/// In the process that uses the deployment.
pub(crate) struct Deployment(pub(crate) PathBuf);

impl Deployment {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A key in a file, or in a token.
    fn key(&self, name: &str) -> KeyRef {
        match fs::read_to_string(self.path(&format!("{name}.uri"))) {
            Ok(uri) => KeyStores::default().parse(&uri, &self.0).unwrap(),
            Err(_) => self.path(&format!("{name}.key")).into(),
        }
    }

    /// A queue in a file, or on the Redis whose URL was left in the folder.
    pub(crate) fn broker(&self) -> Arc<dyn Broker> {
        match fs::read_to_string(self.path("redis-url")) {
            Ok(url) => Arc::new(RedisBroker::connect(&RedisConfig::new(url)).unwrap()),
            Err(_) => Arc::new(SqliteBroker::open(self.path("queue.db")).unwrap()),
        }
    }

    /// The keyset, with the decryption keys for tasks or for results.
    pub(crate) fn keyring(&self, kind: Kind) -> Keyring {
        let names = match kind {
            Kind::Result => ["result-shared", "result-recipient"],
            _ => ["task-shared", "task-recipient"],
        };
        let keyset = Keyring::load(&self.path("keyset.toml")).unwrap();
        keyset.with_decryption_keys(names.map(|name| self.key(name))).unwrap()
    }

    /// Where the keys are that seal in this suite.
    fn source(&self, suite: Suite, kind: Kind, keyring: &Keyring) -> SealingSource {
        let of = |role: &str| match kind {
            Kind::Result => self.key(&format!("result-{role}")),
            _ => self.key(&format!("task-{role}")),
        };
        let recipient = || -> KeyId {
            let is_recipient = |record: &&Record| {
                record.kind() == kind && record.key().algorithm() == Some(Algorithm::EcdhEs)
            };
            keyring.records().find(is_recipient).unwrap().kid()
        };
        match suite {
            Suite::M => SealingSource::new(suite, of("mac")),
            Suite::E => SealingSource::new(suite, of("cipher")),
            Suite::Se => SealingSource::new(suite, of("signer")).encryption_key(of("shared")),
            Suite::Sp => SealingSource::new(suite, of("signer")).recipient(recipient()),
            _ => SealingSource::new(suite, of("signer")),
        }
    }

    /// A client that seals in this suite, up to `batch` tasks under one signature.
    pub(crate) fn client(&self, suite: Suite, batch: usize) -> Client {
        let mut settings = ClientSettings::new("test", "shop", mail());
        settings.sign_batch = batch;
        settings.policy.suites = every_suite();
        let keyring = self.keyring(Kind::Result);
        let key = keyring.sealing_key(&self.source(suite, Kind::Task, &keyring), Kind::Task).unwrap();
        Client::new(settings, self.broker(), key, keyring)
    }

    /// A worker that seals results in this suite.
    pub(crate) fn worker(&self, suite: Suite, handlers: Handlers) -> Worker {
        let mut settings = WorkerSettings::new("worker-1", "test", mail());
        settings.policy.suites = every_suite();
        settings.policy.batches = true;
        let keyring = self.keyring(Kind::Task);
        let key = keyring.sealing_key(&self.source(suite, Kind::Result, &keyring), Kind::Result).unwrap();
        let parts = WorkerParts {
            broker: self.broker(),
            ledger: Arc::new(SqliteLedger::open(&self.path("ledger.db")).unwrap()),
            quarantine: Arc::new(Quarantine::open(&self.path("quarantine.db"), Limits::default()).unwrap()),
            keyring,
            results: ResultSealer::new("worker-1", key).unwrap(),
            handlers,
        };
        Worker::new(settings, parts)
    }
}

fn every_suite() -> SuiteSet {
    Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with)
}
