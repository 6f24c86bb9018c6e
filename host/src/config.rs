//! The configuration file of a host, `taskseal.toml`: read into the settings of client, worker and policy, every error with
//! its line.
//!
//! Paths in the file are relative to its folder. Nothing in it is secret: keys and passwords are named, not written.

mod broker;
mod file;
mod open;
mod program;
mod sealing;
pub(crate) mod value;

use std::path::{Path, PathBuf};

use taskseal_core::Kind;

pub use self::broker::{BrokerConfig, PasswordSource, RedisSettings};
pub use self::open::SetupError;
pub use self::program::ProgramSettings;
pub use crate::policy::PolicySettings;

use crate::client::ClientSettings;
use crate::file_error::FileError;
use crate::keys::{KeyLocation, Keyring, SealingKey, SealingSource};
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
    /// Folder of the replay ledger and the quarantine.
    pub state_dir: PathBuf,
    /// The keyset file.
    pub keyset: PathBuf,
    /// How tasks are sealed; `None` if this host seals none.
    pub client: Option<ClientSettings>,
    /// How tasks are run; `None` if this host runs none.
    pub worker: Option<WorkerSettings>,
    /// What is accepted as a task or result.
    pub policy: PolicySettings,
    /// Programs that run tasks, each for one task type or prefix of task types.
    pub programs: Vec<ProgramSettings>,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`FileError`] with line, column and field.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        file::load(path)
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

    /// The keyset, with the decryption keys of the worker and the key of the client that opens results.
    ///
    /// # Errors
    /// [`FileError`], which names the field of a key that is at fault.
    pub fn keyring(&self) -> Result<Keyring, FileError> {
        let worker = self.worker.iter().flat_map(|worker| &worker.decryption_keys);
        let worker = worker.map(|key| ("worker.decryption_keys", key));
        Keyring::load(&self.keyset)?.with_configured_keys(worker.chain(self.reading_key()))
    }

    /// The keyset, with the key of the client that opens results and none of the worker: to make tasks and read their
    /// results.
    ///
    /// # Errors
    /// [`FileError`], which names the field of a key that is at fault.
    pub fn client_keyring(&self) -> Result<Keyring, FileError> {
        Keyring::load(&self.keyset)?.with_configured_keys(self.reading_key())
    }

    fn reading_key(&self) -> impl Iterator<Item = (&'static str, &KeyLocation)> {
        let key = self.client.as_ref().and_then(|client| client.result_key.as_ref());
        key.map(|key| ("client.result_key", key)).into_iter()
    }

    /// The key of the client that seals tasks. The keyset of `keyring` must have it.
    ///
    /// # Errors
    /// [`FileError`], which names the field of a key that is at fault.
    pub fn task_key(&self, keyring: &Keyring) -> Result<SealingKey, FileError> {
        let source = self.client()?.sealing.as_ref().ok_or_else(|| {
            FileError::new(&self.file, "no key to seal tasks with").hint("set `suite` and `key` in [client]")
        })?;
        let fields = ["client.key", "client.encryption_key"];
        keyring.sealing_key(source, Kind::Task).map_err(|error| self.named_by(fields, source, error))
    }

    /// The key of the worker that seals results. The keyset of `keyring` must have it.
    ///
    /// # Errors
    /// [`FileError`] if there is none; one that is at fault is named by its field.
    pub fn result_key(&self, keyring: &Keyring) -> Result<SealingKey, FileError> {
        let source = self.worker()?.result.as_ref().ok_or_else(|| {
            FileError::new(&self.file, "no key to seal results with")
                .hint("set `result_suite` and `result_key` in [worker]")
        })?;
        let fields = ["worker.result_key", "worker.result_encryption_key"];
        keyring.sealing_key(source, Kind::Result).map_err(|error| self.named_by(fields, source, error))
    }

    /// A fault of one of the two keys of `source`, with its field.
    fn named_by(
        &self,
        [key, encryption_key]: [&str; 2],
        source: &SealingSource,
        error: FileError,
    ) -> FileError {
        let is_at = |place: &KeyLocation| error.file == Path::new(&place.to_string());
        if source.encryption_key.as_ref().is_some_and(is_at) {
            error.named_by(encryption_key)
        } else if is_at(&source.key) {
            error.named_by(key)
        } else {
            // The keyset, which says itself what is wrong with a recipient.
            error
        }
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
