//! The keys of a worker at one moment, and how they are loaded again. A batch uses one snapshot from verification to decryption; a result is sealed with the
//! current one, because a handler may run for longer than its key may seal.

use taskseal_core::KeyId;

use super::root_cache::SharedRootCache;
use crate::config::Config;
use crate::keys::{KeyGeneration, Keyring, KeyringError, Loaded, SharedKeys, reload_keyring};
use crate::result::ResultSealer;

/// Keys that were loaded together.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The keys that may seal tasks, and those that decrypt bodies.
    pub(super) keyring: Keyring,
    /// Seals results.
    pub(super) results: ResultSealer,
    /// Roots of batches that keys of this keyring signed.
    pub(super) roots: SharedRootCache,
}

impl Snapshot {
    /// Creates the snapshot of loaded keys.
    pub(super) fn new(keyring: Keyring, results: ResultSealer) -> Self {
        Self { keyring, results, roots: SharedRootCache::default() }
    }

    /// Loads the keys of a configuration in place of these. A key for results that cannot be used stays, and the new keyset decides
    /// whether it may seal: results wait otherwise.
    pub(super) fn reload(&self, config: &Config) -> Result<Loaded<Self>, KeyringError> {
        let loaded = reload_keyring(
            || config.reload_keyring(&self.keyring),
            || config.reload_keyset(&self.keyring, SharedKeys::Available),
            &self.keyring,
        )?;
        let Loaded { keys: keyring, fault } = loaded;
        let (key, fault) = match config.result_key(&keyring) {
            Ok(key) => (key, fault),
            Err(error) => (self.results.key().under(&keyring), fault.or(Some(error))),
        };
        Ok(Loaded { keys: Self::new(keyring, self.results.with_key(key)), fault })
    }
}

impl KeyGeneration for Snapshot {
    fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    fn sealing_end(&self) -> Option<(KeyId, u64)> {
        let key = self.results.key();
        Some((key.kid(), key.end()))
    }
}
