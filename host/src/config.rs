//! Parses `taskseal.toml`, the configuration of a host, into the settings of client, worker and policy. Errors contain the
//! line.
//!
//! Paths in the file are relative to its folder. Nothing in it is secret: keys and passwords are named, not written.

mod audit;
mod broker;
mod carrier;
mod context;
mod file;
mod fleet;
mod key_command;
mod keys;
mod open;
mod password;
mod program;
mod sealing;
pub(crate) mod value;
#[cfg(feature = "vault")]
mod vault;

use std::path::{Path, PathBuf};
use std::time::Duration;

use taskseal_core::Kind;

#[doc(hidden)]
pub use self::broker::TlsFiles;
#[doc(hidden)]
pub use self::broker::{BrokerConfig, RedisSettings};
#[doc(hidden)]
pub use self::carrier::{InvalidServer, KeysetCarrier, KeysetServer};
#[doc(hidden)]
pub use self::fleet::FleetSettings;
pub use self::open::SetupError;
#[doc(hidden)]
pub use self::password::PasswordSource;
#[doc(hidden)]
pub use self::program::ProgramSettings;
#[doc(hidden)]
pub use crate::policy::{PolicySet, PolicySettings, TypeRules};
#[doc(hidden)]
pub use crate::time::ClockError;

use crate::audit::{AuditLog, AuditSettings};
use crate::broker::ArchiveLimits;
use crate::client::ClientSettings;
use crate::file_error::FileError;
use crate::keys::{
    KeyRef, KeyStores, Keyring, KeyringError, LoadMode, Recording, SealingKey, SharedKeys, SignedKeyset,
};
use crate::quarantine::Limits;
use crate::queue::QueueName;
use crate::worker::settings::WorkerSettings;

#[cfg(test)]
mod tests;

/// The configuration of a host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// First half of every audience: `deployment/queue`.
    pub deployment: String,
    /// Where the queue is.
    pub broker: BrokerConfig,
    /// Limits of the archive of each queue.
    pub archive: ArchiveLimits,
    /// Folder of the replay ledger and the quarantine.
    pub state_dir: PathBuf,
    /// The audit log; `None` if this host has none.
    #[doc(hidden)]
    pub audit: Option<AuditSettings>,
    /// How much the quarantine may store.
    pub quarantine: Limits,
    /// The keyset file.
    pub keyset: PathBuf,
    /// How the keyset is verified; `None` for a keyset file that is not signed.
    #[doc(hidden)]
    pub signed_keyset: Option<SignedKeyset>,
    /// Where a signed keyset is fetched from, beside its file.
    #[doc(hidden)]
    pub keyset_carrier: Option<KeysetCarrier>,
    /// How often clients and workers load keys again whose files have not changed: sources that are not files tell no change. One
    /// minute by default.
    pub key_refresh: Duration,
    /// Time without a successful load after which the keys are reported as stale. One hour by default.
    pub key_max_stale: Duration,
    /// How tasks are sealed; `None` if this host seals none.
    pub client: Option<ClientSettings>,
    /// How tasks are run; `None` if this host runs none.
    pub worker: Option<WorkerSettings>,
    /// What is accepted as a task or result.
    pub policy: PolicySettings,
    /// The rules of single task types, from the file that `policy` names.
    pub rules: TypeRules,
    /// Programs that run tasks, each for one task type or prefix of task types.
    pub programs: Vec<ProgramSettings>,
    /// How processes compare what they run with.
    #[doc(hidden)]
    pub fleet: FleetSettings,
    /// The stores that open the keys.
    pub key_stores: KeyStores,
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

    /// Returns the configuration file to use: `explicit`, else the file in the environment variable `TASKSEAL_CONFIG`,
    /// else `taskseal.toml` in the current folder.
    #[must_use]
    pub fn locate(explicit: Option<&Path>) -> PathBuf {
        let from_environment = || std::env::var_os("TASKSEAL_CONFIG").filter(|path| !path.is_empty());
        match explicit {
            Some(path) => path.to_owned(),
            None => from_environment().map_or_else(|| PathBuf::from("taskseal.toml"), PathBuf::from),
        }
    }

    /// Returns the audience of tasks in `queue`: `deployment/queue`.
    #[must_use]
    pub fn audience(&self, queue: &QueueName) -> String {
        format!("{}/{queue}", self.deployment)
    }

    /// Returns the policy for tasks: the section `[policy]` and the rules of the policy file.
    #[must_use]
    #[doc(hidden)]
    pub fn policy_set(&self) -> PolicySet {
        PolicySet::new(self.policy.clone(), self.rules.clone())
    }

    /// Opens the keyset with the decryption keys of the worker and the key of the client that opens results.
    ///
    /// # Errors
    /// [`KeyringError`], with the field that names the key.
    pub fn keyring(&self) -> Result<Keyring, KeyringError> {
        self.with_worker_keys(&self.load_keyset()?)
    }

    /// Opens the keys of [`keyring`](Self::keyring) again, for a process that has used those of `previous`.
    pub(crate) fn reload_keyring(&self, previous: &Keyring) -> Result<Keyring, KeyringError> {
        self.with_worker_keys(&self.reload_keyset(previous, SharedKeys::Required)?)
    }

    fn with_worker_keys(&self, keyset: &Keyring) -> Result<Keyring, KeyringError> {
        let worker = self.worker.iter().flat_map(|worker| &worker.decryption_keys);
        Ok(keyset.with_decryption_keys(worker.chain(self.client_result_key()))?)
    }

    /// Opens the keyset with the key of the client that opens results and none of the worker: to make tasks and read their
    /// results.
    ///
    /// # Errors
    /// [`KeyringError`], with the field that names the key.
    pub fn client_keyring(&self) -> Result<Keyring, KeyringError> {
        Ok(self.load_keyset()?.with_decryption_keys(self.client_result_key())?)
    }

    /// Opens the keys of [`client_keyring`](Self::client_keyring) again, for a process that has used those of `previous`.
    pub(crate) fn reload_client_keyring(&self, previous: &Keyring) -> Result<Keyring, KeyringError> {
        let keyset = self.reload_keyset(previous, SharedKeys::Required)?;
        Ok(keyset.with_decryption_keys(self.client_result_key())?)
    }

    /// Opens the keyset alone. The checkpoint of a signed keyset is stored.
    ///
    /// # Errors
    /// [`KeyringError`].
    #[doc(hidden)]
    pub fn load_keyset(&self) -> Result<Keyring, KeyringError> {
        self.load_keyset_as(LoadMode::new(Recording::Durable, SharedKeys::Required))
    }

    /// Opens the keyset alone, for a process that has used `previous`: an older one is refused, also if the folder of state is lost.
    pub(crate) fn reload_keyset(
        &self,
        previous: &Keyring,
        shared: SharedKeys,
    ) -> Result<Keyring, KeyringError> {
        self.load_keyset_as(LoadMode::new(Recording::Durable, shared).after(previous.head()))
    }

    /// Opens the keyset alone, to check it. Nothing is written, so the keys may not seal or open anything that is used.
    ///
    /// # Errors
    /// [`KeyringError`].
    #[doc(hidden)]
    pub fn inspect_keyset(&self) -> Result<Keyring, KeyringError> {
        self.load_keyset_as(LoadMode::new(Recording::Omitted, SharedKeys::Required))
    }

    fn load_keyset_as(&self, mode: LoadMode) -> Result<Keyring, KeyringError> {
        match &self.signed_keyset {
            None => Keyring::load_file(&self.keyset, &self.key_stores, mode.shared()),
            Some(signed) => Keyring::load_signed(signed, &self.key_stores, self.fetch_keyset(), mode),
        }
    }

    fn client_result_key(&self) -> Option<&KeyRef> {
        self.client.as_ref()?.result_key.as_ref()
    }

    /// Opens the key of the client that seals tasks. The keyset of `keyring` must have it.
    ///
    /// # Errors
    /// [`KeyringError`], with the field that names the key.
    pub fn task_key(&self, keyring: &Keyring) -> Result<SealingKey, KeyringError> {
        let source = self.client()?.sealing.as_ref().ok_or_else(|| {
            FileError::new(&self.file, "no key to seal tasks with").hint("set `suite` and `key` in [client]")
        })?;
        keyring.sealing_key(source, Kind::Task)
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

    /// Opens the audit log, if this host has one.
    ///
    /// # Errors
    /// [`FileError`] if the folder of the log cannot be used.
    #[doc(hidden)]
    pub fn open_audit(&self) -> Result<Option<AuditLog>, FileError> {
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        self.audit.as_ref().map(|settings| AuditLog::open(settings, &self.key_stores, &name)).transpose()
    }

    /// Returns the section `[client]`.
    ///
    /// # Errors
    /// [`FileError`] if the file has none.
    pub fn client(&self) -> Result<&ClientSettings, FileError> {
        self.client.as_ref().ok_or_else(|| {
            FileError::new(&self.file, "no [client] section: this host seals no tasks")
                .hint("add one with `issuer`, `suite` and `key`")
        })
    }

    /// Returns the section `[worker]`.
    ///
    /// # Errors
    /// [`FileError`] if the file has none.
    pub fn worker(&self) -> Result<&WorkerSettings, FileError> {
        self.worker.as_ref().ok_or_else(|| {
            FileError::new(&self.file, "no [worker] section: this host runs no tasks")
                .hint("add one with `decryption_keys` and a [[worker.queue]]")
        })
    }
}
