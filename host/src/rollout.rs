//! The record of how task types change from unsealed to sealed tasks: what workers have seen, and the strictest mode of each type.
//!
//! Workers count in memory and store the counts once in a few seconds. The strictest mode of a type is stored before the worker
//! runs its first task, so that a policy file that loosens it is refused at the next start. Types are counted by the pattern of
//! their rule: an attacker who can write to the queue cannot add rows. The modes, and which types
//! were sealed, are stored twice, so that the loss of one file loosens none.

mod copy;
mod counts;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use taskseal_core::Refusal;

use self::counts::Pending;
pub(crate) use self::counts::SealForm;
pub use self::counts::{QueueCounts, RefusalCount, TypeReport};
use self::store::{Store, find_loosened, includes};
use crate::lock::lock;
use crate::policy::Mode;
use crate::queue::QueueName;
use crate::state::StateError;
use crate::time::UnixMillis;

/// What workers have seen of each task type with a rule, in one SQLite file that the processes of a host share, or in memory.
#[derive(Debug, Default)]
pub struct Rollout {
    store: Option<Store>,
    pending: Mutex<Pending>,
    /// Queue and pattern of the types of which a sealed task was accepted.
    sealed: RwLock<HashSet<(QueueName, String)>>,
    /// The strictest mode of each pattern that this process has used.
    strictest: RwLock<HashMap<String, Mode>>,
}

/// A mode of a policy file that is looser than one that this host has used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loosened {
    /// Pattern of the task type.
    pub pattern: String,
    /// Mode in the policy file.
    pub mode: Mode,
    /// The pattern that the stricter mode was used for: the same, or one that includes it.
    pub recorded_pattern: String,
    /// The stricter mode.
    pub strictest: Mode,
}

impl Rollout {
    /// Opens the record at `path`, or creates it. Modes that it has lost and its copy has are recorded again.
    ///
    /// # Errors
    /// [`StateError`]; [`StateError::Unusable`] also if the record is lost and its copy is damaged.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let store = Store::open(path)?;
        let sealed = RwLock::new(store.sealed()?);
        Ok(Self { store: Some(store), sealed, ..Self::default() })
    }

    /// Opens the record at `path` to read it. If there is none, nothing is created, and what is known are the modes of its copy.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Self, StateError> {
        let store = Store::open_existing(path)?;
        let (modes, sealed) = match &store {
            Some(store) => (store.modes()?, store.sealed()?),
            None => {
                let copy = store::read_copy(path)?;
                (copy.modes, copy.sealed.into_iter().collect())
            }
        };
        let rollout = Self { store, sealed: RwLock::new(sealed), ..Self::default() };
        rollout.remember(modes);
        Ok(rollout)
    }

    /// Records the modes of these patterns, each of which may be stricter than before. Returns those that are looser: nothing is
    /// recorded then.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn adopt(&self, modes: &[(String, Mode)]) -> Result<Vec<Loosened>, StateError> {
        let recorded = match &self.store {
            Some(store) => store.adopt(modes)?,
            None => Ok(modes.to_vec()),
        };
        match recorded {
            Ok(strictest) => {
                self.remember(strictest);
                Ok(Vec::new())
            }
            Err(loosened) => Ok(loosened),
        }
    }

    /// Returns which of these modes are looser than those that this process has used or read. It records nothing.
    pub(crate) fn looser(&self, modes: &[(String, Mode)]) -> Vec<Loosened> {
        find_loosened(&self.known_modes(), modes)
    }

    /// Returns whether the mode of a type is known.
    pub(crate) fn knows_modes(&self) -> bool {
        !self.known_modes().is_empty()
    }

    fn known_modes(&self) -> Vec<(String, Mode)> {
        let known = self.strictest.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(pattern, mode)| (pattern.clone(), *mode)).collect()
    }

    /// Records the modes of a policy that replaces the one of a running worker, as [`adopt`](Self::adopt) does. A mode is also
    /// looser if it is looser than one that this process uses, although an operator has allowed it for the next start.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn adopt_live(
        &self,
        modes: &[(String, Mode)],
        without_rule: &[(String, Mode)],
    ) -> Result<Vec<Loosened>, StateError> {
        let all: Vec<(String, Mode)> = modes.iter().chain(without_rule).cloned().collect();
        let loosened = self.looser(&all);
        if !loosened.is_empty() {
            return Ok(loosened);
        }
        // What is recorded already needs no record, which may be unavailable while a key must be excluded.
        let known: HashMap<String, Mode> = self.known_modes().into_iter().collect();
        if modes.iter().all(|(pattern, mode)| known.get(pattern) == Some(mode)) {
            return Ok(Vec::new());
        }
        // A type that has lost its rule is not recorded as strict before the next start: the file may be half-written.
        self.adopt(modes)
    }

    /// Records the modes that are stricter than those that this process has used, for example since an end date. The others are
    /// not recorded again: the operator may have allowed a looser mode for the next start.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn tighten(&self, modes: Vec<(String, Mode)>) -> Result<(), StateError> {
        let stricter: Vec<(String, Mode)> = {
            let known = self.strictest.read().unwrap_or_else(PoisonError::into_inner);
            let is_stricter =
                |(pattern, mode): &(String, Mode)| known.get(pattern).is_none_or(|used| mode > used);
            modes.into_iter().filter(is_stricter).collect()
        };
        if stricter.is_empty() {
            return Ok(());
        }
        if let Some(store) = &self.store {
            store.tighten(&stricter)?;
        }
        self.remember(stricter);
        Ok(())
    }

    /// Remembers the modes that this process uses.
    fn remember(&self, modes: Vec<(String, Mode)>) {
        let mut known = self.strictest.write().unwrap_or_else(PoisonError::into_inner);
        for (pattern, mode) in modes {
            let entry = known.entry(pattern).or_insert(mode);
            *entry = mode.max(*entry);
        }
    }

    /// Records that a worker may start with any mode for a pattern. Returns the modes that were recorded of it, and of patterns that
    /// include it: these stay.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn loosen(&self, pattern: &str) -> Result<Vec<(String, Mode)>, StateError> {
        self.store.as_ref().map_or_else(|| Ok(Vec::new()), |store| store.loosen(pattern))
    }

    /// Returns the mode that holds for a pattern: `mode`, unless this process has used a stricter one.
    #[must_use]
    pub fn effective(&self, pattern: &str, mode: Mode) -> Mode {
        let known = self.strictest.read().unwrap_or_else(PoisonError::into_inner);
        known.get(pattern).map_or(mode, |strictest| mode.max(*strictest))
    }

    /// Returns whether a sealed task, or a signed one with a clear body, was accepted from a queue by a rule that includes a type.
    /// The rule may have been renamed, split or merged since: that does not let unsealed tasks run again.
    #[must_use]
    pub fn has_sealed(&self, queue: &QueueName, task_type: &str) -> bool {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        sealed.iter().any(|(other, pattern)| other == queue && includes(pattern, task_type))
    }

    /// Records that a sealed task was accepted, or a signed one with a clear body, and counts it in its first attempt.
    pub(crate) fn count_sealed(
        &self,
        queue: &QueueName,
        pattern: &str,
        form: SealForm,
        attempt: u32,
        at: UnixMillis,
    ) {
        let entry = (queue.clone(), pattern.to_owned());
        let is_known = self.sealed.read().unwrap_or_else(PoisonError::into_inner).contains(&entry);
        if !is_known {
            self.sealed.write().unwrap_or_else(PoisonError::into_inner).insert(entry);
        }
        lock(&self.pending).count_sealed(queue, pattern, form, attempt, at);
    }

    /// Counts an unsealed task that runs.
    pub(crate) fn count_unsealed(&self, queue: &QueueName, pattern: &str, id: &str, at: UnixMillis) {
        lock(&self.pending).count_unsealed(queue, pattern, id, at);
    }

    /// Counts a refused task.
    pub(crate) fn count_refused(&self, pattern: &str, refusal: Refusal, at: UnixMillis) {
        lock(&self.pending).count_refused(pattern, refusal.code(), at);
    }

    /// Stores what was counted since the last call.
    ///
    /// # Errors
    /// [`StateError`]; the counts are kept for the next call.
    pub fn flush(&self) -> Result<(), StateError> {
        let Some(store) = &self.store else { return Ok(()) };
        let pending = std::mem::take(&mut *lock(&self.pending));
        if pending.is_empty() {
            return Ok(());
        }
        let has_sealed = pending.has_sealed();
        store.add(&pending).inspect_err(|_| lock(&self.pending).merge(pending))?;
        // What was added must not be counted again, although the copy cannot be written.
        if has_sealed { store.write_copy() } else { Ok(()) }
    }

    /// Reads the types of which other processes of this host have accepted sealed tasks.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn refresh(&self) -> Result<(), StateError> {
        if let Some(store) = &self.store {
            let found = store.sealed()?;
            self.sealed.write().unwrap_or_else(PoisonError::into_inner).extend(found);
        }
        Ok(())
    }

    /// Returns what is stored about each pattern, in their order.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn report(&self) -> Result<Vec<TypeReport>, StateError> {
        self.store.as_ref().map_or_else(|| Ok(Vec::new()), Store::report)
    }
}
