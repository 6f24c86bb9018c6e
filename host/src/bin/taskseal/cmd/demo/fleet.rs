//! A whole deployment in a temporary folder: keys, keyset, queue, ledger, quarantine, one producer, one worker.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal::broker::Broker;
use taskseal::broker::embedded::EmbeddedBroker;
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::handler::{Failure, Function, Handlers, OpenedTask, Output};
use taskseal::keyring::{Algorithm, Keyring, SealingSource, SecretKey};
use taskseal::ledger::SqliteLedger;
use taskseal::quarantine::{Limits, Quarantine};
use taskseal::results::ResultSealer;
use taskseal::worker::{WorkerParts, WorkerQueue};
use taskseal::{Client, ClientSettings, QueueName, Worker, WorkerSettings};
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::{ContentType, KeyId, Kind, Suite, TaskId};

use super::intruder::{EmbeddedStorage, Mishap, RedisStorage, Storage};

/// Deployment, issuers and types of the demonstration.
pub(super) const DEPLOYMENT: &str = "demo";
pub(super) const PRODUCER: &str = "producer-1";
pub(super) const DIGEST: &str = "file:digest";
pub(super) const FAIL: &str = "file:fail";

/// A deployment at work.
pub(super) struct Fleet {
    dir: PathBuf,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) storage: Box<dyn Storage>,
    pub(super) queue: QueueName,
    pub(super) other_queue: QueueName,
    pub(super) client: Client,
    keyring: Keyring,
    ledger: Arc<SqliteLedger>,
    quarantine: Arc<Quarantine>,
    runs: Arc<Mutex<Vec<Run>>>,
    pub(super) keys: PublicKeys,
}

/// What an intruder can know, and two keys that play a part.
pub(super) struct PublicKeys {
    pub(super) worker: AgreementPublicKey,
    pub(super) producer: KeyId,
    pub(super) outsider: SigningKey,
    pub(super) insider: SigningKey,
    pub(super) honest: SigningKey,
}

/// One start of a handler.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) id: TaskId,
    pub(super) digest: [u8; 32],
}

impl Fleet {
    /// Sets everything up in `dir`, on the Redis at `url` or in a file.
    pub(super) async fn new(dir: &Path, url: Option<&str>) -> Result<Self, Mishap> {
        let keys = dir.join("keys");
        fs::create_dir_all(&keys)?;
        let mut keyset = String::new();
        let mut make = |name: &str, algorithm, entry: &str| -> Result<(PathBuf, SecretKey), Mishap> {
            let path = keys.join(format!("{name}.key"));
            let key = SecretKey::create(&path, algorithm, name)?;
            if !entry.is_empty() {
                let (kid, public) = (key.kid(), key.public().ok_or("not a public key")?);
                keyset += &format!(
                    "[[key]]\nkid = \"{kid}\"\nalg = \"{algorithm}\"\npublic = \"{public}\"\n{entry}\n"
                );
            }
            Ok((path, key))
        };
        let all = "audiences = [\"demo/*\", \"staging/*\"]";
        let (producer_file, producer) = make(
            "producer",
            Algorithm::Es256,
            &format!("use = \"task\"\nissuers = [\"{PRODUCER}\"]\ntypes = [\"*\"]\n{all}\n"),
        )?;
        let (_, insider) = make(
            "stolen-device",
            Algorithm::Es256,
            &format!("use = \"task\"\nissuers = [\"sensor-2\"]\ntypes = [\"note:*\"]\n{all}\n"),
        )?;
        let (_, outsider) = make("outsider", Algorithm::Es256, "")?;
        let (worker_file, worker) = make("worker", Algorithm::EcdhEs, "use = \"task\"\n")?;
        let (sealer_file, _) = make(
            "worker-results",
            Algorithm::Es256,
            &format!("use = \"result\"\nissuers = [\"worker-1\"]\ntypes = [\"*\"]\n{all}\n"),
        )?;
        let (reader_file, reader) = make("reader", Algorithm::EcdhEs, "use = \"result\"\n")?;
        let keyset_file = dir.join("keyset.toml");
        fs::write(&keyset_file, keyset)?;

        let keyring = Keyring::load(&keyset_file)?;
        let task_key = SealingSource::new(Suite::Sp, producer_file).recipient(worker.kid());
        let task_key = keyring.sealing_key(&task_key, Kind::Task)?;
        let result_key = SealingSource::new(Suite::Sp, &sealer_file).recipient(reader.kid());
        keyring.sealing_key(&result_key, Kind::Result)?;

        let (broker, storage) = open_queue(dir, url).await?;
        // Names of its own: the demonstration must not meet the queues of a Redis that is in use.
        let name = format!("taskseal-demo-{}", uuid::Uuid::now_v7().simple());
        let queue = QueueName::parse(&name)?;
        let other_queue = QueueName::parse(&format!("{name}-2"))?;
        let mut settings = ClientSettings::new(DEPLOYMENT, PRODUCER, queue.clone());
        settings.retention = Duration::from_secs(3600);
        let client = Client::new(
            settings,
            Arc::clone(&broker),
            task_key,
            keyring.with_decryption_keys([&reader_file])?,
        );
        let keys = PublicKeys {
            worker: agreement(&worker)?,
            producer: producer.kid(),
            outsider: signing(outsider)?,
            insider: signing(insider)?,
            honest: signing(producer)?,
        };
        Ok(Self {
            broker,
            storage,
            queue,
            other_queue,
            client,
            keyring: keyring.with_decryption_keys([&worker_file])?,
            ledger: Arc::new(SqliteLedger::open(&dir.join("ledger.db"))?),
            quarantine: Arc::new(Quarantine::open(&dir.join("quarantine.db"), Limits::default())?),
            runs: Arc::default(),
            keys,
            dir: dir.to_owned(),
        })
    }

    /// A worker of the deployment; every start of a handler is recorded in [`runs`](Self::runs).
    pub(super) fn worker(&self) -> Result<Worker, Mishap> {
        let result_key = SealingSource::new(Suite::Sp, self.dir.join("keys/worker-results.key"));
        let reader = SecretKey::read(&self.dir.join("keys/reader.key"))?.kid();
        let result_key = self.keyring.sealing_key(&result_key.recipient(reader), Kind::Result)?;
        let mut settings = WorkerSettings::new("worker-1", DEPLOYMENT, self.queue.clone());
        settings.queues.push(WorkerQueue { name: self.other_queue.clone(), weight: 1 });
        settings.concurrency = 64;
        let parts = WorkerParts {
            broker: Arc::clone(&self.broker),
            ledger: Arc::clone(&self.ledger) as _,
            quarantine: Arc::clone(&self.quarantine),
            keyring: self.keyring.clone(),
            results: ResultSealer::new("worker-1", result_key)?,
            handlers: self.handlers(),
        };
        Ok(Worker::new(settings, parts))
    }

    fn handlers(&self) -> Handlers {
        let runs = Arc::clone(&self.runs);
        let record = move |task: &OpenedTask| {
            let digest = Sha256::digest(&task.body).into();
            runs.lock().unwrap_or_else(PoisonError::into_inner).push(Run { id: task.id, digest });
        };
        let record = Arc::new(record);
        let mut handlers = Handlers::default();
        let seen = Arc::clone(&record);
        handlers.insert(
            DIGEST,
            Arc::new(Function::new(move |task: OpenedTask| {
                seen(&task);
                async move { Ok(Output::new(ContentType::JSON, answer(&task.body))) }
            })),
        );
        let seen = Arc::clone(&record);
        handlers.insert(
            FAIL,
            Arc::new(Function::new(move |task: OpenedTask| {
                seen(&task);
                async { Err(Failure::TryAgain("fails every time".to_owned())) }
            })),
        );
        handlers.insert(
            "note:*",
            Arc::new(Function::new(move |task: OpenedTask| {
                record(&task);
                async { Ok(Output::empty()) }
            })),
        );
        handlers
    }

    /// Every start of a handler so far.
    pub(super) fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many refused tasks quarantine holds.
    pub(super) fn quarantined(&self) -> Result<u64, Mishap> {
        Ok(self.quarantine.usage()?.entries)
    }

    /// Leaves nothing behind in a Redis that others use.
    pub(super) async fn clear(&self) -> Result<(), Mishap> {
        self.storage.clear(&[self.queue.clone(), self.other_queue.clone()]).await
    }
}

/// What a worker answers for a body: its length and SHA-256, computed the same way for the check.
pub(super) fn answer(body: &[u8]) -> Vec<u8> {
    let hex: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    serde_json::json!({ "bytes": body.len(), "sha256": hex }).to_string().into_bytes()
}

async fn open_queue(dir: &Path, url: Option<&str>) -> Result<(Arc<dyn Broker>, Box<dyn Storage>), Mishap> {
    let Some(url) = url else {
        let path = dir.join("queue.db");
        return Ok((Arc::new(EmbeddedBroker::open(&path)?), Box::new(EmbeddedStorage { path })));
    };
    let broker = RedisBroker::connect(&RedisConfig::new(url))?;
    // The first call tells whether there is a Redis at all.
    broker.queues().await?;
    let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    Ok((Arc::new(broker), Box::new(RedisStorage { connection, prefix: "asynq".to_owned() })))
}

fn agreement(key: &SecretKey) -> Result<AgreementPublicKey, Mishap> {
    let point = key.point().ok_or("not a public key")?;
    Ok(AgreementPublicKey::from_point(&point)?)
}

fn signing(key: SecretKey) -> Result<SigningKey, Mishap> {
    match key {
        SecretKey::Sign(key) => Ok(key),
        _ => Err("not a signing key".into()),
    }
}
