//! The current keys of a client or worker that runs: replaced as a whole, used as a snapshot.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that is replaced while it is in use. Users hold a snapshot of it.
#[derive(Debug)]
pub(crate) struct Live<T>(RwLock<Arc<T>>);

impl<T> Live<T> {
    /// Creates the handle of a first value.
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// Returns the current value. It stays the same for the caller when it is replaced.
    pub(crate) fn snapshot(&self) -> Arc<T> {
        // The lock is held for one statement: no panic leaves half of a value.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
