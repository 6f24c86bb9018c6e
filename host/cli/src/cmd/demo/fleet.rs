//! A whole deployment in a temporary folder: keys, keyset, queue, ledger, quarantine, one producer, one worker.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal::broker::Broker;
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::sqlite::SqliteBroker;
use taskseal::handler::{Failure, Function, Handlers, OpenedTask, Output};
use taskseal::keys::{Algorithm, Keyring, SealingKey, SealingSource, SecretKey};
use taskseal::quarantine::{Limits, Quarantine};
use taskseal::replay::SqliteLedger;
use taskseal::result::ResultSealer;
use taskseal::worker::{WorkerParts, WorkerQueue};
use taskseal::{Client, ClientSettings, QueueName, Worker, WorkerSettings};
use taskseal_core::keys::{AgreementPublicKey, SigningKey};
use taskseal_core::{ContentType, KeyId, Kind, Suite, TaskId};
use taskseal_hsm::TokenUri;

use super::intruder::{EmbeddedStorage, Mishap, RedisStorage, Storage};
use super::keys::{Keys, location};
use crate::cmd::made::Made;

/// Deployment, issuers and types of the demonstration.
pub(super) const DEPLOYMENT: &str = "demo";
pub(super) const PRODUCER: &str = "producer-1";
pub(super) const DIGEST: &str = "file:digest";
pub(super) const FAIL: &str = "file:fail";

/// A deployment at work.
pub(super) struct Fleet {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) storage: Box<dyn Storage>,
    pub(super) queue: QueueName,
    pub(super) other_queue: QueueName,
    pub(super) client: Client,
    keyring: Keyring,
    ledger: Arc<SqliteLedger>,
    quarantine: Arc<Quarantine>,
    runs: Arc<Mutex<Vec<Run>>>,
    pub(super) keys: KnownKeys,
    /// The producer's key, for what it would have sealed at other times. Never shown to the intruder.
    pub(super) honest: SealingKey,
    result_key: SealingSource,
}

/// What an intruder knows, and has.
pub(super) struct KnownKeys {
    pub(super) worker: AgreementPublicKey,
    pub(super) producer: KeyId,
    pub(super) outsider: Box<SigningKey>,
    pub(super) insider: Box<SigningKey>,
}

/// One start of a handler.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) id: TaskId,
    pub(super) digest: [u8; 32],
}

impl Fleet {
    /// Sets everything up in `dir`, on the Redis at `url` or in a file, with its keys in files or in a token.
    pub(super) async fn new(dir: &Path, url: Option<&str>, token: Option<&TokenUri>) -> Result<Self, Mishap> {
        let folder = dir.join("keys");
        fs::create_dir_all(&folder)?;
        let mut keys = Keys::new(folder, token);
        let all = "audiences = [\"demo/*\", \"staging/*\"]";
        let producer = keys.of_deployment(
            "producer",
            Algorithm::Es256,
            &format!("use = \"task\"\nissuers = [\"{PRODUCER}\"]\ntypes = [\"*\"]\n{all}\n"),
        )?;
        let worker = keys.of_deployment("worker", Algorithm::EcdhEs, "use = \"task\"\n")?;
        let worker_results = keys.of_deployment(
            "worker-results",
            Algorithm::Es256,
            &format!("use = \"result\"\nissuers = [\"worker-1\"]\ntypes = [\"*\"]\n{all}\n"),
        )?;
        let reader = keys.of_deployment("reader", Algorithm::EcdhEs, "use = \"result\"\n")?;
        // The intruder has no token: one key it made, and one it stole with a device.
        let outsider = SecretKey::create(&keys.file("outsider"), Algorithm::Es256, "outsider")?;
        let stolen = keys.file("stolen-device");
        let insider = SecretKey::create(&stolen, Algorithm::Es256, "stolen device")?;
        keys.note(
            &Made::of_file(&insider, &stolen),
            &format!("use = \"task\"\nissuers = [\"sensor-2\"]\ntypes = [\"note:*\"]\n{all}\n"),
        )?;
        let keyset_file = dir.join("keyset.toml");
        fs::write(&keyset_file, keys.into_keyset())?;

        let keyring = Keyring::load(&keyset_file)?;
        let task_key = SealingSource::new(Suite::Sp, location(&producer)?).recipient(worker.kid);
        let honest = keyring.sealing_key(&task_key, Kind::Task)?;
        let task_key = keyring.sealing_key(&task_key, Kind::Task)?;
        let result_key = SealingSource::new(Suite::Sp, location(&worker_results)?).recipient(reader.kid);
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
            keyring.with_decryption_keys([location(&reader)?])?,
        );
        let keys = KnownKeys {
            worker: AgreementPublicKey::from_point(&worker.point.ok_or("not a public key")?)?,
            producer: producer.kid,
            outsider: signing(outsider)?,
            insider: signing(insider)?,
        };
        Ok(Self {
            broker,
            storage,
            queue,
            other_queue,
            client,
            keyring: keyring.with_decryption_keys([location(&worker)?])?,
            ledger: Arc::new(SqliteLedger::open(&dir.join("ledger.db"))?),
            quarantine: Arc::new(Quarantine::open(&dir.join("quarantine.db"), Limits::default())?),
            runs: Arc::default(),
            keys,
            honest,
            result_key,
        })
    }

    /// A worker of the deployment; every start of a handler is recorded in [`runs`](Self::runs).
    pub(super) fn worker(&self) -> Result<Worker, Mishap> {
        let result_key = self.keyring.sealing_key(&self.result_key, Kind::Result)?;
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
    let hex = base16ct::lower::encode_string(&Sha256::digest(body));
    serde_json::json!({ "bytes": body.len(), "sha256": hex }).to_string().into_bytes()
}

async fn open_queue(dir: &Path, url: Option<&str>) -> Result<(Arc<dyn Broker>, Box<dyn Storage>), Mishap> {
    let Some(url) = url else {
        let path = dir.join("queue.db");
        return Ok((Arc::new(SqliteBroker::open(&path)?), Box::new(EmbeddedStorage { path })));
    };
    let broker = RedisBroker::connect(&RedisConfig::new(url))?;
    // The first call tells whether there is a Redis at all.
    broker.queues().await?;
    let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    Ok((Arc::new(broker), Box::new(RedisStorage { connection, prefix: "asynq".to_owned() })))
}

fn signing(key: SecretKey) -> Result<Box<SigningKey>, Mishap> {
    match key {
        SecretKey::Sign(key) => Ok(key),
        _ => Err("not a signing key".into()),
    }
}
