//! What sealing costs on top of the queue: the same tasks unsealed, in three suites and in batches of 64, on one Redis.
//!
//! Unsealed is the bare broker: enqueue, dequeue and settle in batches of 32, without ledger, verification or a
//! handler. Sealed is the real client and the real worker with a handler that does nothing and a ledger on disk.
//! The cases alternate, each with its own queue.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::{Broker, Lease, Leased, NewTask, Settlement, TaskRecord};
use taskseal::handler::{Function, Handlers, OpenedTask, Output};
use taskseal::keys::{Algorithm, Keyring, SealingKey, SealingSource, SecretKey};
use taskseal::quarantine::{Limits, Quarantine};
use taskseal::replay::{Decision, Ledger, ReplayQuery, SqliteLedger, TaskKey};
use taskseal::result::ResultSealer;
use taskseal::time::UnixMillis;
use taskseal::{Client, ClientSettings, QueueName, Task, Worker, WorkerParts, WorkerSettings};
use taskseal_benches::{Samples, own_cpu_seconds, redis_cpu_seconds};
use taskseal_core::{ContentType, KeyId, Kind, Suite, SuiteSet};
use taskseal_tests::redis::RedisServer;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BODY: usize = 512;
const TASKS: usize = 2_000;
const BATCH: usize = 32;
/// Tasks under one signature where there are more than one, and then handed to the client at once.
const SIGNED_AT_ONCE: usize = 64;
const ROUNDS: usize = 3;
const DEPLOYMENT: &str = "bench";
const TASK_TYPE: &str = "email:deliver";
const KEPT: Duration = Duration::from_secs(3600);

/// A suite and the most tasks under one signature; no suite: unsealed.
type Case = Option<(Suite, usize)>;

const CASES: [Case; 6] = [
    None,
    Some((Suite::E, 1)),
    Some((Suite::Se, 1)),
    Some((Suite::Se, SIGNED_AT_ONCE)),
    Some((Suite::Sp, 1)),
    Some((Suite::Sp, SIGNED_AT_ONCE)),
];

pub(crate) fn run() {
    let server = RedisServer::start();
    let runtime = Runtime::new().expect("a runtime can be started");
    let place = Deployment::new(&server);
    println!(
        "\nSealed beside unsealed, {BODY}-byte bodies, {TASKS} tasks, batches of {BATCH}, {ROUNDS} rounds"
    );
    for keep in [false, true] {
        let mut rows = CASES.map(|case| (case, Row::default()));
        for round in 0..ROUNDS {
            for (index, (case, row)) in rows.iter_mut().enumerate() {
                let queue = QueueName::parse(&format!("bench-{keep}-{index}-{round}"));
                runtime.block_on(one_round(&place, *case, &queue.expect("a name"), keep, &server, row));
            }
        }
        print(keep, &rows);
    }
    ledger_alone(place.folder.path());
}

/// What one case measured, each a sample a round.
#[derive(Default)]
struct Row {
    enqueued_a_second: Samples,
    worked_a_second: Samples,
    client: Samples,
    worker: Samples,
    redis: Samples,
}

fn print(keep: bool, rows: &[(Case, Row)]) {
    println!("\n{}", if keep { "results kept" } else { "nothing kept" });
    println!(
        "  {:<18} {:>10} {:>10} {:>11} {:>11} {:>10} {:>8} {:>18}",
        "", "enqueued/s", "worked/s", "client us", "worker us", "redis us", "cpu x", "worker us min-max"
    );
    let cpu = |row: &Row| row.client.median() + row.worker.median() + row.redis.median();
    let base = rows.first().map_or(f64::NAN, |(_, row)| cpu(row));
    for (case, row) in rows {
        println!(
            "  {:<18} {:>10.0} {:>10.0} {:>11.1} {:>11.1} {:>10.1} {:>8.1} {:>18}",
            name(*case),
            row.enqueued_a_second.median(),
            row.worked_a_second.median(),
            row.client.median(),
            row.worker.median(),
            row.redis.median(),
            cpu(row) / base,
            row.worker.spread(),
        );
    }
}

fn name(case: Case) -> String {
    match case {
        None => "unsealed".to_owned(),
        Some((suite, 1)) => suite.short_name().to_owned(),
        Some((suite, batch)) => format!("{suite}, batches of {batch}"),
    }
}

async fn one_round(
    place: &Deployment,
    case: Case,
    queue: &QueueName,
    keep: bool,
    server: &RedisServer,
    row: &mut Row,
) {
    let mut watch = server.raw();
    let per_task = |seconds: f64| seconds * 1e6 / TASKS as f64;
    let retention = if keep { KEPT } else { Duration::ZERO };
    let fleet = case.map(|(suite, batch)| place.fleet(suite, batch, queue, retention));
    let at_once = case.map_or(BATCH, |(_, batch)| batch.max(BATCH));

    let (redis, own, start) = (redis_cpu_seconds(&mut watch), own_cpu_seconds(), Instant::now());
    match &fleet {
        Some((client, _)) => enqueue_sealed(client, at_once).await,
        None => enqueue_unsealed(&*place.broker, queue, retention).await,
    }
    row.enqueued_a_second.push(TASKS as f64 / start.elapsed().as_secs_f64());
    row.client.push(per_task(own_cpu_seconds() - own));

    let (own, start) = (own_cpu_seconds(), Instant::now());
    match fleet {
        Some((_, worker)) => {
            let tally = worker.run_once().await;
            assert_eq!(tally.succeeded, TASKS as u64, "{tally:?}");
        }
        None => work_unsealed(&*place.broker, queue, retention).await,
    }
    row.worked_a_second.push(TASKS as f64 / start.elapsed().as_secs_f64());
    row.worker.push(per_task(own_cpu_seconds() - own));
    row.redis.push(per_task(redis_cpu_seconds(&mut watch) - redis));

    let stats = place.broker.stats(queue).await.expect("stats");
    assert_eq!((stats.processed, stats.completed), (TASKS as u64, if keep { TASKS as u64 } else { 0 }));
}

async fn enqueue_sealed(client: &Client, at_once: usize) {
    let task = || Task::from_bytes(TASK_TYPE, ContentType::JSON, vec![0xa5; BODY]).expect("a type");
    for first in (0..TASKS).step_by(at_once) {
        let tasks = (first..TASKS.min(first + at_once)).map(|_| task()).collect();
        client.enqueue_all(tasks).await.expect("enqueue");
    }
}

async fn enqueue_unsealed(broker: &dyn Broker, queue: &QueueName, retention: Duration) {
    for first in (0..TASKS).step_by(BATCH) {
        let task = |number| {
            NewTask::now(TaskRecord {
                task_type: TASK_TYPE.to_owned(),
                envelope: vec![0xa5; BODY].into(),
                id: format!("0199f1a2-7c3d-7e00-8000-{number:012x}"),
                queue: queue.to_string(),
                retention,
                ..TaskRecord::default()
            })
        };
        let tasks: Vec<NewTask> = (first..TASKS.min(first + BATCH)).map(task).collect();
        broker.enqueue(queue, &tasks).await.expect("enqueue");
    }
}

async fn work_unsealed(broker: &dyn Broker, queue: &QueueName, retention: Duration) {
    loop {
        let leased = broker.dequeue(queue, BATCH, Duration::from_secs(5)).await.expect("dequeue").tasks;
        if leased.is_empty() {
            break;
        }
        let end = |Leased { lease, .. }: Leased| -> (Lease, Settlement) {
            if retention.is_zero() {
                return (lease, Settlement::Done);
            }
            (lease, Settlement::Complete { result: Vec::new(), retention })
        };
        let ends: Vec<_> = leased.into_iter().map(end).collect();
        broker.settle(queue, &ends).await.expect("settle");
    }
}

/// Keys, ledger and quarantine in a folder, and the queue.
struct Deployment {
    folder: TempDir,
    broker: Arc<dyn Broker>,
    worker_keyring: Keyring,
    worker_key: KeyId,
    reader_key: KeyId,
    ledger: Arc<SqliteLedger>,
    quarantine: Arc<Quarantine>,
}

impl Deployment {
    fn new(server: &RedisServer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        let mut keyset = String::new();
        let mut make = |name: &str, algorithm: Algorithm, rights: &str| -> KeyId {
            let key = SecretKey::create(&dir.join(name), algorithm, name).expect("a new key");
            if !rights.is_empty() {
                let material = key.public().map_or_else(
                    || format!("secret_file = \"{name}\""),
                    |public| format!("public = \"{public}\""),
                );
                keyset += &format!(
                    "[[key]]\nkid = \"{}\"\nalg = \"{algorithm}\"\n{material}\n{rights}\n",
                    key.kid()
                );
            }
            key.kid()
        };
        let (any, task, result) = (
            "issuers = [\"*\"]\ntypes = [\"*\"]\naudiences = [\"*\"]\n",
            "use = \"task\"\n",
            "use = \"result\"\n",
        );
        make("producer", Algorithm::Es256, &format!("{task}{any}"));
        make("shared", Algorithm::A256Gcm, &format!("{task}{any}"));
        make("content", Algorithm::A256Gcm, "");
        make("sealer", Algorithm::Es256, &format!("{result}{any}"));
        make("shared-result", Algorithm::A256Gcm, &format!("{result}{any}"));
        let worker_key = make("worker", Algorithm::EcdhEs, task);
        let reader_key = make("reader", Algorithm::EcdhEs, result);
        fs::write(dir.join("keyset.toml"), keyset).expect("a file");
        let keyring = Keyring::load(&dir.join("keyset.toml")).expect("a keyset");
        let own = [dir.join("worker"), dir.join("content")];
        let broker = RedisBroker::connect(&RedisConfig::new(server.url())).expect("the address is good");
        Self {
            broker: Arc::new(broker),
            worker_keyring: keyring.with_decryption_keys(&own).expect("decryption keys"),
            worker_key,
            reader_key,
            ledger: Arc::new(SqliteLedger::open(&dir.join("ledger.db")).expect("a ledger")),
            quarantine: Arc::new(
                Quarantine::open(&dir.join("quarantine.db"), Limits::default()).expect("a quarantine"),
            ),
            folder,
        }
    }

    fn fleet(&self, suite: Suite, batch: usize, queue: &QueueName, retention: Duration) -> (Client, Worker) {
        let mut settings = ClientSettings::new(DEPLOYMENT, "producer-1", queue.clone());
        settings.retention = retention;
        settings.sign_batch = batch;
        let client = Client::new(
            settings,
            Arc::clone(&self.broker),
            self.key(suite, Kind::Task),
            self.worker_keyring.clone(),
        );

        let mut settings = WorkerSettings::new("worker-1", DEPLOYMENT, queue.clone());
        settings.policy.suites = SuiteSet::NONE.with(suite);
        settings.policy.batches = true;
        settings.concurrency = 2 * BATCH;
        settings.fetch_batch = BATCH;
        let mut handlers = Handlers::default();
        handlers.insert("*", Arc::new(Function::new(|_: OpenedTask| async { Ok(Output::empty()) })));
        let parts = WorkerParts {
            broker: Arc::clone(&self.broker),
            ledger: Arc::clone(&self.ledger) as _,
            quarantine: Arc::clone(&self.quarantine),
            keyring: self.worker_keyring.clone(),
            results: ResultSealer::new("worker-1", self.key(suite, Kind::Result)).expect("a name"),
            handlers,
        };
        (client, Worker::new(settings, parts))
    }

    fn key(&self, suite: Suite, kind: Kind) -> SealingKey {
        let file = |name: &str| self.folder.path().join(name);
        let (signing, shared, recipient) = match kind {
            Kind::Task => ("producer", "shared", self.worker_key),
            _ => ("sealer", "shared-result", self.reader_key),
        };
        let source = match suite {
            Suite::E => SealingSource::new(suite, file(shared)),
            Suite::Se => SealingSource::new(suite, file(signing)).encryption_key(file("content")),
            _ => SealingSource::new(suite, file(signing)).recipient(recipient),
        };
        self.worker_keyring.sealing_key(&source, kind).expect("a key of the keyset")
    }
}

/// The ledger's share: three transactions a batch, each on disk before the next step.
fn ledger_alone(dir: &Path) {
    let ledger = SqliteLedger::open(&dir.join("ledger-alone.db")).expect("a ledger");
    let (mut wall, mut cpu) = (Samples::default(), Samples::default());
    for batch in 0..TASKS.div_ceil(BATCH) {
        let now = UnixMillis::now();
        let sighting = |number: usize| ReplayQuery {
            issuer: "producer-1".to_owned(),
            task_id: u128::try_from(batch * BATCH + number).unwrap_or_default().to_be_bytes(),
            digest: [7; 32],
            expires_at: now.plus(KEPT),
            max_attempts: 25,
            issued_at: None,
            ttl: None,
        };
        let sightings: Vec<ReplayQuery> = (0..BATCH).map(sighting).collect();
        let keys: Vec<TaskKey> = sightings.iter().map(ReplayQuery::key).collect();
        let outcomes: Vec<_> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();

        let (own, start) = (own_cpu_seconds(), Instant::now());
        let claimed = ledger.acquire("bench", now, now.plus(KEPT), &sightings).expect("claim");
        ledger.finish("bench", &outcomes).expect("finish");
        ledger.settled(&keys).expect("settled");
        wall.push(start.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
        cpu.push((own_cpu_seconds() - own) * 1e6 / BATCH as f64);
        assert!(claimed.iter().all(|admission| *admission == Decision::FirstRun));
    }
    println!(
        "\nledger alone, claim + finish + settled in batches of {BATCH}: {:.1} us of CPU a task, {:.1} us of time ({})",
        cpu.median(),
        wall.median(),
        wall.spread(),
    );
}
