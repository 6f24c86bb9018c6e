//! The file as it is written: sections with optional fields, made into a [`Config`] that needs no second look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use taskseal_core::batch::MAX_BATCH;
use taskseal_core::{KeyId, Suite, SuiteSet};
use toml::Spanned;

use super::value::{Count, Name, Queue, Seconds, Size, SuiteName};
use super::{ClientConfig, Config, HandlerConfig, PolicyConfig, QueueConfig, WorkerConfig, broker};
use crate::file_error::{FileError, MAX_LEN, parse_toml};
use crate::file_security::read_guarded;
use crate::keys::{KeyRef, KeyStores, Kid, SealingSource, relative_to};

pub(super) fn load(path: &Path, stores: &KeyStores) -> Result<Config, FileError> {
    // It names the programs that run.
    let text = read_guarded(path, MAX_LEN).map_err(|error| match error.io {
        Some(std::io::ErrorKind::NotFound) => {
            error.hint("name it with --config or TASKSEAL_CONFIG, or make a project with `taskseal init DIR`")
        }
        _ => error,
    })?;
    let file: File = parse_toml(path, &text)?;
    file.check(&Context { file: path, text: &text, stores })
}

/// Where a value stands, for its faults.
pub(super) struct Context<'f> {
    pub(super) file: &'f Path,
    pub(super) text: &'f str,
    stores: &'f KeyStores,
}

impl Context<'_> {
    /// Parses the place of a key that `field` names: a path relative to this file, or a URI.
    fn key(&self, field: &str, value: &Spanned<String>) -> Result<KeyRef, FileError> {
        match self.stores.parse(value.get_ref(), self.file) {
            Ok(key) => Ok(key.with_field(field)),
            Err(error) => Err(self.fault(value, error.message, error.hint)),
        }
    }

    pub(super) fn fault<T>(
        &self,
        at: &Spanned<T>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> FileError {
        FileError::new(self.file, message).hint(hint).at(self.text, at.span().start)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    // `deployment/queue` has 128 characters at most, 64 of which are the queue's.
    deployment: Name<63, false>,
    #[serde(default)]
    broker: broker::Section,
    #[serde(default)]
    state: State,
    #[serde(default)]
    keys: Keys,
    client: Option<Client>,
    worker: Option<Worker>,
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    handler: Vec<Handler>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    dir: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keyset: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    issuer: Name<64, true>,
    suite: Spanned<SuiteName>,
    key: Spanned<String>,
    recipient: Option<Spanned<Kid>>,
    encryption_key: Option<Spanned<String>>,
    result_key: Option<Spanned<String>>,
    lifetime: Option<Seconds<1, YEAR>>,
    attempts: Option<Count<1, 65_535>>,
    timeout: Option<Seconds<1, YEAR>>,
    retention: Option<Seconds<0, YEAR>>,
    batch: Option<Count<1, { MAX_BATCH as u64 }>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Worker {
    id: Option<Name<64, true>>,
    concurrency: Option<Count<1, 4096>>,
    lease: Option<Seconds<2, HOUR>>,
    batch: Option<Count<1, 128>>,
    #[serde(default)]
    batches: bool,
    drain: Option<Seconds<0, HOUR>>,
    #[serde(default)]
    decryption_keys: Vec<Spanned<String>>,
    result_suite: Option<Spanned<SuiteName>>,
    result_key: Option<Spanned<String>>,
    result_recipient: Option<Spanned<Kid>>,
    result_encryption_key: Option<Spanned<String>>,
    queue: Spanned<Vec<WorkerQueue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerQueue {
    name: Spanned<Queue>,
    weight: Option<Count<1, 1000>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    suites: Option<Vec<SuiteName>>,
    #[serde(default)]
    clockless: bool,
    skew: Option<Seconds<0, 300>>,
    max_lifetime: Option<Seconds<1, YEAR>>,
    max_body: Option<Size<{ taskseal_core::MAX_BODY }>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Handler {
    r#type: Spanned<Name<128, true>>,
    program: Spanned<Vec<String>>,
    timeout: Option<Seconds<1, YEAR>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    pass_env: Vec<String>,
    working_dir: Option<String>,
    max_output: Option<Size<{ taskseal_core::MAX_BODY }>>,
}

const HOUR: u64 = 3600;
const YEAR: u64 = 365 * 86_400;

impl File {
    fn check(self, context: &Context<'_>) -> Result<Config, FileError> {
        let batches = self.worker.as_ref().is_some_and(|worker| worker.batches);
        let state_dir = relative_to(context.file, self.state.dir.as_deref().unwrap_or("state"));
        Ok(Config {
            file: context.file.to_owned(),
            deployment: self.deployment.0,
            broker: self.broker.check(context)?,
            state_dir,
            keyset: relative_to(context.file, self.keys.keyset.as_deref().unwrap_or("keyset.toml")),
            client: self.client.map(|client| client.check(context)).transpose()?,
            worker: self.worker.map(|worker| worker.check(context)).transpose()?,
            policy: self.policy.check(batches),
            handlers: check_handlers(self.handler, context)?,
            key_stores: context.stores.clone(),
        })
    }
}

impl Client {
    fn check(self, context: &Context<'_>) -> Result<ClientConfig, FileError> {
        let key = context.key("client.key", &self.key)?;
        let extras = Extras {
            recipient: ("recipient", self.recipient),
            encryption_key: ("client", "encryption_key", self.encryption_key),
        };
        Ok(ClientConfig {
            issuer: self.issuer.0,
            sealing: extras.check(context, &self.suite, key)?,
            result_key: self.result_key.map(|key| context.key("client.result_key", &key)).transpose()?,
            lifetime: self.lifetime.unwrap_or(Seconds(HOUR)).duration(),
            attempts: self.attempts.map_or(5, |count| u16::try_from(count.0).unwrap_or(u16::MAX)),
            timeout: self.timeout.map(Seconds::duration),
            retention: self.retention.unwrap_or(Seconds(24 * HOUR)).duration(),
            batch: self.batch.map_or(1, |count| to_usize(count.0)),
        })
    }
}

impl Worker {
    fn check(self, context: &Context<'_>) -> Result<WorkerConfig, FileError> {
        let result = match (self.result_suite, self.result_key) {
            (Some(suite), Some(key)) => {
                let extras = Extras {
                    recipient: ("result_recipient", self.result_recipient),
                    encryption_key: ("worker", "result_encryption_key", self.result_encryption_key),
                };
                Some(extras.check(context, &suite, context.key("worker.result_key", &key)?)?)
            }
            (Some(suite), None) => {
                return Err(context.fault(
                    &suite,
                    "results need a key",
                    "set `result_key`, or remove `result_suite`",
                ));
            }
            (None, Some(key)) => {
                return Err(context.fault(
                    &key,
                    "results need a suite",
                    "set `result_suite`, or remove `result_key`",
                ));
            }
            (None, None) => None,
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(WorkerConfig {
            id: self.id.map_or_else(host_name, |id| id.0),
            concurrency: self.concurrency.map_or(processors, |count| to_usize(count.0)),
            lease: self.lease.unwrap_or(Seconds(5)).duration(),
            batch: self.batch.map_or(32, |count| to_usize(count.0)),
            drain: self.drain.unwrap_or(Seconds(30)).duration(),
            decryption_keys: self
                .decryption_keys
                .iter()
                .map(|key| context.key("worker.decryption_keys", key))
                .collect::<Result<_, _>>()?,
            result,
            queues: check_queues(self.queue, context)?,
        })
    }
}

/// The fields that only some suites take, with their names.
struct Extras {
    recipient: (&'static str, Option<Spanned<Kid>>),
    /// Table, field and value.
    encryption_key: (&'static str, &'static str, Option<Spanned<String>>),
}

impl Extras {
    fn check(
        self,
        context: &Context<'_>,
        suite: &Spanned<SuiteName>,
        key: KeyRef,
    ) -> Result<SealingSource, FileError> {
        let suite_name = suite.get_ref().0;
        let missing = |field: &str, what: &str| {
            context.fault(suite, format!("suite {suite_name} needs `{field}`"), format!("set it to {what}"))
        };
        let surplus = |field: &str| {
            (format!("suite {suite_name} takes no `{field}`"), "remove it, or choose another suite")
        };
        let recipient: Option<KeyId> = match (suite_name, self.recipient) {
            (Suite::Sp, (_, Some(kid))) => Some(kid.get_ref().0),
            (Suite::Sp, (field, None)) => {
                return Err(missing(field, "the kid of an ECDH-ES key of the keyset"));
            }
            (_, (field, Some(kid))) => {
                let (message, hint) = surplus(field);
                return Err(context.fault(&kid, message, hint));
            }
            (_, (_, None)) => None,
        };
        let encryption_key = match (suite_name, self.encryption_key) {
            (Suite::Se, (table, field, Some(key))) => Some(context.key(&format!("{table}.{field}"), &key)?),
            (Suite::Se, (_, field, None)) => return Err(missing(field, "the file of a shared A256GCM key")),
            (_, (_, field, Some(path))) => {
                let (message, hint) = surplus(field);
                return Err(context.fault(&path, message, hint));
            }
            (_, (_, _, None)) => None,
        };
        Ok(SealingSource { encryption_key, recipient, ..SealingSource::new(suite_name, key) })
    }
}

impl Policy {
    fn check(self, batches: bool) -> PolicyConfig {
        let suites = self.suites.map_or(SuiteSet::SIGNED_AND_ENCRYPTED, |suites| {
            suites.into_iter().fold(SuiteSet::NONE, |set, suite| set.with(suite.0))
        });
        PolicyConfig {
            suites,
            batches,
            clockless: self.clockless,
            skew: self.skew.unwrap_or(Seconds(60)).duration(),
            max_lifetime: self.max_lifetime.unwrap_or(Seconds(24 * HOUR)).duration(),
            max_body: self.max_body.map_or(1 << 20, |size| size.0),
        }
    }
}

fn check_queues(
    queues: Spanned<Vec<WorkerQueue>>,
    context: &Context<'_>,
) -> Result<Vec<QueueConfig>, FileError> {
    if queues.get_ref().is_empty() {
        return Err(context.fault(
            &queues,
            "no queue to take tasks from",
            "add a [[worker.queue]] with a `name`",
        ));
    }
    let mut checked: Vec<QueueConfig> = Vec::new();
    for queue in queues.into_inner() {
        let name = queue.name.get_ref().0.clone();
        if checked.iter().any(|other| other.name == name) {
            let message = format!("queue `{name}` stands here for the second time");
            return Err(context.fault(&queue.name, message, "one queue, one entry: use `weight`"));
        }
        let weight = queue.weight.map_or(1, |weight| u32::try_from(weight.0).unwrap_or(1));
        checked.push(QueueConfig { name, weight });
    }
    Ok(checked)
}

fn check_handlers(handlers: Vec<Handler>, context: &Context<'_>) -> Result<Vec<HandlerConfig>, FileError> {
    let mut checked: Vec<HandlerConfig> = Vec::new();
    for handler in handlers {
        let task_type = handler.r#type.get_ref().0.clone();
        let name = task_type.strip_suffix('*').unwrap_or(&task_type);
        if name.contains('*') {
            let message = format!("`{task_type}` is not a task type");
            return Err(context.fault(&handler.r#type, message, "`*` may stand at the end only"));
        }
        if checked.iter().any(|other| other.task_type == task_type) {
            let message = format!("task type `{task_type}` stands here for the second time");
            return Err(context.fault(
                &handler.r#type,
                message,
                "one type, one handler: remove one of the two",
            ));
        }
        let mut program = handler.program.get_ref().clone();
        match program.first_mut() {
            Some(path) if path.contains('/') => {
                let full = absolute(&relative_to(context.file, path)).into_os_string();
                *path = full.into_string().map_err(|_| {
                    let message = "the path of this program is not UTF-8";
                    context.fault(&handler.program, message, "move this file to a folder whose name is")
                })?;
            }
            Some(path) if !path.is_empty() => {}
            _ => {
                let hint = "a list of program and arguments: [\"./handlers/resize\", \"--fast\"]";
                return Err(context.fault(&handler.program, "no program", hint));
            }
        }
        checked.push(HandlerConfig {
            task_type,
            program,
            timeout: handler.timeout.unwrap_or(Seconds(5 * 60)).duration(),
            env: handler.env,
            pass_env: handler.pass_env,
            working_dir: absolute(&relative_to(context.file, handler.working_dir.as_deref().unwrap_or("."))),
            max_output: handler.max_output.map_or(1 << 20, |size| size.0),
        });
    }
    Ok(checked)
}

/// A program runs in another folder than the worker: what is relative would mean something else there.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The name of this machine as an issuer; `worker` if it has none that can be one.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let usable = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if usable { name } else { "worker".to_owned() }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
