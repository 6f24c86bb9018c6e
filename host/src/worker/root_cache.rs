//! Roots of batches whose signature was verified, shared by the threads that verify.

use std::sync::Mutex;

use taskseal_core::batch::{BatchRootCache, RootCache, RootId};

use crate::lock::lock;

/// Number of roots that are kept, 32 bytes each.
const CAPACITY: usize = 256;

/// The roots that were verified last. The lock is not held while a signature is verified: two threads that find the same
/// new root at once both verify it.
#[derive(Debug, Default)]
pub(super) struct SharedRootCache(Mutex<BatchRootCache<CAPACITY>>);

impl RootCache for &SharedRootCache {
    fn contains(&mut self, root: &RootId) -> bool {
        lock(&self.0).contains(root)
    }

    fn insert(&mut self, root: RootId) {
        lock(&self.0).insert(root);
    }
}
