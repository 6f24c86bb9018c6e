//! The keys of a worker at one moment. A batch uses one snapshot from verification to decryption; a result is sealed with the
//! current one, because a handler may run for longer than its key may seal.

use super::root_cache::SharedRootCache;
use crate::keys::Keyring;
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
}
