//! What every command on a queue needs: configuration, threads and an open queue, and what their failures mean.

use std::sync::Arc;

use taskseal::QueueName;
use taskseal::broker::{Broker, BrokerError};
use taskseal::client::ClientError;
use taskseal::config::{BrokerConfig, Config};
use taskseal::setup::{self, SetupError};
use taskseal_core::{OpenError, SealError};
use tokio::runtime::Runtime;

use crate::cli::Global;
use crate::keys;
use crate::ui::{Failure, Ui};

/// An open queue.
pub(super) struct Session {
    pub(super) config: Config,
    pub(super) runtime: Runtime,
    pub(super) broker: Arc<dyn Broker>,
}

impl Session {
    /// Opens the queue of the configuration. A Redis that is away is not noticed yet.
    pub(super) fn open(global: &Global) -> Result<Self, Failure> {
        let config = keys::config(global)?;
        let runtime = Runtime::new().map_err(|error| Failure::new(format!("no threads: {error}")))?;
        let broker = {
            let _entered = runtime.enter();
            setup::broker(&config).map_err(|error| failed_setup(&config, error))?
        };
        Ok(Self { config, runtime, broker })
    }

    /// Opens the queue of the configuration, which must answer.
    pub(super) fn reach(global: &Global) -> Result<Self, Failure> {
        let session = Self::open(global)?;
        session.answers()?;
        Ok(session)
    }

    /// Asks the queue for a sign of life.
    pub(super) fn answers(&self) -> Result<(), Failure> {
        self.runtime.block_on(self.broker.queues()).map(drop).map_err(|error| self.failed_broker(&error))
    }

    /// The queues of the configuration, then those that the broker knows besides.
    pub(super) async fn queues(&self) -> Result<Vec<QueueName>, Failure> {
        let worker = self.config.worker.iter().flat_map(|worker| &worker.queues);
        let mut queues: Vec<_> = worker.map(|queue| queue.name.clone()).collect();
        let known = self.broker.queues().await.map_err(|error| self.failed_broker(&error))?;
        for queue in known {
            if !queues.contains(&queue) {
                queues.push(queue);
            }
        }
        Ok(queues)
    }

    /// The queue that is named, or all of them.
    pub(super) async fn queues_or(&self, named: Option<&QueueName>) -> Result<Vec<QueueName>, Failure> {
        match named {
            Some(queue) => Ok(vec![queue.clone()]),
            None => self.queues().await,
        }
    }

    pub(super) fn failed_setup(&self, error: SetupError) -> Failure {
        failed_setup(&self.config, error)
    }

    pub(super) fn failed_broker(&self, error: &BrokerError) -> Failure {
        failed_broker(&self.config, error)
    }

    pub(super) fn failed_client(&self, error: &ClientError) -> Failure {
        match error {
            ClientError::Broker(error) => self.failed_broker(error),
            ClientError::Conflict(_) => {
                Failure::new(error.to_string()).hint("leave the id out and a new one is made")
            }
            ClientError::NotSealed(OpenError::Refused(refusal))
            | ClientError::Result(OpenError::Refused(refusal)) => {
                Failure::refused(format!("{error} ({})", refusal.code()))
            }
            ClientError::Sealing(SealError::Signer(fault)) if fault.refuses_message() => {
                Failure::new(error.to_string()).hint("seal it in another suite, or a shorter one")
            }
            // The key, which was there when it was opened.
            ClientError::Sealing(SealError::Signer(_) | SealError::InvalidSignature)
            | ClientError::Result(OpenError::KeyUnavailable) => Failure::unavailable(error.to_string()),
            ClientError::Name(_) => Failure::usage(error.to_string()),
            _ => Failure::new(error.to_string()),
        }
    }

    /// Tells who asked that nobody serves this queue here, which is no fault of itself.
    pub(super) fn note_unserved(&self, queue: &QueueName, ui: &Ui) {
        let served = |worker: &taskseal::config::WorkerConfig| {
            worker.queues.iter().any(|served| served.name == *queue)
        };
        if self.config.worker.as_ref().is_some_and(|worker| !served(worker)) {
            ui.note(&format!("the worker of {} does not serve queue {queue}", self.config.file.display()));
        }
    }
}

pub(super) fn failed_setup(config: &Config, error: SetupError) -> Failure {
    match error {
        SetupError::File(fault) if fault.file == config.file || fault.file == config.keyset => {
            Failure::config(fault)
        }
        SetupError::File(fault) => Failure::key(fault),
        SetupError::Broker(error) => failed_broker(config, &error),
        SetupError::State(ref fault) if fault.is_transient() => Failure::unavailable(error.to_string()),
        other => Failure::new(other.to_string()),
    }
}

fn failed_broker(config: &Config, error: &BrokerError) -> Failure {
    if matches!(error, BrokerError::Corrupt(_)) {
        return Failure::new(error.to_string());
    }
    let file = config.file.display();
    Failure::unavailable(error.to_string()).hint(match &config.broker {
        BrokerConfig::Embedded(path) => format!("the queue is the file {}", path.display()),
        BrokerConfig::Redis(redis) => format!("is there a Redis at {}? see [broker] in {file}", redis.url),
        _ => format!("see [broker] in {file}"),
    })
}
