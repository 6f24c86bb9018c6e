//! The keys of a client at one moment: those that open results, and the key that seals tasks.

use crate::keys::{Keyring, KeyringError, SealingKey};

/// Keys that were loaded together.
#[derive(Debug)]
pub(super) struct ClientKeys {
    /// Verifies and decrypts results.
    pub(super) keyring: Keyring,
    /// Seals tasks, or why nothing can be sealed: a client that only reads results needs no key.
    pub(super) sealing: Result<SealingKey, KeyringError>,
}

impl ClientKeys {
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
