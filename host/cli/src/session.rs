//! What every command on a queue needs: configuration, async runtime and broker, and what their errors mean.

use std::sync::Arc;

use taskseal::broker::{Broker, BrokerError, Cause};
use taskseal::client::ClientError;
use taskseal::config::{BrokerConfig, ClockError, Config, RedisSettings, SetupError};
use taskseal::quarantine::{StateError, StateKind};
use taskseal::{QueueName, WorkerSettings};
use taskseal_core::{OpenError, Refusal, SealError};
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::global::Global;
use crate::output::shell::shell_word;
use crate::ui::Ui;
use crate::{project, runtime};

/// An open broker with its configuration.
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) runtime: Runtime,
    pub(crate) broker: Arc<dyn Broker>,
}

impl Session {
    /// Opens the broker of the configuration. An unreachable Redis is not detected yet.
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        let config = project::config(global)?;
        let runtime = runtime::start()?;
        let broker = {
            let _entered = runtime.enter();
            config.open_broker().map_err(|error| setup_failure(&config, error))?
        };
        Ok(Self { config, runtime, broker })
    }

    /// Opens the broker of the configuration and checks that it answers.
    pub(crate) fn connect(global: &Global) -> Result<Self, Failure> {
        let session = Self::open(global)?;
        session.check_broker()?;
        Ok(session)
    }

    /// Checks that the broker answers.
    pub(crate) fn check_broker(&self) -> Result<(), Failure> {
        self.block_on(self.broker.ping()).map_err(|error| self.broker_failure(&error))
    }

    /// Runs a future to its end.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        runtime::block_on(&self.runtime, work)
    }

    /// Returns the queues of the configuration, then the others that the broker knows.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueName>, Failure> {
        let worker = self.config.worker.iter().flat_map(|worker| &worker.queues);
        let mut queues: Vec<_> = worker.map(|queue| queue.name.clone()).collect();
        let known = self.broker.queues().await.map_err(|error| self.broker_failure(&error))?;
        for queue in known {
            if !queues.contains(&queue) {
                queues.push(queue);
            }
        }
        Ok(queues)
    }

    /// Returns the named queue, or all of them.
    pub(crate) async fn queues_or(&self, named: Option<&QueueName>) -> Result<Vec<QueueName>, Failure> {
        match named {
            Some(queue) => Ok(vec![queue.clone()]),
            None => self.queues().await,
        }
    }

    pub(crate) fn setup_failure(&self, error: SetupError) -> Failure {
        setup_failure(&self.config, error)
    }

    pub(crate) fn broker_failure(&self, error: &BrokerError) -> Failure {
        broker_failure(&self.config, error)
    }

    pub(crate) fn client_failure(&self, error: &ClientError) -> Failure {
        match error {
            ClientError::Broker(error) => self.broker_failure(error),
            ClientError::Conflict(_) => {
                Failure::new(error.to_string()).hint("use another id or reference, or omit it")
            }
            ClientError::Key(error) => Failure::sealing_key(error.clone()),
            ClientError::NotSealed(OpenError::Refused(refusal))
            | ClientError::Request(OpenError::Refused(refusal))
            | ClientError::Result(OpenError::Refused(refusal)) => {
                Failure::refused(format!("{error} ({})", refusal.code()))
            }
            ClientError::CompromisedKey(_) => {
                Failure::refused(format!("{error} ({})", Refusal::KeyNotValid.code())).hint(
                    "an attacker who has the key may have written this task: enqueue the task again, sealed with a primary key",
                )
            }
            ClientError::Sealing(SealError::Signer(fault)) if fault.refuses_message() => {
                Failure::new(error.to_string()).hint("use another suite, or a shorter body")
            }
            // The key, which was available when it was opened.
            ClientError::Sealing(SealError::Signer(_) | SealError::InvalidSignature)
            | ClientError::Result(OpenError::KeyUnavailable) => Failure::unavailable(error.to_string()),
            ClientError::Recipient(missing) => Failure::refused(error.to_string()).hint(missing.hint()),
            ClientError::Name(_) => Failure::usage(error.to_string()),
            _ => Failure::new(error.to_string()),
        }
    }

    /// Prints a note if the configured worker does not serve this queue. Another worker may serve it.
    pub(crate) fn note_unserved(&self, queue: &QueueName, ui: &Ui) {
        let served = |worker: &WorkerSettings| worker.queues.iter().any(|served| served.name == *queue);
        if self.config.worker.as_ref().is_some_and(|worker| !served(worker)) {
            ui.note(&format!("the worker of {} does not serve queue {queue}", self.config.file.display()));
        }
    }
}

/// Returns the failure for an error of setup, by who must act.
pub(crate) fn setup_failure(config: &Config, error: SetupError) -> Failure {
    match error {
        SetupError::File(error) if error.file == config.file => Failure::config(error),
        SetupError::File(error) => Failure::file(error),
        SetupError::Keys(error) => Failure::keyring(error),
        SetupError::Broker(error) => broker_failure(config, &error),
        SetupError::State(StateError::Missing { kind: StateKind::Ledger, .. }) => Failure::ledger_missing(
            error.to_string(),
        )
        .hint(format!(
            "if it is lost, or if this is a new host, run `{} ledger init`; no task runs without a ledger",
            program(config)
        )),
        SetupError::Clock(clock) => Failure::unavailable(error.to_string()).hint(clock_hint(config, clock)),
        SetupError::State(StateError::Moved { .. }) => Failure::unavailable(error.to_string()),
        SetupError::State(ref cause) if cause.is_transient() => Failure::unavailable(error.to_string()),
        SetupError::State(StateError::Unusable { kind: StateKind::Rollout, .. }) => {
            Failure::ledger_missing(error.to_string()).hint(
                "the strictest modes of task types are not known: restore the file, or move it away, and allow no mode \
                 in the policy file that is looser than before",
            )
        }
        SetupError::State(StateError::Unusable { kind: StateKind::Ledger, .. }) => {
            let message = error.to_string();
            Failure::new(message).hint(format!(
                "if the file is damaged, stop the workers, move it away and run `{} ledger init`; an older copy would let \
                 tasks run again",
                program(config)
            ))
        }
        other => Failure::new(other.to_string()),
    }
}

/// Returns the next step for a clock that cannot be right.
fn clock_hint(config: &Config, error: ClockError) -> String {
    let set = "set the clock of this host, with NTP for example, and start again";
    match error {
        ClockError::BehindLedger { .. } => {
            let accept = program(config);
            format!("{set}; if it is right now and was ahead before, run `{accept} ledger accept-clock`")
        }
        _ => set.to_owned(),
    }
}

/// Returns the beginning of a command line that uses this configuration.
fn program(config: &Config) -> String {
    let file = config.file.display().to_string();
    if file == "taskseal.toml" {
        "taskseal".to_owned()
    } else {
        format!("taskseal --config {}", shell_word(&file))
    }
}

fn broker_failure(config: &Config, error: &BrokerError) -> Failure {
    if matches!(error, BrokerError::Corrupt(_)) {
        return Failure::new(error.to_string());
    }
    let file = config.file.display();
    // Redis ends some of its errors with a full stop.
    Failure::unavailable(error.to_string().trim_end_matches('.')).hint(match &config.broker {
        BrokerConfig::Sqlite(_) if error.cause() == Some(Cause::MissingFile) => format!(
            "if it is lost, or if this is a new host, run `{} queue init`, which creates an empty queue",
            program(config)
        ),
        BrokerConfig::Sqlite(path) => format!("the queue is the file {}", path.display()),
        BrokerConfig::Redis(redis) => {
            let url = &redis.url;
            match (error.cause(), error) {
                (Some(cause), _) => {
                    format!("{}; Redis is at {url}, see [broker] in {file}", hint_of(cause, redis))
                }
                (None, BrokerError::Full(_)) => {
                    format!(
                        "free memory or disk space of the Redis server at {url}, or raise its `maxmemory`"
                    )
                }
                (None, BrokerError::Refused(_)) => format!("Redis is at {url}, see [broker] in {file}"),
                // A server that speaks no TLS waits for the end of a line: the connection times out.
                (None, _) if is_tls(redis) => {
                    format!("check that a Redis server with TLS runs at {url}; see [broker] in {file}")
                }
                (None, _) => format!("check that a Redis server runs at {url}; see [broker] in {file}"),
            }
        }
        _ => format!("see [broker] in {file}"),
    })
}

/// Returns the next step for a cause.
fn hint_of(cause: Cause, redis: &RedisSettings) -> &'static str {
    match cause {
        Cause::Credentials if redis.password.is_none() => {
            "set the user in `url` (redis://USER@HOST), and the password with `password_file`, `password_env` or `password`"
        }
        Cause::Credentials => {
            "check the user in `url` (redis://USER@HOST), and the password in `password_file`, `password_env` or `password`"
        }
        Cause::Permission => "give the Redis user the rights that the guide `redis.md` lists",
        Cause::ServerCertificate => {
            "name the authority of the server's certificate with `ca_file`, use a host name of the certificate, and check \
             that it has not expired"
        }
        Cause::ClientCertificate => "set `cert_file` and `key_file` to a certificate that the server accepts",
        Cause::Protocol if is_tls(redis) => {
            "check that the port expects TLS: without it, the address is redis://"
        }
        Cause::Protocol => {
            "check that the port is that of Redis: if it expects TLS, the address is rediss://"
        }
        Cause::UnknownCommand => {
            "name a Redis server of version 6.2 or later that has all commands, not a Sentinel"
        }
        Cause::Cluster => {
            "a node of Redis Cluster is not supported: name a server that is not part of a cluster"
        }
        Cause::Replica => {
            "the server is a replica: name the master, or a proxy or a virtual IP that follows the master"
        }
        _ => "check the settings",
    }
}

fn is_tls(redis: &RedisSettings) -> bool {
    ["rediss://", "valkeys://"].iter().any(|scheme| redis.url.starts_with(scheme))
}
