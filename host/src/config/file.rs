//! The text of the configuration file: its sections, read into the settings that clients and workers use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use taskseal_core::batch::MAX_BATCH;

use super::audit::AuditSection;
use super::context::Context;
use super::key_command::{self, KeyCommandSection};
use super::keys::KeysSection;
use super::program::{self, ProgramSettings};
use super::sealing::Sealing;
use super::value::{self, Count, DAY, HOUR, Name, Queue, Seconds, Size, SuiteName, WEEK, YEAR};
#[cfg(feature = "vault")]
use super::vault;
use super::{Config, broker, fleet};
use crate::client::ClientSettings;
use crate::file_error::{FileError, MAX_LEN};
use crate::file_security::read_guarded;
use crate::keys::{KeyStores, Kid, relative_to};
use crate::policy::{PolicySet, PolicySettings, TypeRules};
use crate::quarantine::Limits;
use crate::queue::QueueName;
use crate::toml_file::{Spanned, parse_toml};
use crate::worker::settings::{WorkerQueue, WorkerSettings};

pub(super) fn load(path: &Path, stores: &KeyStores) -> Result<Config, FileError> {
    // Guarded as a keyset is: it names the programs that run.
    let text = read_guarded(path, MAX_LEN).map_err(|error| match error.io {
        Some(std::io::ErrorKind::NotFound) => error.hint(
            "name the file with --config or TASKSEAL_CONFIG, or create a project with `taskseal init DIR`",
        ),
        _ => error,
    })?;
    let mut file: ConfigFile = parse_toml(path, &text).map_err(renamed_field)?;
    let commands = std::mem::take(&mut file.key_command);
    let stores = match commands.is_empty() {
        true => stores.clone(),
        false => stores.with_source(key_command::source(commands, path, &text)?),
    };
    let stores = match file.vault.take() {
        None => stores,
        #[cfg(feature = "vault")]
        Some(section) => stores.with(section.store(&Context::new(path, &text, &stores))?),
        #[cfg(not(feature = "vault"))]
        Some(section) => {
            let hint = "use a program built with the feature `vault`, or remove the section";
            let message = "this program has no support for Vault";
            return Err(Context::new(path, &text, &stores).fault(&section, message, hint));
        }
    };
    file.check(&Context::new(path, &text, &stores))
}

/// Fields of earlier versions, with the field that took their place.
const RENAMED: [(&str, &str); 3] = [
    ("client.batch", "write `sign_batch` in [client]"),
    ("worker.batch", "write `fetch_batch` in [worker]"),
    ("worker.batches", "write `batches` in [policy]"),
];

/// Reports a field of an earlier version as renamed.
fn renamed_field(error: FileError) -> FileError {
    let field = error.field.as_deref().unwrap_or_default();
    match RENAMED.into_iter().find(|(old, _)| *old == field) {
        Some((old, hint)) if error.message.starts_with("unknown field") => {
            let name = old.rsplit('.').next().unwrap_or(old);
            error.message(format!("field `{name}` was renamed")).hint(hint)
        }
        _ => error,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    // `deployment/queue` has at most 128 characters, of which 64 belong to the queue.
    deployment: Name<63, false>,
    #[serde(default)]
    broker: broker::BrokerSection,
    #[serde(default)]
    state: StateSection,
    #[serde(default)]
    keys: KeysSection,
    #[serde(default)]
    key_command: BTreeMap<String, KeyCommandSection>,
    #[cfg(feature = "vault")]
    vault: Option<vault::VaultSection>,
    #[cfg(not(feature = "vault"))]
    vault: Option<Spanned<serde::de::IgnoredAny>>,
    client: Option<ClientSection>,
    worker: Option<WorkerSection>,
    #[serde(default)]
    policy: PolicySettings,
    audit: Option<AuditSection>,
    #[serde(default)]
    fleet: fleet::FleetSection,
    #[serde(default)]
    handler: Vec<program::HandlerSection>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateSection {
    dir: Option<String>,
    quarantine_entries: Option<Count<100, 10_000_000>>,
    quarantine_bytes: Option<Spanned<Size<{ 1 << 20 }, { 1 << 40 }>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSection {
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
    sign_batch: Option<Count<1, { MAX_BATCH as u64 }>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerSection {
    id: Option<Name<64, true>>,
    concurrency: Option<Count<1, 4096>>,
    lease: Option<Seconds<2, HOUR>>,
    fetch_batch: Option<Count<1, 128>>,
    fetch_ahead: Option<Count<0, 1024>>,
    drain: Option<Seconds<0, HOUR>>,
    retry_first: Option<Seconds<1, HOUR>>,
    retry_longest: Option<Spanned<Seconds<1, WEEK>>>,
    postpone_first: Option<Seconds<1, HOUR>>,
    postpone_longest: Option<Spanned<Seconds<1, DAY>>>,
    max_timeout: Option<Seconds<1, YEAR>>,
    #[serde(default)]
    decryption_keys: Vec<Spanned<String>>,
    result_suite: Option<Spanned<SuiteName>>,
    result_key: Option<Spanned<String>>,
    result_recipient: Option<Spanned<Kid>>,
    result_encryption_key: Option<Spanned<String>>,
    queue: Spanned<Vec<QueueEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueEntry {
    name: Spanned<Queue>,
    weight: Option<Count<1, 1000>>,
    concurrency: Option<Count<1, 4096>>,
}

/// Replaces the default of a setting if the file has a value for it.
fn set<T>(setting: &mut T, value: Option<impl Into<T>>) {
    if let Some(value) = value {
        *setting = value.into();
    }
}

impl ConfigFile {
    fn check(self, context: &Context<'_>) -> Result<Config, FileError> {
        let deployment = String::from(self.deployment);
        let state_dir = relative_to(context.file, self.state.dir.as_deref().unwrap_or("state"));
        let archive = self.broker.archive();
        let broker = self.broker.check(context)?;
        let keyset_carrier = self.keys.carrier(context, &broker)?;
        let (key_refresh, key_max_stale) = self.keys.times();
        let (keyset, signed) = self.keys.check(context, &deployment, &state_dir)?;
        let mut policy = self.policy;
        policy.file = policy.file.map(|file| in_folder_of(context.file, &file));
        let rules = policy.file.as_deref().map(TypeRules::load).transpose()?.unwrap_or_default();
        let largest_body = PolicySet::new(policy.clone(), rules.clone()).largest_body();
        let audit = self.audit.map(|audit| audit.check(context, &deployment, &state_dir)).transpose()?;
        let quarantine = self.state.quarantine_limits(context, largest_body)?;
        let queue = first(self.worker.as_ref().map_or(&[], |worker| worker.queue.get_ref()));
        let client = self.client.map(|client| client.check(context, &deployment, queue, &policy));
        let mut client = client.transpose()?;
        let fleet = self.fleet.check();
        if let Some(client) = &mut client {
            client.status_every = fleet.status_every;
        }
        let worker = self.worker.map(|worker| worker.check(context, &deployment, &policy, &rules));
        let mut worker = worker.transpose()?;
        if let Some(worker) = &mut worker {
            worker.status_every = fleet.status_every;
        }
        let secrets = context.secret_variables(&broker);
        let programs = ProgramSettings::check_all(self.handler, context, worker.as_ref(), &secrets)?;
        Ok(Config {
            file: context.file.to_owned(),
            deployment,
            archive,
            broker,
            state_dir,
            audit,
            quarantine,
            keyset,
            signed_keyset: signed,
            keyset_carrier,
            key_refresh,
            key_max_stale,
            client,
            worker,
            policy,
            rules,
            programs,
            fleet,
            key_stores: context.stores.clone(),
        })
    }
}

/// Returns a path that is relative to the folder of the configuration file.
fn in_folder_of(config: &Path, path: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(path)
}

/// Returns the first queue, or `default` if there is none.
fn first(queues: &[QueueEntry]) -> QueueName {
    let first = queues.first().map(|queue| queue.name.get_ref().0.clone());
    first.unwrap_or_else(|| QueueName::parse("default").expect("the literal is a queue name"))
}

impl StateSection {
    /// Returns how much the quarantine may store: at least two of the longest task, so that a task whose sender is not proven fits
    /// into its half.
    fn quarantine_limits(&self, context: &Context<'_>, largest_body: usize) -> Result<Limits, FileError> {
        let mut limits = Limits::default();
        set(&mut limits.entries, self.quarantine_entries);
        let Some(bytes) = &self.quarantine_bytes else { return Ok(limits) };
        limits.bytes = u64::from(*bytes.get_ref());
        if limits.bytes < Limits::least_bytes(largest_body) {
            let hint = "raise `quarantine_bytes` to more than twice the largest `max_body` of the policy, or lower `max_body`";
            return Err(context.fault(
                bytes,
                "`quarantine_bytes` is too small for a task of `max_body`",
                hint,
            ));
        }
        Ok(limits)
    }
}

impl ClientSection {
    fn check(
        self,
        context: &Context<'_>,
        deployment: &str,
        queue: QueueName,
        policy: &PolicySettings,
    ) -> Result<ClientSettings, FileError> {
        let mut settings = ClientSettings::new(deployment, &self.issuer.0, queue);
        let sealing = Sealing {
            section: "client",
            key: ("key", &self.key),
            recipient: ("recipient", self.recipient),
            encryption_key: ("encryption_key", self.encryption_key),
        };
        settings.sealing = Some(sealing.check(context, &self.suite)?);
        settings.result_key =
            self.result_key.map(|key| context.key("client.result_key", &key)).transpose()?;
        settings.lifetime = settings.lifetime.min(policy.max_lifetime);
        set(&mut settings.lifetime, self.lifetime);
        set(&mut settings.attempts, self.attempts);
        set(&mut settings.timeout, self.timeout);
        set(&mut settings.retention, self.retention);
        set(&mut settings.sign_batch, self.sign_batch);
        settings.policy = policy.clone();
        Ok(settings)
    }
}

impl WorkerSection {
    fn check(
        self,
        context: &Context<'_>,
        deployment: &str,
        policy: &PolicySettings,
        rules: &TypeRules,
    ) -> Result<WorkerSettings, FileError> {
        let mut settings = WorkerSettings::new(&host_name(), deployment, first(self.queue.get_ref()));
        settings.queues = check_queues(self.queue, context)?;
        set(&mut settings.id, self.id);
        set(&mut settings.concurrency, self.concurrency);
        set(&mut settings.lease, self.lease);
        set(&mut settings.fetch_batch, self.fetch_batch);
        set(&mut settings.fetch_ahead, self.fetch_ahead);
        set(&mut settings.drain, self.drain);
        settings.backoff =
            value::backoff(context, "retry", settings.backoff, self.retry_first, self.retry_longest)?;
        settings.postpone = value::backoff(
            context,
            "postpone",
            settings.postpone,
            self.postpone_first,
            self.postpone_longest,
        )?;
        set(&mut settings.max_timeout, self.max_timeout);
        let keys = self.decryption_keys.iter().map(|key| context.key("worker.decryption_keys", key));
        settings.decryption_keys = keys.collect::<Result<_, _>>()?;
        settings.result = match (self.result_suite, self.result_key) {
            (Some(suite), Some(key)) => {
                let sealing = Sealing {
                    section: "worker",
                    key: ("result_key", &key),
                    recipient: ("result_recipient", self.result_recipient),
                    encryption_key: ("result_encryption_key", self.result_encryption_key),
                };
                Some(sealing.check(context, &suite)?)
            }
            (Some(suite), None) => {
                let hint = "set `result_key`, or remove `result_suite`";
                return Err(context.fault(&suite, "results need a key", hint));
            }
            (None, Some(key)) => {
                let hint = "set `result_suite`, or remove `result_key`";
                return Err(context.fault(&key, "results need a suite", hint));
            }
            (None, None) => None,
        };
        settings.policy = policy.clone();
        settings.rules = rules.clone();
        Ok(settings)
    }
}

fn check_queues(
    queues: Spanned<Vec<QueueEntry>>,
    context: &Context<'_>,
) -> Result<Vec<WorkerQueue>, FileError> {
    if queues.get_ref().is_empty() {
        let hint = "add a [[worker.queue]] with a `name`";
        return Err(context.fault(&queues, "no queue to take tasks from", hint));
    }
    let mut checked: Vec<WorkerQueue> = Vec::new();
    for queue in queues.into_inner() {
        let name = queue.name.get_ref().0.clone();
        if checked.iter().any(|other| other.name == name) {
            let message = format!("duplicate queue `{name}`");
            return Err(context.fault(&queue.name, message, "remove one of the two entries"));
        }
        let entry = WorkerQueue::new(name, queue.weight.map_or(1, u32::from));
        checked.push(WorkerQueue { concurrency: queue.concurrency.map(usize::from), ..entry });
    }
    Ok(checked)
}

/// Returns the name of this machine if it can be an issuer, else `worker`.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let usable = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if usable { name } else { "worker".to_owned() }
}
