//! A complete deployment in one folder: keys, keyset, queue, ledger, quarantine, one producer, one worker.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taskseal::broker::Broker;
use taskseal::keys::{Algorithm, Keyring, SealingKey, SealingSource, SecretKey};
use taskseal::quarantine::{Limits, Quarantine};
use taskseal::replay::SqliteLedger;
use taskseal::result::ResultSealer;
use taskseal::worker::{WorkerParts, WorkerQueue};
use taskseal::{Client, ClientSettings, QueueName, Worker, WorkerSettings};
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::{KeyId, Kind, Suite};
use taskseal_hsm::TokenUri;

use super::attacker::{AnyError, Storage};
use super::configuration::configuration;
use super::handlers::Runs;
use super::keys::{Keys, location};
use super::queue::Location;
use crate::key_summary::KeySummary;

/// Deployment, issuer and worker of the demonstration.
pub(super) const DEPLOYMENT: &str = "demo";
pub(super) const PRODUCER: &str = "producer-1";
pub(super) const WORKER: &str = "worker-1";
/// Suite of tasks and results.
pub(super) const SUITE: Suite = Suite::Sp;

/// A running deployment.
pub(super) struct Deployment {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) storage: Box<dyn Storage>,
    pub(super) queue: QueueName,
    pub(super) other_queue: QueueName,
    pub(super) client: Client,
    keyring: Keyring,
    ledger: Arc<SqliteLedger>,
    quarantine: Arc<Quarantine>,
    /// Every run of a handler so far.
    pub(super) runs: Runs,
    pub(super) known: AttackerKeys,
    /// The key of the producer, for tasks that it would have sealed at other times. The attacker does not have it.
    pub(super) honest: SealingKey,
    result_key: SealingSource,
}

/// The keys that the attacker has.
pub(super) struct AttackerKeys {
    pub(super) worker: AgreementPublicKey,
    pub(super) producer: KeyId,
    /// A key that the attacker generated.
    pub(super) outsider: Box<SigningKey>,
    /// A key of the keyset, stolen with a device.
    pub(super) insider: Box<SigningKey>,
}

/// The keys of the deployment and the keyset that lists them.
pub(super) struct DeploymentKeys {
    pub(super) producer: KeySummary,
    pub(super) worker: KeySummary,
    pub(super) worker_results: KeySummary,
    pub(super) reader: KeySummary,
    outsider: SecretKey,
    insider: SecretKey,
    keyring: Keyring,
}

impl DeploymentKeys {
    fn generate(dir: &Path, token: Option<&TokenUri>) -> Result<Self, AnyError> {
        let folder = dir.join("keys");
        fs::create_dir_all(&folder)?;
        let mut keys = Keys::new(folder, token);
        let entry = |kind: &str, issuer: &str, types: &str| {
            format!(
                "use = \"{kind}\"\nissuers = [\"{issuer}\"]\ntypes = [\"{types}\"]\naudiences = [\"demo/*\", \"staging/*\"]\n"
            )
        };
        let producer = keys.generate("producer", Algorithm::Es256, &entry("task", PRODUCER, "*"))?;
        let worker = keys.generate("worker", Algorithm::EcdhEs, "use = \"task\"\n")?;
        let worker_results =
            keys.generate("worker-results", Algorithm::Es256, &entry("result", WORKER, "*"))?;
        let reader = keys.generate("reader", Algorithm::EcdhEs, "use = \"result\"\n")?;
        // The keys of the attacker are never in the token.
        let outsider = SecretKey::create(&keys.file("outsider"), Algorithm::Es256, "outsider")?;
        let stolen = keys.file("stolen-device");
        let insider = SecretKey::create(&stolen, Algorithm::Es256, "stolen device")?;
        keys.add(&KeySummary::of_file(&insider, &stolen), &entry("task", "sensor-2", "note:*"))?;
        let keyset = dir.join("keyset.toml");
        fs::write(&keyset, keys.into_keyset())?;
        let keyring = Keyring::load(&keyset)?;
        Ok(Self { producer, worker, worker_results, reader, outsider, insider, keyring })
    }

    fn task_key(&self) -> Result<SealingKey, AnyError> {
        let source = SealingSource::new(SUITE, location(&self.producer)?).recipient(self.worker.kid);
        Ok(self.keyring.sealing_key(&source, Kind::Task)?)
    }

    fn result_key(&self) -> Result<SealingSource, AnyError> {
        let source = SealingSource::new(SUITE, location(&self.worker_results)?).recipient(self.reader.kid);
        self.keyring.sealing_key(&source, Kind::Result)?;
        Ok(source)
    }

    fn known_to_attacker(self) -> Result<AttackerKeys, AnyError> {
        Ok(AttackerKeys {
            worker: AgreementPublicKey::from_point(&self.worker.point.ok_or("not a public key")?)?,
            producer: self.producer.kid,
            outsider: signing(self.outsider)?,
            insider: signing(self.insider)?,
        })
    }
}

impl Deployment {
    /// Sets up the deployment in `dir`, with keys in the token or in files, on a broker that answers.
    pub(super) fn new(
        dir: &Path,
        location_of_queue: &Location,
        broker: Arc<dyn Broker>,
        token: Option<&TokenUri>,
    ) -> Result<Self, AnyError> {
        let keys = DeploymentKeys::generate(dir, token)?;
        let (task_key, honest, result_key) = (keys.task_key()?, keys.task_key()?, keys.result_key()?);
        let storage = location_of_queue.storage(dir)?;
        let (queue, other_queue) = location_of_queue.names()?;
        fs::write(dir.join("taskseal.toml"), configuration(&keys, [&queue, &other_queue]))?;
        let state = dir.join("state");
        DirBuilder::new().recursive(true).mode(0o700).create(&state)?;
        let mut settings = ClientSettings::new(DEPLOYMENT, PRODUCER, queue.clone());
        settings.retention = Duration::from_secs(3600);
        let reader = keys.keyring.with_decryption_keys([location(&keys.reader)?])?;
        let client = Client::new(settings, Arc::clone(&broker), task_key, reader);
        Ok(Self {
            broker,
            storage,
            queue,
            other_queue,
            client,
            keyring: keys.keyring.with_decryption_keys([location(&keys.worker)?])?,
            ledger: Arc::new(SqliteLedger::open(&state.join("ledger.db"))?),
            quarantine: Arc::new(Quarantine::open(&state.join("quarantine.db"), Limits::default())?),
            runs: Runs::default(),
            known: keys.known_to_attacker()?,
            honest,
            result_key,
        })
    }

    /// Returns a worker of the deployment. It records every run of a handler in `runs`.
    pub(super) fn worker(&self) -> Result<Worker, AnyError> {
        let result_key = self.keyring.sealing_key(&self.result_key, Kind::Result)?;
        let mut settings = WorkerSettings::new(WORKER, DEPLOYMENT, self.queue.clone());
        settings.queues.push(WorkerQueue::new(self.other_queue.clone(), 1));
        settings.concurrency = 64;
        let parts = WorkerParts {
            broker: Arc::clone(&self.broker),
            ledger: Arc::clone(&self.ledger) as _,
            quarantine: Arc::clone(&self.quarantine),
            keyring: self.keyring.clone(),
            results: ResultSealer::new(WORKER, result_key)?,
            handlers: self.runs.handlers(),
        };
        Ok(Worker::new(settings, parts))
    }

    /// Returns the number of refused tasks in quarantine.
    pub(super) fn quarantined(&self) -> Result<u64, AnyError> {
        Ok(self.quarantine.usage()?.entries)
    }

    /// Removes the queues, since the Redis server may be in use.
    pub(super) fn clear(&self) -> Result<(), AnyError> {
        self.storage.clear(&[self.queue.clone(), self.other_queue.clone()])
    }
}

fn signing(key: SecretKey) -> Result<Box<SigningKey>, AnyError> {
    match key {
        SecretKey::Sign(key) => Ok(key),
        _ => Err("not a signing key".into()),
    }
}
