//! The configuration file of a host, `taskseal.toml`: parsed into checked types, every fault with its line.
//!
//! Paths in it are relative to its folder. Nothing in it is a secret: keys and passwords are named, not written.

mod broker;
mod file;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use taskseal_core::{Audience, Kind, Policy, SuiteSet};

pub use self::broker::{BrokerConfig, PasswordSource, RedisSettings};

use crate::file_error::FileError;
use crate::keys::{KeyRef, KeyStores, Keyring, KeyringError, SealingKey, SealingSource};
use crate::queue::QueueName;

#[cfg(test)]
mod tests;

/// What a host is configured to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// The first half of every audience: `deployment/queue`.
    pub deployment: String,
    /// Where the queue is.
    pub broker: BrokerConfig,
    /// The folder of ledger and quarantine.
    pub state_dir: PathBuf,
    /// The keyset file.
    pub keyset: PathBuf,
    /// How tasks are made; `None`: this host makes none.
    pub client: Option<ClientConfig>,
    /// How tasks are run; `None`: this host runs none.
    pub worker: Option<WorkerConfig>,
    /// What is accepted.
    pub policy: PolicyConfig,
    /// The programs that run tasks, one a type pattern.
    pub handlers: Vec<HandlerConfig>,
    /// The stores that open its keys.
    pub key_stores: KeyStores,
}

/// How tasks are made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Whom the tasks are from.
    pub issuer: String,
    /// The keys that seal tasks.
    pub sealing: SealingSource,
    /// The key that opens results.
    pub result_key: Option<KeyRef>,
    /// How long a task may be run after it was sealed. One hour if not set.
    pub lifetime: Duration,
    /// Most attempts. Five if not set.
    pub attempts: u16,
    /// Time limit of one attempt.
    pub timeout: Option<Duration>,
    /// How long the finished task and its result are kept. 24 hours if not set.
    pub retention: Duration,
    /// Most tasks under one signature. One if not set.
    pub batch: usize,
}

/// How tasks are run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerConfig {
    /// The issuer of its results. The name of the host if not set.
    pub id: String,
    /// Handlers that run at once. The number of processors if not set.
    pub concurrency: usize,
    /// How long a task is leased. Five seconds if not set; leases are extended while a handler runs.
    pub lease: Duration,
    /// Most tasks leased in one call. 32 if not set.
    pub batch: usize,
    /// How long running handlers may take to end after the worker is told to stop. 30 seconds if not set.
    pub drain: Duration,
    /// The keys that decrypt tasks.
    pub decryption_keys: Vec<KeyRef>,
    /// The keys that seal results; `None`: results are not kept.
    pub result: Option<SealingSource>,
    /// The queues it takes tasks from, at least one.
    pub queues: Vec<QueueConfig>,
}

/// One queue of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The queue.
    pub name: QueueName,
    /// Its share of the worker next to the others, 1 to 1000.
    pub weight: u32,
}

/// What is accepted from a queue.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// Suites accepted. SE and SP if not set.
    pub suites: SuiteSet,
    /// Whether tasks may be sealed in batches: `batches` in `[worker]`. Not if not set.
    pub batches: bool,
    /// Whether tasks of issuers without a clock are accepted. Not if not set.
    pub clockless: bool,
    /// By how much clocks may differ. One minute if not set, five at most.
    pub skew: Duration,
    /// Longest lifetime of a task. 24 hours if not set.
    pub max_lifetime: Duration,
    /// Most bytes of a body. 1 MiB if not set.
    pub max_body: usize,
}

/// A program that runs the tasks of a type: body on its standard input, result on its standard output.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandlerConfig {
    /// The task type, or the beginning of one followed by `*`.
    pub task_type: String,
    /// Program and arguments. A program with a `/` in its name is an absolute path by now; one without is looked
    /// for in `PATH`. No shell is involved.
    pub program: Vec<String>,
    /// Time limit of one attempt where the task itself has none that is shorter. Five minutes if not set.
    pub timeout: Duration,
    /// Environment variables it gets.
    pub env: BTreeMap<String, String>,
    /// Environment variables of the worker that it gets as well.
    pub pass_env: Vec<String>,
    /// Where it runs. The folder of the configuration file if not set.
    pub working_dir: PathBuf,
    /// Most bytes it may write. 1 MiB if not set.
    pub max_output: usize,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`FileError`] with line, column and field.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Self::load_with(path, &KeyStores::default())
    }

    /// Reads and checks a configuration file whose keys are in `stores`.
    ///
    /// # Errors
    /// [`FileError`] with line, column and field.
    pub fn load_with(path: &Path, stores: &KeyStores) -> Result<Self, FileError> {
        file::load(path, stores)
    }

    /// The configuration file to use: `explicit`, else the one that the environment variable `TASKSEAL_CONFIG`
    /// names, else `taskseal.toml` in the current folder.
    #[must_use]
    pub fn locate(explicit: Option<&Path>) -> PathBuf {
        let from_environment = || std::env::var_os("TASKSEAL_CONFIG").filter(|path| !path.is_empty());
        match explicit {
            Some(path) => path.to_owned(),
            None => from_environment().map_or_else(|| PathBuf::from("taskseal.toml"), PathBuf::from),
        }
    }

    /// The audience of tasks in `queue`: `deployment/queue`.
    #[must_use]
    pub fn audience(&self, queue: &QueueName) -> String {
        format!("{}/{queue}", self.deployment)
    }

    /// Opens the keyset with the decryption keys of the worker and the key of the client that opens results.
    ///
    /// # Errors
    /// [`KeyringError`], with the field that names the key.
    pub fn keyring(&self) -> Result<Keyring, KeyringError> {
        let worker = self.worker.iter().flat_map(|worker| &worker.decryption_keys);
        let keys = worker.chain(self.client_result_key());
        Ok(Keyring::load_with(&self.keyset, &self.key_stores)?.with_decryption_keys(keys)?)
    }

    /// Opens the keyset with the key of the client that opens results and none of the worker: to make tasks and read their
    /// results.
    ///
    /// # Errors
    /// [`KeyringError`], with the field that names the key.
    pub fn client_keyring(&self) -> Result<Keyring, KeyringError> {
        let keyset = Keyring::load_with(&self.keyset, &self.key_stores)?;
        Ok(keyset.with_decryption_keys(self.client_result_key())?)
    }

    fn client_result_key(&self) -> Option<&KeyRef> {
        self.client.as_ref()?.result_key.as_ref()
    }

    /// Opens the key of the client that seals tasks. The keyset of `keyring` must have it.
    ///
    /// # Errors
    /// [`KeyringError`], with the field that names the key.
    pub fn task_key(&self, keyring: &Keyring) -> Result<SealingKey, KeyringError> {
        keyring.sealing_key(&self.client()?.sealing, Kind::Task)
    }

    /// Opens the key of the worker that seals results. The keyset of `keyring` must have it.
    ///
    /// # Errors
    /// [`KeyringError`] if there is none, or with the field that names the key.
    pub fn result_key(&self, keyring: &Keyring) -> Result<SealingKey, KeyringError> {
        let source = self.worker()?.result.as_ref().ok_or_else(|| {
            FileError::new(&self.file, "no key to seal results with")
                .hint("set `result_suite` and `result_key` in [worker]")
        })?;
        keyring.sealing_key(source, Kind::Result)
    }

    /// The file of the replay ledger.
    #[must_use]
    pub fn ledger_file(&self) -> PathBuf {
        self.state_dir.join("ledger.db")
    }

    /// The section `[client]`.
    ///
    /// # Errors
    /// [`FileError`] if there is none.
    pub fn client(&self) -> Result<&ClientConfig, FileError> {
        self.client.as_ref().ok_or_else(|| {
            FileError::new(&self.file, "no [client] section: this host makes no tasks")
                .hint("add one with `issuer`, `suite` and `key`")
        })
    }

    /// The section `[worker]`.
    ///
    /// # Errors
    /// [`FileError`] if there is none.
    pub fn worker(&self) -> Result<&WorkerConfig, FileError> {
        self.worker.as_ref().ok_or_else(|| {
            FileError::new(&self.file, "no [worker] section: this host runs no tasks")
                .hint("add one with `decryption_keys` and a [[worker.queue]]")
        })
    }
}

impl PolicyConfig {
    /// The policy for tasks of one queue. The types accepted are the caller's business.
    #[must_use]
    pub fn for_tasks<'a>(&self, audience: Audience<'a>) -> Policy<'a> {
        let mut policy = self.limit(Policy::for_tasks(audience));
        policy.accept_batches = self.batches;
        policy.accept_clockless = self.clockless;
        policy.max_lifetime = self.max_lifetime.as_secs();
        policy
    }

    /// The policy for the result of the request with this SHA-256.
    #[must_use]
    pub fn for_result<'a>(&self, audience: Audience<'a>, request: [u8; 32]) -> Policy<'a> {
        let mut policy = self.limit(Policy::for_result(audience, request));
        // How a worker signs its results is its own affair.
        policy.accept_batches = true;
        policy
    }

    fn limit<'a>(&self, mut policy: Policy<'a>) -> Policy<'a> {
        policy.suites = self.suites;
        policy.max_body = self.max_body;
        policy.skew = u32::try_from(self.skew.as_secs()).unwrap_or(Policy::MAX_SKEW);
        policy
    }
}
