//! Handlers that this host cannot start: how long their tasks are put off.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::lock::lock;
use crate::retry::Backoff;

/// Consecutive failures to start, by task type.
#[derive(Debug, Default)]
pub(super) struct StartFailures(Mutex<HashMap<String, u32>>);

/// A failure to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartFailure {
    /// How long the task is put off.
    pub(super) delay: Duration,
    /// Number of consecutive failures of this type.
    pub(super) count: u32,
}

/// Maximum delay of a task whose handler cannot be started. A deployment that replaces the program takes about as long.
const LONGEST: Duration = Duration::from_secs(60);

impl StartFailures {
    /// Counts a failure. The delay starts with `first`.
    pub(super) fn add(&self, task_type: &str, first: Duration) -> StartFailure {
        let mut counts = lock(&self.0);
        let count = counts.entry(task_type.to_owned()).or_default();
        *count = count.saturating_add(1);
        let backoff = Backoff { first, longest: LONGEST.max(first) };
        StartFailure { delay: backoff.delay(*count), count: *count }
    }

    /// Records that a handler of this type was started.
    pub(super) fn reset(&self, task_type: &str) {
        lock(&self.0).remove(task_type);
    }
}

impl StartFailure {
    /// Returns whether to report it: the first one, then ever more rarely.
    pub(super) const fn is_reported(self) -> bool {
        self.count.is_power_of_two()
    }
}
