//! A complete deployment in a private folder: keys, keysets, broker, ledger, quarantine, clients, workers.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::sqlite::SqliteBroker;
use taskseal::broker::{Broker, NewTask, TaskInfo, TaskRecord, TaskState};
use taskseal::handler::{Failure, Function, Handlers, OpenedTask, Output};
use taskseal::keys::{Algorithm, Keyring, SealingKey, SecretKey};
use taskseal::quarantine::{Limits, Quarantine};
use taskseal::replay::{Ledger, SqliteLedger};
use taskseal::result::ResultSealer;
use taskseal::time::UnixMillis;
use taskseal::{Client, ClientSettings, QueueName, WorkerParts, WorkerSettings};
use taskseal_core::claims::ClockSource;
use taskseal_core::{Audience, Claims, ContentType, Issuer, KeyId, Kind, TaskId, TaskType};
use tempfile::TempDir;

pub use self::observed::{Noted, Running, Seen};
pub use self::ran::Ran;
use crate::conformance::Store;
use crate::embedded::QueueFile;
use crate::redis::RedisServer;

mod intruder;
mod keys;
mod observed;
mod ran;

/// A deployment, deleted when dropped.
pub struct Fleet {
    folder: Folder,
    queue: AnyQueue,
    broker: Arc<dyn Broker>,
    kids: BTreeMap<&'static str, KeyId>,
}

#[derive(Debug)]
enum Folder {
    Own(TempDir),
    OfOther(PathBuf),
}

/// Storage of the tasks, writable past the broker as for an intruder.
#[allow(missing_docs)]
pub enum AnyQueue {
    Embedded(QueueFile),
    Redis(Box<RedisServer>),
    /// Of another process.
    Elsewhere,
}

/// The key that may seal tasks of every type as `shop` for `test/mail` and `test/bulk`.
pub const PRODUCER: &str = "producer";
/// May seal `email:*` as `shop` for `test/mail` only.
pub const NARROW: &str = "narrow";
/// Revoked.
pub const REVOKED: &str = "revoked";
/// Was valid until 2020.
pub const OUTDATED: &str = "outdated";
/// Not in the keyset of the workers.
pub const STRANGER: &str = "stranger";
/// Seals results.
pub const WORKER: &str = "worker";

const SIGNING: [&str; 6] = [PRODUCER, NARROW, REVOKED, OUTDATED, STRANGER, WORKER];

impl Fleet {
    /// A deployment on a queue file.
    pub async fn embedded() -> Self {
        Self::on(AnyQueue::Embedded(QueueFile::new())).await
    }

    /// A deployment on a private Redis server; `None`, with a message, if the program is not installed.
    pub async fn redis() -> Option<Self> {
        let server = RedisServer::start_or_skip()?;
        Some(Self::on(AnyQueue::Redis(Box::new(server))).await)
    }

    /// The same on a server that keeps what it acknowledged.
    pub async fn durable_redis() -> Option<Self> {
        if let Some(reason) = crate::redis::unavailable() {
            eprintln!("skipped: {reason}");
            return None;
        }
        let server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
        Some(Self::on(AnyQueue::Redis(Box::new(server))).await)
    }

    async fn on(queue: AnyQueue) -> Self {
        let folder = Folder::Own(tempfile::tempdir().unwrap());
        let broker = queue.store().open().await;
        let mut fleet = Self { folder, queue, broker, kids: BTreeMap::new() };
        fleet.make_keys();
        fleet
    }

    /// What another process needs to [`join`](Self::join).
    #[must_use]
    pub fn address(&self) -> String {
        let queue = match &self.queue {
            AnyQueue::Embedded(file) => file.path().display().to_string(),
            AnyQueue::Redis(server) => server.url(),
            AnyQueue::Elsewhere => panic!("belongs to another process"),
        };
        format!("{}\n{queue}", self.path("").display())
    }

    /// The deployment of another process: its keys, its queue, its ledger.
    #[must_use]
    pub fn join(address: &str) -> Self {
        let (folder, queue) = address.split_once('\n').unwrap();
        let broker: Arc<dyn Broker> = if queue.starts_with("redis:") {
            Arc::new(RedisBroker::connect(&RedisConfig::new(queue)).unwrap())
        } else {
            Arc::new(SqliteBroker::open(queue).unwrap())
        };
        let folder = Folder::OfOther(folder.into());
        Self { folder, queue: AnyQueue::Elsewhere, broker, kids: BTreeMap::new() }
    }

    fn make_keys(&mut self) {
        let (mut trusted, mut all) = (String::new(), String::new());
        for name in SIGNING {
            let key = SecretKey::create(&self.path(&format!("{name}.key")), Algorithm::Es256, name).unwrap();
            self.kids.insert(name, key.kid());
            let r#use = if name == WORKER { "result" } else { "task" };
            let entry = |issuers: &str, types: &str, audiences: &str, more: &str| {
                format!(
                    "[[key]]\nkid = \"{}\"\nalg = \"ES256\"\nuse = \"{use}\"\npublic = \"{}\"\n\
                     issuers = [{issuers}]\ntypes = [{types}]\naudiences = [{audiences}]\n{more}\n",
                    key.kid(),
                    key.public().unwrap()
                )
            };
            all.push_str(&entry("\"*\"", "\"*\"", "\"*\"", ""));
            let (shop, both) = ("\"shop\"", "\"test/mail\", \"test/bulk\"");
            trusted.push_str(&match name {
                STRANGER => continue,
                NARROW => entry(shop, "\"email:*\"", "\"test/mail\"", ""),
                REVOKED => entry(shop, "\"*\"", both, "state = \"compromised\""),
                OUTDATED => entry(shop, "\"*\"", both, "accept_until = \"2020-01-01T00:00:00Z\""),
                WORKER => entry("\"worker-*\"", "\"*\"", both, ""),
                _ => entry(shop, "\"*\"", both, ""),
            });
        }
        for name in ["shared", "unshared", "results"] {
            SecretKey::create(&self.path(&format!("{name}.key")), Algorithm::A256Gcm, name).unwrap();
        }
        let recipient =
            SecretKey::create(&self.path("recipient.key"), Algorithm::EcdhEs, "recipient").unwrap();
        self.kids.insert("recipient", recipient.kid());
        for text in [&mut trusted, &mut all] {
            let (kid, public) = (recipient.kid(), recipient.public().unwrap());
            write!(
                text,
                "[[key]]\nkid = \"{kid}\"\nalg = \"ECDH-ES\"\nuse = \"task\"\npublic = \"{public}\"\n"
            )
            .unwrap();
        }
        fs::write(self.path("keyset.toml"), trusted).unwrap();
        fs::write(self.path("all.toml"), all).unwrap();
    }

    /// A file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        match &self.folder {
            Folder::Own(folder) => folder.path().join(name),
            Folder::OfOther(folder) => folder.join(name),
        }
    }

    /// Where the tasks lie.
    #[must_use]
    pub fn queue(&self) -> &AnyQueue {
        &self.queue
    }

    /// The same, to stop and start it.
    pub fn queue_mut(&mut self) -> &mut AnyQueue {
        &mut self.queue
    }

    /// A handle that this process shares.
    #[must_use]
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker)
    }

    /// The keyset of clients and workers, and their decryption keys.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        let files = ["shared.key", "results.key", "recipient.key"].map(|name| self.path(name));
        Keyring::load(&self.path("keyset.toml")).unwrap().with_decryption_keys(files).unwrap()
    }

    /// Settings of a client that can be waited for: results kept for an hour.
    #[must_use]
    pub fn client_settings(&self) -> ClientSettings {
        ClientSettings::new("test", "shop", mail())
    }

    /// A client with these settings, on the shared broker.
    #[must_use]
    pub fn client_with(&self, settings: ClientSettings) -> Client {
        self.client_on(settings, self.broker())
    }

    /// A client on another broker.
    #[must_use]
    pub fn client_on(&self, settings: ClientSettings, broker: Arc<dyn Broker>) -> Client {
        Client::new(settings, broker, self.sealing_key(PRODUCER), self.keyring())
    }

    /// A client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_with(self.client_settings())
    }

    /// Settings of a worker that does not keep a test waiting.
    #[must_use]
    pub fn worker_settings(&self) -> WorkerSettings {
        let mut settings = WorkerSettings::new("worker-1", "test", mail());
        // The same on every machine: tests count the tasks that one worker leases.
        settings.concurrency = 10;
        settings.lease = Duration::from_secs(2);
        settings.poll = Duration::from_millis(50);
        settings.key_retry = Duration::from_millis(50);
        settings.backoff.first = Duration::from_millis(20);
        settings.backoff.longest = Duration::from_millis(50);
        settings
    }

    /// What a worker works with; every call opens the ledger anew, as another process would.
    #[must_use]
    pub fn parts(&self, handlers: Handlers) -> WorkerParts {
        let results = self.sealing_key_for("results", WORKER, Kind::Result);
        WorkerParts {
            broker: self.broker(),
            ledger: self.ledger(),
            quarantine: self.quarantine(),
            keyring: self.keyring(),
            results: ResultSealer::new("worker-1", results).unwrap(),
            handlers,
        }
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(SqliteLedger::open(&self.path("ledger.db")).unwrap())
    }

    /// The quarantine.
    #[must_use]
    pub fn quarantine(&self) -> Arc<Quarantine> {
        Arc::new(Quarantine::open(&self.path("quarantine.db"), Limits::default()).unwrap())
    }

    /// Starts a worker with the usual settings.
    #[must_use]
    pub fn start(&self, handlers: Handlers) -> Running {
        Running::start(self.worker_settings(), self.parts(handlers))
    }

    /// Seals what `change` makes of usual claims of type `email:send`, with the key of that name.
    #[must_use]
    pub fn seal(&self, key: &SealingKey, change: impl FnOnce(Claims<'static>) -> Claims<'static>) -> Sealed {
        let claims = change(claims());
        Sealed { claims, envelope: key.seal(&claims, ContentType::JSON, b"{}").unwrap() }
    }

    /// Seals a task of an issuer without a clock, which never expires.
    #[must_use]
    pub fn seal_without_times(
        &self,
        key: &SealingKey,
        change: impl FnOnce(Claims<'static>) -> Claims<'static>,
    ) -> Sealed {
        self.seal(key, |mut claims| {
            (claims.issued_at, claims.expires_at) = (None, None);
            change(claims.clock(ClockSource::None).sequence(1, 1))
        })
    }

    /// Seals a result that no worker has made, to be pushed in the place of a task.
    #[must_use]
    pub fn seal_result(&self, change: impl FnOnce(Claims<'static>) -> Claims<'static>) -> Sealed {
        let mut claims = claims();
        claims.issuer = Issuer::new("worker-1").unwrap();
        let claims = change(claims);
        let key = self.sealing_key_for("results", WORKER, Kind::Result);
        Sealed { claims, envelope: key.seal(&claims, ContentType::JSON, b"{}").unwrap() }
    }

    /// Writes a task into the queue as an intruder: nothing is checked.
    pub async fn push(&self, record: TaskRecord) {
        self.broker.enqueue(&mail(), &[NewTask::now(record)]).await.unwrap();
    }

    /// Ids of the tasks that ran to their end, as the ledger has it.
    #[must_use]
    pub fn done(&self) -> BTreeSet<String> {
        let file = rusqlite::Connection::open(self.path("ledger.db")).unwrap();
        let mut done = file.prepare("SELECT task_id FROM task WHERE state IN ('done', 'finished')").unwrap();
        let ids = done.query_map([], |row| Ok(TaskId::from_bytes(row.get(0)?).to_string())).unwrap();
        ids.collect::<Result<_, _>>().unwrap()
    }

    /// One task of the usual queue.
    pub async fn find(&self, id: &str) -> Option<TaskInfo> {
        self.broker.find(&mail(), id).await.unwrap()
    }

    /// Waits until a task is in `state`.
    pub async fn until_in(&self, id: &str, state: TaskState) -> TaskInfo {
        until(&format!("{id} is {}", state.as_str()), async || {
            self.find(id).await.filter(|info| info.state == state)
        })
        .await
    }

    /// Waits until a task is gone from the queue.
    pub async fn until_gone(&self, id: &str) {
        until(&format!("{id} is gone"), async || self.find(id).await.is_none().then_some(())).await;
    }
}

impl AnyQueue {
    /// What the conformance suite knows of it.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        match self {
            Self::Embedded(file) => file,
            Self::Redis(server) => &**server,
            Self::Elsewhere => panic!("belongs to another process"),
        }
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AnyQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Embedded(_) => "Embedded",
            Self::Redis(_) => "Redis",
            Self::Elsewhere => "Elsewhere",
        })
    }
}

/// A sealed task and what is sealed in it.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The claims of its producer.
    pub claims: Claims<'static>,
    /// The sealed bytes.
    pub envelope: Vec<u8>,
}

impl Sealed {
    /// The id as text.
    #[must_use]
    pub fn id(&self) -> String {
        self.claims.task_id.to_string()
    }

    /// The record an honest producer would store.
    #[must_use]
    pub fn record(&self) -> TaskRecord {
        TaskRecord {
            task_type: self.claims.task_type.to_string(),
            envelope: self.envelope.clone().into(),
            id: self.id(),
            queue: "mail".to_owned(),
            max_retries: Some(24),
            timeout: Some(Duration::from_secs(60)),
            ..TaskRecord::default()
        }
    }
}

/// Claims of a fresh task that every check accepts.
#[must_use]
pub fn claims() -> Claims<'static> {
    let now = unix_now();
    Claims::new(
        Issuer::new("shop").unwrap(),
        TaskType::new("email:send").unwrap(),
        Audience::new("test/mail").unwrap(),
        new_id(),
    )
    .issued_at(now)
    .expires_at(now + 3600)
    .attempts(5)
    .timeout(60)
}

/// An id that was never used.
#[must_use]
pub fn new_id() -> TaskId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    // With letters in it, so that their case can be changed.
    TaskId::from_bytes((0xfeed_u128 << 112 | u128::from(std::process::id()) << 64 | number).to_be_bytes())
}

/// Unix time in seconds.
#[must_use]
pub fn unix_now() -> u64 {
    u64::try_from(UnixMillis::now().as_secs()).unwrap()
}

/// The usual queue.
#[must_use]
pub fn mail() -> QueueName {
    QueueName::parse("mail").unwrap()
}

/// Handlers with one function for every type.
pub fn every_type<R>(function: impl Fn(OpenedTask) -> R + Send + Sync + 'static) -> Handlers
where
    R: Future<Output = Result<Output, Failure>> + Send + 'static,
{
    let mut handlers = Handlers::default();
    handlers.insert("*", Arc::new(Function::new(function)));
    handlers
}

/// Handlers that do nothing.
#[must_use]
pub fn nothing_to_do() -> Handlers {
    every_type(async |_| Ok(Output::empty()))
}

/// Repeats `look` until it returns a value.
///
/// # Panics
/// If it has not within a minute. `what` names the event.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Mounts behaviours that take a [`Fleet`], each a test on either broker.
#[macro_export]
macro_rules! on_both_brokers {
    ($($behaviour:ident,)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                super::$behaviour($crate::fleet::Fleet::embedded().await).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                if let Some(fleet) = $crate::fleet::Fleet::redis().await {
                    super::$behaviour(fleet).await;
                }
            })*
        }
    };
}
