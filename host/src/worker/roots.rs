//! Roots of batches whose signature was verified, shared by the threads that verify.

use std::sync::{Mutex, PoisonError};

use taskseal_core::batch::{BatchRootCache, RootCache, RootId};

/// How many roots are remembered: 32 bytes each.
const REMEMBERED: usize = 256;

/// The roots verified last. Held by nobody while a signature is verified: two threads that meet a new root at once both
/// verify it.
#[derive(Debug, Default)]
pub(super) struct Roots(Mutex<BatchRootCache<REMEMBERED>>);

impl RootCache for &Roots {
    fn contains(&mut self, root: &RootId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(root)
    }

    fn insert(&mut self, root: RootId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(root);
    }
}
