//! From configuration to client and worker: opens the broker, the keys, the ledger and the quarantine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::broker::redis::{Password, RedisBroker, RedisConfig};
use crate::broker::sqlite::SqliteBroker;
use crate::broker::{Broker, BrokerError};
use crate::client::{Client, ClientSettings};
use crate::config::{BrokerConfig, Config, HandlerConfig};
use crate::file_error::FileError;
use crate::file_security;
use crate::handler::{Failure, Handler, Handlers, OpenedTask, Output, Program, ProgramLimits};
use crate::quarantine::{Limits, Quarantine};
use crate::queue::QueueName;
use crate::replay::SqliteLedger;
use crate::result::ResultSealer;
use crate::state::StateError;
use crate::worker::{Worker, WorkerParts, WorkerQueue, WorkerSettings};

/// What keeps a client or worker from being set up, grouped by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A configuration, keyset or key file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The broker is out of reach or refuses.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The ledger or the quarantine cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Opens the broker of a configuration.
///
/// # Errors
/// [`SetupError`]. A Redis that is away is no error yet: it is connected to at the first call.
pub fn broker(config: &Config) -> Result<Arc<dyn Broker>, SetupError> {
    match &config.broker {
        BrokerConfig::Embedded(path) => {
            if let Some(parent) = path.parent() {
                file_security::create_dir(parent)?;
            }
            Ok(Arc::new(SqliteBroker::open(path)?))
        }
        BrokerConfig::Redis(settings) => {
            let mut redis = RedisConfig::new(settings.url.clone())
                .with_prefix(&settings.prefix)
                .map_err(|error| FileError::new(&config.file, error.to_string()))?;
            if let Some(source) = &settings.password {
                redis = redis.with_password(Password::from(source.read(&config.file)?));
            }
            Ok(Arc::new(RedisBroker::connect(&redis)?))
        }
    }
}

/// Opens the quarantine of a configuration.
///
/// # Errors
/// [`SetupError`].
pub fn quarantine(config: &Config) -> Result<Quarantine, SetupError> {
    state_dir(config)?;
    Ok(Quarantine::open(&config.state_dir.join("quarantine.db"), Limits::default())?)
}

/// Opens the ledger of a configuration; [`SqliteLedger::is_new`] tells whether this made it.
///
/// # Errors
/// [`SetupError`].
pub fn ledger(config: &Config) -> Result<SqliteLedger, SetupError> {
    state_dir(config)?;
    Ok(SqliteLedger::open(&config.ledger_file())?)
}

/// Makes the folder of ledger and quarantine unless it is there. Who can write in it can undo what they remember.
fn state_dir(config: &Config) -> Result<(), FileError> {
    file_security::create_dir(&config.state_dir)?;
    file_security::check_dir(&config.state_dir)
}

impl Client {
    /// The client of a configuration, with the keys of `[client]` and no others.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open(config: &Config) -> Result<Self, SetupError> {
        Self::open_on(config, broker(config)?)
    }

    /// The client of a configuration, on a broker that is open already.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open_on(config: &Config, broker: Arc<dyn Broker>) -> Result<Self, SetupError> {
        let client = config.client()?;
        let keyring = config.client_keyring()?;
        let key = config.task_key(&keyring)?;
        let mut settings = ClientSettings::new(&config.deployment, &client.issuer, default_queue(config));
        settings.lifetime = client.lifetime;
        settings.attempts = client.attempts;
        settings.timeout = client.timeout.unwrap_or(settings.timeout);
        settings.retention = client.retention;
        settings.batch = client.batch;
        settings.result_suites = config.policy.suites;
        settings.max_result = config.policy.max_body;
        settings.skew = skew(config);
        Ok(Self::new(settings, broker, key, keyring))
    }
}

/// Seconds by which clocks may differ.
fn skew(config: &Config) -> u32 {
    u32::try_from(config.policy.skew.as_secs()).unwrap_or(u32::MAX)
}

/// The first queue of the worker, or `default`.
fn default_queue(config: &Config) -> QueueName {
    let first = config.worker.as_ref().and_then(|worker| worker.queues.first());
    let default = || QueueName::parse("default").expect("the literal is a queue name");
    first.map_or_else(default, |queue| queue.name.clone())
}

impl Worker {
    /// The worker of a configuration, with these handlers; [`handlers`] makes those of the configuration.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open(config: &Config, handlers: Handlers) -> Result<Self, SetupError> {
        Self::open_on(config, handlers, broker(config)?, ledger(config)?)
    }

    /// The worker of a configuration, on a broker and a ledger that are open already.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open_on(
        config: &Config,
        handlers: Handlers,
        broker: Arc<dyn Broker>,
        ledger: SqliteLedger,
    ) -> Result<Self, SetupError> {
        let worker = config.worker()?;
        let keyring = config.keyring()?;
        let results = ResultSealer::new(&worker.id, config.result_key(&keyring)?)
            .map_err(|error| FileError::new(&config.file, format!("worker.id: {error}")))?;
        let mut settings = WorkerSettings::new(&worker.id, &config.deployment, default_queue(config));
        let queue = |queue: &crate::config::QueueConfig| WorkerQueue {
            name: queue.name.clone(),
            weight: queue.weight,
        };
        settings.queues = worker.queues.iter().map(queue).collect();
        settings.concurrency = worker.concurrency;
        settings.batch = worker.batch;
        settings.lease = worker.lease;
        settings.drain = worker.drain;
        settings.suites = config.policy.suites;
        settings.batches = config.policy.batches;
        settings.clockless = config.policy.clockless;
        settings.skew = skew(config);
        settings.max_lifetime = config.policy.max_lifetime.as_secs();
        settings.max_body = config.policy.max_body;
        let parts = WorkerParts {
            broker,
            ledger: Arc::new(ledger),
            quarantine: Arc::new(quarantine(config)?),
            keyring,
            results,
            handlers,
        };
        Ok(Self::new(settings, parts))
    }
}

/// The programs of a configuration as handlers.
///
/// # Errors
/// [`FileError`] if a handler has no program.
pub fn handlers(config: &Config) -> Result<Handlers, FileError> {
    let mut handlers = Handlers::default();
    for handler in &config.handlers {
        let program = program(handler).ok_or_else(|| {
            FileError::new(&config.file, format!("handler of {}: no program", handler.task_type))
        })?;
        let limited = Limited { handler: program, limit: handler.timeout };
        handlers.insert(&handler.task_type, Arc::new(limited));
    }
    Ok(handlers)
}

fn program(handler: &HandlerConfig) -> Option<Program> {
    let limits = ProgramLimits { stdout: handler.max_output, ..ProgramLimits::default() };
    let program =
        Program::new(handler.program.clone())?.limits(limits).working_dir(handler.working_dir.clone());
    let passed = handler.pass_env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    let own = handler.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    Some(passed.chain(own).fold(program, |program, (name, value)| program.env(&name, &value)))
}

/// A handler with a time limit of its own, besides the one of the task.
struct Limited {
    handler: Program,
    limit: Duration,
}

#[async_trait]
impl Handler for Limited {
    async fn run(&self, task: OpenedTask) -> Result<Output, Failure> {
        let done = tokio::time::timeout(self.limit, self.handler.run(task)).await;
        done.unwrap_or_else(|_| Err(Failure::TryAgain(format!("not done within {} s", self.limit.as_secs()))))
    }
}
