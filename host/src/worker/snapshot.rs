//! The keys and the policy of a worker at one moment, and how they are loaded again. A batch uses one snapshot from verification to
//! decryption; a result is sealed with the current one, because a handler may run for longer than its key may seal.

use std::sync::Arc;

use taskseal_core::KeyId;

use super::adopt_policy::PolicyGuard;
use super::root_cache::SharedRootCache;
use crate::config::Config;
use crate::file_error::FileError;
use crate::keys::{KeyGeneration, Keyring, KeyringError, Loaded, SharedKeys, reload_keyring};
use crate::policy::PolicySet;
use crate::result::ResultSealer;

/// Keys and a policy that were loaded together.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The keys that may seal tasks, and those that decrypt bodies.
    pub(super) keyring: Keyring,
    /// Seals results.
    pub(super) results: ResultSealer,
    /// What is accepted as a task.
    pub(super) policy: PolicySet,
    /// Why `policy` is not the one of the file.
    policy_fault: Option<FileError>,
    /// Roots of batches that keys of this keyring signed.
    pub(super) roots: Arc<SharedRootCache>,
}

impl Snapshot {
    /// Creates the snapshot of loaded keys and a policy.
    pub(super) fn new(keyring: Keyring, results: ResultSealer, policy: PolicySet) -> Self {
        Self { keyring, results, policy, policy_fault: None, roots: Arc::default() }
    }

    /// Loads keys and policy in place of these. Of the two, one that cannot be loaded stays, and the other one is replaced.
    pub(super) fn reload(&self, guard: &PolicyGuard<'_>) -> Result<Loaded<Self>, KeyringError> {
        let (policy, policy_fault) = match guard.reload(&self.policy) {
            Ok(policy) => (policy, None),
            Err(error) => (self.policy.clone(), Some(error)),
        };
        Ok(match self.reload_keys(guard.config) {
            Ok(Loaded { keys: (keyring, results), fault, keyset_loaded }) => {
                let keys = Self { policy_fault, ..Self::new(keyring, results, policy) };
                Loaded { keys, fault, keyset_loaded }
            }
            Err(error) => Loaded {
                keys: Self {
                    keyring: self.keyring.clone(),
                    results: self.results.with_key(self.results.key().under(&self.keyring)),
                    policy,
                    policy_fault,
                    roots: Arc::clone(&self.roots),
                },
                fault: Some(error),
                keyset_loaded: false,
            },
        })
    }

    /// Loads the keys of a configuration. A key for results that cannot be used stays, and the new keyset decides whether it may seal:
    /// results wait otherwise.
    fn reload_keys(&self, config: &Config) -> Result<Loaded<(Keyring, ResultSealer)>, KeyringError> {
        let loaded = reload_keyring(
            || config.reload_keyring(&self.keyring),
            || config.reload_keyset(&self.keyring, SharedKeys::Available),
            &self.keyring,
        )?;
        let Loaded { keys: keyring, fault, keyset_loaded } = loaded;
        let (key, fault) = match config.result_key(&keyring) {
            Ok(key) => (key, fault),
            Err(error) => (self.results.key().under(&keyring), fault.or(Some(error))),
        };
        Ok(Loaded { keys: (keyring, self.results.with_key(key)), fault, keyset_loaded })
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

    fn policy_change(&self, former: &Self) -> Option<String> {
        let (before, after) = (former.policy.fingerprint(), self.policy.fingerprint());
        (before != after).then(|| format!("policy {before} is replaced by {after}"))
    }

    fn policy_fault(&self) -> Option<&FileError> {
        self.policy_fault.as_ref()
    }
}
