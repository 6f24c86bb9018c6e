//! Ownership of session handles, which a library may assign again after a loss.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sync::lock;

/// The latest owner of each session handle. A library may assign the handle of a lost session to a new one, which the
/// owner of the lost session must not close.
#[derive(Debug, Default)]
pub(crate) struct SessionTable(Mutex<OpenSession>);

#[derive(Debug, Default)]
struct OpenSession {
    count: u64,
    owners: HashMap<usize, u64>,
}

impl SessionTable {
    /// Records a new session and returns the number of its owner.
    pub(crate) fn insert(&self, handle: usize) -> u64 {
        let mut opened = lock(&self.0);
        opened.count += 1;
        let owner = opened.count;
        opened.owners.insert(handle, owner);
        owner
    }

    /// Removes a session. Returns false if the handle has a new owner.
    pub(crate) fn remove(&self, handle: usize, owner: u64) -> bool {
        let mut opened = lock(&self.0);
        let held = opened.owners.get(&handle) == Some(&owner);
        if held {
            opened.owners.remove(&handle);
        }
        held
    }
}

/// Counts the times the library reported a lost session of a token. After a report, no older session is trusted.
#[derive(Debug, Default)]
pub(crate) struct SessionLosses(AtomicU64);

impl SessionLosses {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Records that a session opened at the count `seen` is lost.
    pub(crate) fn record(&self, seen: u64) {
        // Several threads may notice one loss; it counts once.
        let _ = self.0.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Acquire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_owner_of_a_reassigned_handle_closes_it() {
        let table = SessionTable::default();
        let lost = table.insert(7);
        let other = table.insert(8);
        let new = table.insert(7);

        assert!(!table.remove(7, lost));
        assert!(table.remove(7, new) && table.remove(8, other));
        assert!(!table.remove(7, new), "it was removed twice");
    }
}
