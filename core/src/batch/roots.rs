//! A cache of batch roots with a verified signature. The other tasks of a cached batch cost hashes only.

use heapless::Vec;
use sha2::{Digest, Sha256};

use crate::keys::VerifyingKey;

/// The identifier of a signed root: SHA-256 of the key, the receipt's protected header, the root and the signature.
///
/// The hash covers the key itself, so a cached root becomes useless when its kid is assigned to another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootId([u8; 32]);

impl RootId {
    pub(crate) fn new(key: &VerifyingKey, header: &[u8], root: &[u8; 32], signature: &[u8; 64]) -> Self {
        // Only the length of the header varies, so different inputs never hash the same bytes.
        let hash = Sha256::new().chain_update(key.to_point()).chain_update(root).chain_update(signature);
        Self(hash.chain_update(header).finalize().into())
    }

    /// Returns the 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Stores batch roots with a verified signature.
///
/// Every task is still checked against the state and the rights of its key. A cached root saves the signature
/// verification and no other check.
///
/// # Security
/// An implementation must report inserted roots only, must be bounded, and must not be accessible to those who can
/// write to the queue.
pub trait RootCache {
    /// Returns whether the root was inserted before.
    fn contains(&mut self, root: &RootId) -> bool;

    /// Inserts a root that has just been verified. Unverified roots are never inserted, so forged receipts cannot
    /// displace entries.
    fn insert(&mut self, root: RootId);
}

impl<C: RootCache + ?Sized> RootCache for &mut C {
    fn contains(&mut self, root: &RootId) -> bool {
        (**self).contains(root)
    }

    fn insert(&mut self, root: RootId) {
        (**self).insert(root);
    }
}

/// No cache: the signature is verified for every task of a batch.
impl RootCache for () {
    fn contains(&mut self, _: &RootId) -> bool {
        false
    }

    fn insert(&mut self, _: RootId) {}
}

/// A cache of the `N` most recently used roots, 32 bytes each.
#[derive(Clone, Debug, Default)]
pub struct BatchRootCache<const N: usize> {
    /// The most recently used root is last.
    roots: Vec<RootId, N>,
}

impl<const N: usize> BatchRootCache<N> {
    /// Creates an empty cache.
    #[must_use]
    pub const fn new() -> Self {
        Self { roots: Vec::new() }
    }
}

impl<const N: usize> RootCache for BatchRootCache<N> {
    fn contains(&mut self, root: &RootId) -> bool {
        // The values are public: the time reveals which batches are in use, which the broker knows.
        let Some(position) = self.roots.iter().rposition(|other| other == root) else { return false };
        if let Some(later) = self.roots.get_mut(position..) {
            later.rotate_left(1);
        }
        true
    }

    fn insert(&mut self, root: RootId) {
        if self.contains(&root) {
            return;
        }
        if self.roots.is_full() && !self.roots.is_empty() {
            self.roots.remove(0);
        }
        // With N = 0 there is no capacity, and nothing is stored.
        let _ = self.roots.push(root);
    }
}

#[cfg(test)]
mod tests;
