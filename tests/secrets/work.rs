//! What the processes do that keep their keys in files. They hold no copy of a secret themselves.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taskseal::broker::redis::RedisConfig;
use taskseal::config::PasswordSource;
use taskseal::handler::{Failure, Function, Handlers, OpenedTask, Output, Program, ProgramLimits};
use taskseal::keys::pem::{PemKey, private_to_pem};
use taskseal::keys::{Algorithm, KeyStores, SecretKey};
use taskseal::result::TaskResult;
use taskseal::{Receipt, Task, file_security};
use taskseal_core::{ContentType, Suite};
use taskseal_tests::process_memory::{deep, wait_to_be_read};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::deployment::{self, Deployment, Kept};
use super::forms::{BODY_LEN, LONG_BODY_LEN, is_text, text};

/// What a process does before its memory is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Makes the keys of a deployment.
    Makes,
    /// Makes them, and leaves the text of one in a frame and of the others in the heap.
    Leaks,
    /// Imports a private key in PEM.
    Imports,
    /// Exports the imported key.
    Exports,
    /// Holds a client, a worker and their keys.
    Holds(Suite),
    /// Seals tasks, runs them and opens their results.
    Works(Suite),
    /// Waits in the handler, then with the opened result.
    Stops(Suite),
    /// Runs a task by a program.
    Programs(Suite),
    /// Runs tasks that fail in every way.
    Fails(Suite),
    /// Reads the password of Redis and configures a connection that is not made.
    Configures,
}

/// The file of the key in PEM, the name of the imported key, and the file to which it is exported.
pub(crate) const PEM: &str = "private.pem";
pub(crate) const IMPORTED: &str = "imported";
pub(crate) const EXPORTED: &str = "exported.pem";

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Makes, Self::Leaks, Self::Imports, Self::Exports, Self::Configures];
        for case in [Self::Holds, Self::Works, Self::Stops, Self::Programs, Self::Fails] {
            all.extend(Suite::ALL.map(case));
        }
        all
    }

    /// Runs the case, and waits. The threads live until the memory has been read, as those of a worker do that goes on.
    pub(crate) fn run(self, folder: &Path) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_keep_alive(Duration::from_secs(600))
            .enable_all()
            .build()
            .unwrap();
        let deployment = Deployment(folder.to_owned());
        deep(|| self.work(&deployment, &runtime));
        wait_to_be_read(folder);
    }

    fn work(self, deployment: &Deployment, runtime: &Runtime) {
        match self {
            Self::Makes => deployment::make(&deployment.0, Kept::InFiles),
            Self::Leaks => {
                deployment::make(&deployment.0, Kept::InFiles);
                let file = |name: &str| deployment.0.join(format!("{name}.key"));
                let [(on_stack, ..), on_heap @ ..] = deployment::KEYS;
                for (name, ..) in on_heap {
                    std::mem::forget(black_box(std::fs::read_to_string(file(name)).unwrap()));
                }
                let mut copy = [0; 1024];
                let _ = File::open(file(on_stack)).unwrap().read(&mut copy).unwrap();
                black_box(&copy);
            }
            Self::Imports => {
                let text = file_security::read(&deployment.0.join(PEM)).unwrap();
                let PemKey::Private(scalar) = PemKey::parse(&text).unwrap() else { panic!("not private") };
                wait_to_be_read(&deployment.0);
                let out = deployment.0.join(IMPORTED).with_extension("key");
                drop(SecretKey::import(&out, Algorithm::Es256, IMPORTED, &scalar).unwrap());
            }
            Self::Exports => {
                let text = private_to_pem(&deployment.0.join(IMPORTED).with_extension("key")).unwrap();
                file_security::create(&deployment.0.join(EXPORTED), &text).unwrap();
                wait_to_be_read(&deployment.0);
                drop(text);
            }
            Self::Holds(suite) => {
                let client = deployment.client(suite, 1);
                let worker = deployment.worker(suite, Handlers::default());
                wait_to_be_read(&deployment.0);
                drop((client, worker));
            }
            Self::Works(suite) => runtime.block_on(works(deployment, suite)),
            Self::Stops(suite) => runtime.block_on(stops(deployment, suite)),
            Self::Programs(suite) => runtime.block_on(programs(deployment, suite)),
            Self::Fails(suite) => runtime.block_on(fails(deployment, suite)),
            Self::Configures => {
                let config = redis(deployment);
                wait_to_be_read(&deployment.0);
                drop(config);
            }
        }
    }
}

/// A task whose body is the text of "body", unchanged.
fn bytes(len: usize) -> Task {
    Task::from_bytes("bytes", ContentType::OCTETS, text("body", len)).unwrap()
}

/// A task whose body is the text of "body" as JSON, in many strings: what writes it grows several times.
fn json() -> Task {
    let body = Zeroizing::new(text("body", BODY_LEN));
    let parts: Vec<&str> = body.chunks(STRING_LEN).map(|part| str::from_utf8(part).unwrap()).collect();
    Task::new("json", &parts).unwrap()
}

/// Length of a string in the body of [`json`]. A divisor of the distance between the pieces that are looked for.
const STRING_LEN: usize = 64;

fn result() -> Result<Output, Failure> {
    Ok(Output::new(ContentType::OCTETS, text("result", BODY_LEN)))
}

fn handlers(wait_in: Option<&Path>) -> Handlers {
    let mut handlers = Handlers::default();
    let folder = wait_in.map(Path::to_owned);
    let run = move |task: OpenedTask| {
        let folder = folder.clone();
        async move {
            assert!(task.body.len() == BODY_LEN && is_text("body", &task.body));
            if let Some(folder) = folder {
                wait_to_be_read(&folder);
            }
            drop(task);
            result()
        }
    };
    handlers.insert("bytes", Arc::new(Function::new(run)));
    let run = async |task: OpenedTask| {
        let parts = Zeroizing::new(task.json::<Vec<String>>()?);
        assert_eq!(parts.iter().map(String::len).sum::<usize>(), BODY_LEN);
        result()
    };
    handlers.insert("json", Arc::new(Function::new(run)));
    handlers
}

fn is_result(result: &TaskResult) -> bool {
    result.body.len() == BODY_LEN && is_text("result", &result.body)
}

async fn works(deployment: &Deployment, suite: Suite) {
    let (alone, together) = (deployment.client(suite, 1), deployment.client(suite, 4));
    let mut receipts: Vec<Receipt> = vec![alone.enqueue(bytes(BODY_LEN)).await.unwrap()];
    receipts.push(alone.enqueue(json()).await.unwrap());
    receipts.push(together.enqueue(bytes(BODY_LEN)).await.unwrap());
    receipts.extend(together.enqueue_all(vec![bytes(BODY_LEN), json(), bytes(BODY_LEN)]).await.unwrap());
    // Enough tasks for a batch that the worker decrypts on its pool of threads.
    let many = (0..10).map(|_| bytes(BODY_LEN)).collect();
    receipts.extend(alone.enqueue_all(many).await.unwrap());
    let tally = deployment.worker(suite, handlers(None)).run_once().await;
    assert_eq!((tally.succeeded, tally.refused_total()), (16, 0), "{tally:?}");
    for receipt in &receipts {
        let result = alone.result(receipt).await.unwrap().unwrap();
        assert!(is_result(&result));
    }
}

async fn stops(deployment: &Deployment, suite: Suite) {
    let client = deployment.client(suite, 1);
    let receipt = client.enqueue(bytes(BODY_LEN)).await.unwrap();
    let tally = deployment.worker(suite, handlers(Some(&deployment.0))).run_once().await;
    assert_eq!(tally.succeeded, 1);
    let result = client.result(&receipt).await.unwrap().unwrap();
    assert!(is_result(&result));
    wait_to_be_read(&deployment.0);
    drop(result);
}

async fn programs(deployment: &Deployment, suite: Suite) {
    let client = deployment.client(suite, 1);
    let receipt = client.enqueue(bytes(LONG_BODY_LEN)).await.unwrap();
    let mut handlers = Handlers::default();
    handlers.insert("*", Arc::new(Program::new(vec!["/bin/cat".to_owned()]).unwrap()));
    let tally = deployment.worker(suite, handlers).run_once().await;
    assert_eq!(tally.succeeded, 1);
    let result = client.result(&receipt).await.unwrap().unwrap();
    assert!(result.body.len() == LONG_BODY_LEN && is_text("body", &result.body));
}

/// Fails, panics, runs out of time, writes more than it may, ends with an error.
async fn fails(deployment: &Deployment, suite: Suite) {
    let mut handlers = Handlers::default();
    let fails = async |task: OpenedTask| Err(Failure::GiveUp(format!("{} bytes", task.body.len())));
    handlers.insert("fails", Arc::new(Function::new(fails)));
    let panics = async |task: OpenedTask| panic!("on purpose, with {} bytes", task.body.len());
    handlers.insert("panics", Arc::new(Function::new(panics)));
    let hangs = async |_task: OpenedTask| std::future::pending().await;
    handlers.insert("hangs", Arc::new(Function::new(hangs)));
    let program = |argv: &[&str]| Program::new(argv.iter().map(ToString::to_string).collect()).unwrap();
    let limits = ProgramLimits { stdout: LONG_BODY_LEN / 2, ..ProgramLimits::default() };
    handlers.insert("cat", Arc::new(program(&["/bin/cat"]).limits(limits)));
    handlers.insert("false", Arc::new(program(&["/bin/sh", "-c", "cat; exit 1"])));

    let client = deployment.client(suite, 1);
    for name in ["fails", "panics", "hangs", "cat", "false"] {
        let body = text("body", LONG_BODY_LEN);
        let task = Task::from_bytes(name, ContentType::OCTETS, body).unwrap();
        client.enqueue(task.attempts(1).timeout(Duration::from_secs(1))).await.unwrap();
    }
    let tally = deployment.worker(suite, handlers).run_once().await;
    assert_eq!((tally.succeeded, tally.archived), (0, 5), "{tally:?}");
}

fn redis(deployment: &Deployment) -> RedisConfig {
    let url = std::fs::read_to_string(deployment.0.join("redis-url")).unwrap();
    let source = PasswordSource::File(deployment.0.join("redis-password"));
    let password = source.read(Path::new("taskseal.toml"), &KeyStores::default()).unwrap();
    RedisConfig::new(url).with_username("worker").with_password(password.into())
}
