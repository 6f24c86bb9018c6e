//! The limits of the archive: how many tasks that failed or were refused a queue keeps, and for how long.

use std::time::Duration;

/// The limits of the archive of each queue. [`Broker::tidy`](super::Broker::tidy) deletes the oldest tasks beyond them, and
/// counts what it deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct ArchiveLimits {
    /// Maximum number of archived tasks.
    pub tasks: u64,
    /// How long an archived task is kept.
    pub age: Duration,
}

/// The limits of asynq.
impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { tasks: 10_000, age: Duration::from_secs(90 * 86_400) }
    }
}
