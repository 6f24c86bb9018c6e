//! Builds a worker from a configuration and its handlers.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use taskseal_core::NameSet;

use super::adopt_policy::PolicyGuard;
use super::audit;
use super::settings::WorkerSettings;
use super::snapshot::Snapshot;
use super::{Backoff, Event, Worker, WorkerParts};
use crate::broker::Broker;
use crate::config::{Config, SetupError};
use crate::file_error::FileError;
use crate::file_watch::{FileVersions, recorded};
use crate::handler::{Failure, Function, Handler, Handlers, OpenedTask, Output};
use crate::keys::{Keyring, Reloader};
use crate::policy::PolicySet;
use crate::replay::Ledger;
use crate::result::ResultSealer;
use crate::rollout::Rollout;

/// Builds a [`Worker`] from a configuration.
///
/// Broker, ledger, quarantine and keys are those of the configuration, unless others are given.
#[must_use]
pub struct WorkerBuilder<'c> {
    config: &'c Config,
    handlers: Handlers,
    backoffs: Vec<(String, Backoff)>,
    programs: bool,
    broker: Option<Arc<dyn Broker>>,
    ledger: Option<Arc<dyn Ledger>>,
    observer: Option<Observer>,
}

type Observer = Box<dyn Fn(&Event) + Send + Sync>;

impl Worker {
    /// Starts to build the worker of a configuration.
    pub fn builder(config: &Config) -> WorkerBuilder<'_> {
        WorkerBuilder {
            config,
            handlers: Handlers::default(),
            backoffs: Vec::new(),
            programs: false,
            broker: None,
            ledger: None,
            observer: None,
        }
    }
}

impl WorkerBuilder<'_> {
    /// Runs the tasks of `pattern` with an async function.
    ///
    /// A pattern is a task type, or a prefix of task types followed by `*`. A whole type takes precedence over a prefix,
    /// and a longer prefix over a shorter one.
    pub fn handle<F, R, O>(self, pattern: &str, function: F) -> Self
    where
        F: Fn(OpenedTask) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Failure>> + Send + 'static,
        O: Into<Output> + 'static,
    {
        let function = move |task| {
            let run = function(task);
            async move { run.await.map(Into::into) }
        };
        self.handler(pattern, Function::new(function))
    }

    /// Runs the tasks of `pattern` with a handler: a [`Program`](crate::handler::Program) or a custom type.
    pub fn handler(mut self, pattern: &str, handler: impl Handler + 'static) -> Self {
        self.handlers.insert(pattern, Arc::new(handler));
        self
    }

    /// Sets the delays between attempts of the tasks that the handler of `pattern` runs. The default are those of the worker.
    pub fn backoff(mut self, pattern: &str, backoff: Backoff) -> Self {
        self.backoffs.push((pattern.to_owned(), backoff));
        self
    }

    /// Runs tasks with the programs of the configuration as well: its sections `[[handler]]`.
    pub const fn programs(mut self) -> Self {
        self.programs = true;
        self
    }

    /// Takes tasks from this broker instead of the one of the configuration.
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Uses this replay ledger instead of the one of the configuration.
    pub fn ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// Calls `observer` with every event, from any thread. It must not block.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Opens the keys, the broker, the ledger and the quarantine.
    ///
    /// # Errors
    /// [`SetupError`], also if there is no handler, a pattern is not valid, or there is a back-off for a pattern without a
    /// handler.
    pub fn build(mut self) -> Result<Worker, SetupError> {
        let mut settings = self.config.worker()?.clone();
        if self.programs {
            self.handlers.insert_programs(self.config)?;
        }
        self.check_patterns()?;
        self.set_backoffs()?;
        let (rollout, policy_files) = self.open_policy(&mut settings)?;
        let (keys, mut files) = recorded(|| self.open_keys(&settings));
        files.extend(policy_files);
        let parts = self.open(keys?)?;
        // Last, so that a worker that cannot start for another reason is not in the log.
        let audit = audit::start(self.config, &settings, &parts.keyring)?;
        let config = self.config.clone();
        let times = (config.key_refresh, config.key_max_stale);
        let (handled, modes) = (parts.handlers.patterns(), Arc::clone(&rollout));
        let reloader = Reloader::new(files, times, move |keys: &Snapshot| {
            keys.reload(&PolicyGuard { config: &config, rollout: &modes, handled: &handled })
        });
        let mut worker = Worker::new(settings, parts).counting_in(rollout).reloaded_by(reloader);
        if let Some(audit) = audit {
            worker = worker.audited_by(audit);
        }
        if let Some(observer) = self.observer {
            worker = worker.observed_by(observer);
        }
        Ok(worker)
    }

    /// Reads the policy file and records the modes of its types. One that is looser than before is an error. Returns the record, and
    /// the file in the version that was read.
    fn open_policy(&self, settings: &mut WorkerSettings) -> Result<(Arc<Rollout>, FileVersions), SetupError> {
        if settings.policy.file.is_none() {
            return Ok((Arc::default(), FileVersions::default()));
        }
        let policy = PolicySet::new(settings.policy.clone(), settings.rules.clone());
        let (policy, files) = recorded(|| policy.reload());
        let policy = policy?;
        settings.rules = policy.rules().clone();
        let rollout = self.config.open_rollout()?;
        PolicyGuard { config: self.config, rollout: &rollout, handled: &self.handlers.patterns() }
            .adopt(&policy)?;
        Ok((Arc::new(rollout), files))
    }

    fn check_patterns(&self) -> Result<(), FileError> {
        if self.handlers.is_empty() {
            return Err(FileError::new(&self.config.file, "the worker has no handler")
                .hint("add a [[handler]], or call `handle` of the builder"));
        }
        let patterns = self.handlers.patterns();
        match patterns.split(' ').find(|pattern| !is_pattern(pattern)) {
            None => Ok(()),
            Some(pattern) => {
                let message = format!("`{}` is not a task type or prefix", pattern.escape_default());
                Err(FileError::new(&self.config.file, message)
                    .hint("1 to 128 printable ASCII characters without space; `*` at the end only"))
            }
        }
    }

    fn set_backoffs(&mut self) -> Result<(), FileError> {
        for (pattern, backoff) in std::mem::take(&mut self.backoffs) {
            if !self.handlers.set_backoff(&pattern, backoff) {
                let message = format!("no handler for `{}`, which has a back-off", pattern.escape_default());
                return Err(FileError::new(&self.config.file, message)
                    .hint("call `backoff` with the pattern of a handler, to the letter"));
            }
        }
        Ok(())
    }

    /// Checks that the results of each queue have a recipient, whichever issuers make the requests.
    fn check_recipients(&self, settings: &WorkerSettings, results: &ResultSealer) -> Result<(), FileError> {
        let types = self.handlers.patterns();
        let without = settings
            .queues
            .iter()
            .find(|queue| !results.has_recipient_for(NameSet::new(&types), &settings.audience(&queue.name)));
        match without {
            None => Ok(()),
            Some(queue) => {
                let audience = settings.audience(&queue.name);
                let message = format!(
                    "the keyset has no recipient now for results in {audience} of the types that the worker handles"
                );
                let hint = "give a primary ECDH-ES key with `use = \"result\"` matching `types` and `audiences` in the keyset, \
                            or name one in `result_recipient` of [worker]";
                Err(FileError::new(&self.config.file, message).hint(hint))
            }
        }
    }

    fn open_keys(&self, settings: &WorkerSettings) -> Result<(Keyring, ResultSealer), SetupError> {
        let keyring = self.config.keyring()?;
        let results = ResultSealer::new(&settings.id, self.config.result_key(&keyring)?)
            .map_err(|error| FileError::new(&self.config.file, format!("worker.id: {error}")))?;
        self.check_recipients(settings, &results)?;
        Ok((keyring, results))
    }

    fn open(&mut self, (keyring, results): (Keyring, ResultSealer)) -> Result<WorkerParts, SetupError> {
        let config = self.config;
        Ok(WorkerParts {
            broker: self.broker.take().map_or_else(|| config.open_broker(), Ok)?,
            ledger: match self.ledger.take() {
                Some(ledger) => ledger,
                None => Arc::new(config.open_ledger()?),
            },
            quarantine: Arc::new(config.open_quarantine()?),
            keyring,
            results,
            handlers: std::mem::take(&mut self.handlers),
        })
    }
}

fn is_pattern(pattern: &str) -> bool {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    let printable = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*');
    printable && !pattern.is_empty() && pattern.len() <= 128
}

impl fmt::Debug for WorkerBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder").field("handlers", &self.handlers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
