//! The keys of a client at one moment: those that open results, and the key that seals tasks. They are loaded again together.

use taskseal_core::KeyId;

use crate::config::Config;
use crate::keys::{KeyGeneration, Keyring, KeyringError, Loaded, SealingKey, SharedKeys, reload_keyring};

/// Keys that were loaded together.
#[derive(Debug)]
pub(super) struct ClientKeys {
    /// Verifies and decrypts results.
    pub(super) keyring: Keyring,
    /// Seals tasks, or why nothing can be sealed: a client that only reads results needs no key.
    pub(super) sealing: Result<SealingKey, KeyringError>,
}

impl ClientKeys {
    /// Opens the keys of a configuration.
    pub(super) fn open(config: &Config) -> Result<Self, KeyringError> {
        let keyring = config.client_keyring()?;
        let sealing = config.task_key(&keyring);
        Ok(Self { keyring, sealing })
    }

    /// Loads the keys of a configuration in place of these. A key that cannot be opened stays, and the new keyset decides whether
    /// it may seal.
    pub(super) fn reload(&self, config: &Config) -> Result<Loaded<Self>, KeyringError> {
        let loaded = reload_keyring(
            || config.reload_client_keyring(&self.keyring),
            || config.reload_keyset(&self.keyring, SharedKeys::Available),
            &self.keyring,
        )?;
        let Loaded { keys: keyring, fault, keyset_loaded } = loaded;
        let has_key = config.client.as_ref().is_some_and(|client| client.sealing.is_some());
        let (sealing, fault) = match (config.task_key(&keyring), &self.sealing) {
            (Ok(key), _) => (Ok(key), fault),
            (Err(error), Ok(former)) if !error.is_not_allowed() => {
                (Ok(former.under(&keyring)), fault.or(Some(error)))
            }
            (Err(error), _) => (Err(error.clone()), fault.or_else(|| has_key.then_some(error))),
        };
        Ok(Loaded { keys: Self { keyring, sealing }, fault, keyset_loaded })
    }

    /// Returns the key that seals tasks now.
    ///
    /// # Errors
    /// [`KeyringError`] if there is none, or the keyset does not allow it now.
    pub(super) fn sealing(&self) -> Result<&SealingKey, KeyringError> {
        let key = self.sealing.as_ref().map_err(Clone::clone)?;
        key.check()?;
        Ok(key)
    }

    /// Returns whether one signature can cover many tasks.
    pub(super) fn signs(&self) -> bool {
        self.sealing.as_ref().is_ok_and(SealingKey::signs)
    }

    /// Returns whether sealing may wait for a token or a service.
    pub(super) fn may_block(&self) -> bool {
        self.sealing.as_ref().is_ok_and(SealingKey::may_block)
    }
}

impl KeyGeneration for ClientKeys {
    fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    fn sealing_end(&self) -> Option<(KeyId, u64)> {
        self.sealing.as_ref().ok().map(|key| (key.kid(), key.end()))
    }
}
