//! Roots whose signature was verified, so that the other tasks of a batch cost hashes only.

use heapless::Vec;
use sha2::{Digest, Sha256};

use crate::keys::VerifyingKey;

/// Names a signed root: SHA-256 of the key, the receipt's protected header, the root and the signature.
///
/// Because the key itself is part of it, no root outlives a change of what its kid stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootId([u8; 32]);

impl RootId {
    pub(crate) fn new(key: &VerifyingKey, header: &[u8], root: &[u8; 32], signature: &[u8; 64]) -> Self {
        // Only the header's length varies: no two quadruples hash the same bytes.
        let hash = Sha256::new().chain_update(key.to_point()).chain_update(root).chain_update(signature);
        Self(hash.chain_update(header).finalize().into())
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Remembers roots whose signature was verified.
///
/// Whether the key is still enabled, and what it may vouch for, is checked for every task all the same: a root in
/// the cache spares the arithmetic, never a decision.
///
/// # Security
/// It must answer yes for nothing but what was inserted, must be bounded, and must be out of the reach of whoever
/// writes to the queue.
pub trait RootCache {
    /// Whether the root was verified before.
    fn contains(&mut self, root: &RootId) -> bool;

    /// Remembers a root that has just been verified. Roots that were not are never handed in: a flood of forged
    /// ones displaces nothing.
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

/// No cache: every task of a batch costs a verification of its own.
impl RootCache for () {
    fn contains(&mut self, _: &RootId) -> bool {
        false
    }

    fn insert(&mut self, _: RootId) {}
}

/// The last `N` roots used, 32 bytes each.
#[derive(Clone, Debug, Default)]
pub struct BatchRootCache<const N: usize> {
    /// Most lately used last.
    roots: Vec<RootId, N>,
}

impl<const N: usize> BatchRootCache<N> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { roots: Vec::new() }
    }
}

impl<const N: usize> RootCache for BatchRootCache<N> {
    fn contains(&mut self, root: &RootId) -> bool {
        // Public values: the time it takes tells which batches are in work, which the broker knows.
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
        // With N = 0 there is no place, and nothing is remembered.
        let _ = self.roots.push(root);
    }
}

#[cfg(test)]
mod tests;
