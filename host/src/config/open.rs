//! Opens what a configuration names: broker, replay ledger and quarantine.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{BrokerConfig, Config};
#[cfg(feature = "redis")]
use super::{RedisSettings, TlsFiles};
#[cfg(feature = "redis")]
use crate::broker::redis::{Password, RedisBroker, RedisConfig, TlsIdentity};
#[cfg(feature = "sqlite")]
use crate::broker::sqlite::{SqliteBroker, SqliteConfig};
use crate::broker::{Broker, BrokerError};
use crate::file_error::FileError;
use crate::file_security;
use crate::keys::KeyringError;
use crate::policy::PolicySettings;
use crate::quarantine::Quarantine;
use crate::replay::SqliteLedger;
use crate::rollout::Rollout;
use crate::state::{StateError, StateKind};
use crate::time::{ClockError, UnixMillis, check_release, plausible};

/// Why a client or worker cannot be set up, grouped by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The configuration has an error, or a folder cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The keyset or a key cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The broker is unreachable or refuses the connection.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The replay ledger or the quarantine cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The clock of this host cannot be right.
    #[error(transparent)]
    Clock(#[from] ClockError),
}

impl Config {
    /// Opens the broker. A queue file must exist: [`create_queue`](Self::create_queue) creates it. An unreachable Redis is not an
    /// error yet: the first call connects.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open_broker(&self) -> Result<Arc<dyn Broker>, SetupError> {
        match &self.broker {
            #[cfg(feature = "sqlite")]
            BrokerConfig::Sqlite(path) => {
                let settings = SqliteConfig::default().existing().with_archive_limits(self.archive);
                Ok(Arc::new(SqliteBroker::open_with(path, &settings)?))
            }
            #[cfg(feature = "redis")]
            BrokerConfig::Redis(settings) => Ok(Arc::new(self.redis_broker(settings)?)),
            #[cfg(not(all(feature = "redis", feature = "sqlite")))]
            _ => Err(self.not_built().into()),
        }
    }

    #[cfg(feature = "redis")]
    pub(super) fn redis_broker(&self, settings: &RedisSettings) -> Result<RedisBroker, SetupError> {
        let mut redis = RedisConfig::new(settings.url.clone())
            .with_archive_limits(self.archive)
            .with_prefix(&settings.prefix)
            .map_err(|error| FileError::new(&self.file, error.to_string()))?;
        if let Some(source) = &settings.password {
            // Reports a password that cannot be read now; it is read again for each connection.
            source.read(&self.file, &self.key_stores).map_err(of_password)?;
            let (source, file, stores) = (source.clone(), self.file.clone(), self.key_stores.clone());
            redis = redis.with_password_reader(move || Ok(Password::from(source.read(&file, &stores)?)));
        }
        if settings.tls != TlsFiles::default() {
            settings.tls.read()?;
            let files = settings.tls.clone();
            redis = redis.with_tls_reader(move || {
                let (roots, client) = files.read()?;
                Ok(TlsIdentity { roots, client })
            });
        }
        Ok(RedisBroker::connect(&redis)?)
    }

    #[cfg(not(all(feature = "redis", feature = "sqlite")))]
    fn not_built(&self) -> FileError {
        FileError::new(&self.file, "this program was built without the broker of `broker.url`")
            .hint("build it with the features `redis` and `sqlite`")
    }

    /// Creates the queue file and its folder, like `taskseal queue init`.
    ///
    /// # Errors
    /// [`SetupError`], also if the file exists, or if the broker is not a file.
    pub fn create_queue(&self) -> Result<(), SetupError> {
        match &self.broker {
            #[cfg(feature = "sqlite")]
            BrokerConfig::Sqlite(path) => {
                if crate::sqlite::is_used(path) {
                    return Err(FileError::new(path, "exists already").into());
                }
                if let Some(parent) = path.parent() {
                    file_security::create_dir(parent)?;
                }
                SqliteBroker::open(path)?;
                Ok(())
            }
            #[cfg(feature = "redis")]
            BrokerConfig::Redis(_) => Err(FileError::new(
                &self.file,
                "`broker.url` is not a file: it is Redis that creates its queues",
            )
            .into()),
            #[cfg(not(all(feature = "redis", feature = "sqlite")))]
            _ => Err(self.not_built().into()),
        }
    }

    /// Opens the replay ledger, which must exist: [`create_ledger`](Self::create_ledger) creates the first one.
    ///
    /// # Errors
    /// [`SetupError`]; [`StateError::Missing`] if there is no ledger: it was never created, or it is lost. [`SetupError::Clock`] if
    /// the clock of this host is earlier than the release of this program, or than the latest time that the ledger has recorded,
    /// by more than `skew` of `[policy]`.
    pub fn open_ledger(&self) -> Result<SqliteLedger, SetupError> {
        let skew =
            self.worker.as_ref().map_or_else(PolicySettings::default, |worker| worker.policy.clone()).skew;
        let ledger = self.open_ledger_at_any_time()?;
        plausible::check_recorded(UnixMillis::now(), ledger.latest()?, skew)?;
        Ok(ledger)
    }

    /// Has the ledger accept the clock of this host, although it has recorded a later time, like `taskseal ledger accept-clock`.
    ///
    /// # Errors
    /// [`SetupError`].
    #[doc(hidden)]
    pub fn accept_clock(&self) -> Result<(), SetupError> {
        Ok(self.open_ledger_at_any_time()?.accept_clock()?)
    }

    /// Opens the ledger at any time since the release of this program.
    fn open_ledger_at_any_time(&self) -> Result<SqliteLedger, SetupError> {
        check_release(UnixMillis::now())?;
        let path = self.state_dir.join("ledger.db");
        match file_security::check_dir(&self.state_dir) {
            Err(error) if error.io == Some(io::ErrorKind::NotFound) => {
                Err(StateError::Missing { kind: StateKind::Ledger, path }.into())
            }
            checked => {
                checked?;
                Ok(SqliteLedger::open_existing(&path)?)
            }
        }
    }

    /// Creates the replay ledger, like `taskseal ledger init`. Unless `accept_older`, it refuses tasks that were issued before.
    ///
    /// # Security
    /// Set `accept_older` only if no worker has run on these queues yet: see [`SqliteLedger::create`].
    ///
    /// # Errors
    /// [`SetupError`]; [`StateError::Exists`] if there is a ledger.
    pub fn create_ledger(&self, accept_older: bool) -> Result<SqliteLedger, SetupError> {
        // What was issued before this time is refused.
        check_release(UnixMillis::now())?;
        self.create_state_dir()?;
        Ok(SqliteLedger::create(&self.state_dir.join("ledger.db"), accept_older)?)
    }

    /// Opens the quarantine, or creates it.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open_quarantine(&self) -> Result<Quarantine, SetupError> {
        self.create_state_dir()?;
        Ok(Quarantine::open(&self.quarantine_file(), self.quarantine)?)
    }

    /// Opens the quarantine if it exists: a worker creates it.
    ///
    /// # Errors
    /// [`SetupError`].
    #[doc(hidden)]
    pub fn existing_quarantine(&self) -> Result<Option<Quarantine>, SetupError> {
        match self.quarantine_file().try_exists() {
            Ok(false) => Ok(None),
            _ => self.open_quarantine().map(Some),
        }
    }

    /// Opens the record of the modes of task types, or creates it.
    ///
    /// # Errors
    /// [`SetupError`].
    #[doc(hidden)]
    pub fn open_rollout(&self) -> Result<Rollout, SetupError> {
        self.create_state_dir()?;
        Ok(Rollout::open(&self.state_dir.join("rollout.db"))?)
    }

    /// Opens the record of the modes of task types to read it. Nothing is created: a worker does that.
    ///
    /// # Errors
    /// [`SetupError`].
    #[doc(hidden)]
    pub fn existing_rollout(&self) -> Result<Rollout, SetupError> {
        Ok(Rollout::open_existing(&self.state_dir.join("rollout.db"))?)
    }

    fn quarantine_file(&self) -> PathBuf {
        self.state_dir.join("quarantine.db")
    }

    /// Creates the folder of ledger and quarantine if it does not exist.
    ///
    /// # Security
    /// A user who can write in this folder can make the ledger forget: permissions are checked each time.
    fn create_state_dir(&self) -> Result<(), FileError> {
        file_security::create_dir(&self.state_dir)?;
        file_security::check_dir(&self.state_dir)
    }
}

/// Returns the error of a password. A file that cannot be used is not the keyset.
#[cfg(feature = "redis")]
fn of_password(error: KeyringError) -> SetupError {
    match error {
        KeyringError::File(error) => SetupError::File(error),
        error => SetupError::Keys(error),
    }
}
