//! Opens a client from a configuration.

use std::sync::Arc;

use super::Client;
use super::keys::ClientKeys;
use super::reload::KeyReload;
use crate::broker::Broker;
use crate::config::{Config, SetupError};
use crate::file_watch::recorded;
use crate::keys::Reloader;

impl Client {
    /// Opens the client of a configuration, with the keys of `[client]` and no others.
    ///
    /// A key that cannot seal tasks is not an error yet, because a client may only read results:
    /// [`check_sealing_key`](Self::check_sealing_key) and the first task that is sealed report it.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open(config: &Config) -> Result<Self, SetupError> {
        Self::open_on(config, config.open_broker()?)
    }

    /// Opens the client of a configuration on a broker that is open already.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open_on(config: &Config, broker: Arc<dyn Broker>) -> Result<Self, SetupError> {
        let settings = config.client()?.clone();
        let (keys, files) = recorded(|| ClientKeys::open(config));
        let (config, times) = (config.clone(), (config.key_refresh, config.key_max_stale));
        let reloader = Reloader::new(files, times, move |keys: &ClientKeys| keys.reload(&config));
        Ok(Self::with_keys(settings, broker, keys?, Some(KeyReload::new(reloader))))
    }
}
