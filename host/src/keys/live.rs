//! The current keys of a client or worker that runs: replaced as a whole, used as a snapshot.

use std::sync::{Arc, PoisonError, RwLock};

pub(crate) use self::load::{Loaded, reload_keyring};
pub(crate) use self::reload::{KeyGeneration, POLL, Reloader, Trigger};

mod age;
mod change;
mod ends;
mod load;
mod reload;

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

    /// Replaces the value for all later snapshots.
    pub(crate) fn replace(&self, value: T) {
        let value = Arc::new(value);
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *current, value);
        drop(current);
        // Outside of the lock: the last user of keys wipes them.
        drop(former);
    }
}
