//! The interface of a replay ledger.

use std::fmt;
use std::time::Duration;

use super::{Decision, ReplayQuery, TaskKey};
use crate::state::StateError;
use crate::time::UnixMillis;

/// A record of tasks that outlives workers and is shared by all workers that serve the same queues.
///
/// Every call takes a batch, is atomic, and is on disk before it returns. Calls block: async code calls them in
/// `spawn_blocking`. Answers are in the order of the arguments.
///
/// An *owner* identifies one run of one worker process. A process that restarts takes a new name; under the old one it
/// would own locks whose expiry it must wait for.
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Returns the time by the clock that measures locks. All processes that share the ledger read the same clock. Other times,
    /// such as [`ReplayQuery::expires_at`], are those of the host's clock.
    fn now(&self) -> UnixMillis {
        UnixMillis::now()
    }

    /// Decides for each query whether the task may run now, and locks those that may for `owner` until `until`.
    ///
    /// A second copy of a task within one batch is judged after the first, so it is [`Decision::InProgress`]. A lock that
    /// expired by `now` counts as a lost worker, and its attempt counts; but before [`begin`](Self::begin) neither does if it is the
    /// last attempt, or if the task must not lose another worker.
    ///
    /// # Errors
    /// [`StateError`]; nothing was locked and nothing may run.
    fn acquire(
        &self,
        owner: &str,
        now: UnixMillis,
        until: UnixMillis,
        queries: &[ReplayQuery],
    ) -> Result<Vec<Decision>, StateError>;

    /// Extends locks to `until`. Returns which are still held by `owner`. An expired lock that no other owner acquired is
    /// still held.
    ///
    /// # Errors
    /// [`StateError`]; no lock was extended.
    fn extend(&self, owner: &str, keys: &[TaskKey], until: UnixMillis) -> Result<Vec<bool>, StateError>;

    /// Records that the handler of a last attempt begins, or that of a task that must not lose another worker. Returns which locks
    /// `owner` holds: only these handlers may begin.
    ///
    /// # Errors
    /// [`StateError`]; nothing was recorded, and no handler may begin.
    fn begin(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError>;

    /// Records that the handler succeeded, and stores the outcome until the broker has it. From then on the task never
    /// runs again. Returns for which tasks `owner` held the lock; for the others nothing was recorded.
    ///
    /// # Errors
    /// [`StateError`]; nothing was recorded.
    fn finish(&self, owner: &str, outcomes: &[(TaskKey, Vec<u8>)]) -> Result<Vec<bool>, StateError>;

    /// Records that the broker stored the end of finished tasks, and deletes their outcomes. Any owner may call this.
    /// Returns which tasks are done now. Idempotent.
    ///
    /// # Errors
    /// [`StateError`]; nothing was recorded.
    fn settled(&self, keys: &[TaskKey]) -> Result<Vec<bool>, StateError>;

    /// Releases locks after a failed attempt. The next delivery is legal while the issuer allows more attempts, also of
    /// an archived task that an operator runs again. Returns which locks `owner` held.
    ///
    /// # Errors
    /// [`StateError`]; no lock was released.
    fn release(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError>;

    /// Releases locks of tasks whose handler did not begin: the attempt is not counted. Returns which locks `owner` held.
    ///
    /// # Errors
    /// [`StateError`]; no lock was released.
    fn give_back(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError>;

    /// Forgets unsealed tasks that have ended: their ids may be used again, with all attempts. Returns which locks `owner` held.
    ///
    /// # Errors
    /// [`StateError`]; no task was forgotten.
    fn forget(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, StateError>;

    /// Forgets up to `limit` tasks that expired more than [`SWEEP_MARGIN`] before `now`, in order of their expiry, and
    /// raises [`LedgerStats::floor`] above them. A lock that has not expired is never forgotten, and an outcome that the
    /// broker has not stored only after [`OUTCOME_MARGIN`]. Returns how many were forgotten.
    ///
    /// # Errors
    /// [`StateError`]; nothing was forgotten.
    fn sweep(&self, now: UnixMillis, limit: usize) -> Result<usize, StateError>;

    /// Returns what is recorded. Reads every row: for operators and metrics, not for each task.
    ///
    /// # Errors
    /// [`StateError`].
    fn stats(&self) -> Result<LedgerStats, StateError>;
}

/// Maximum length of an outcome, in bytes: a sealed result and its framing.
pub const MAX_OUTCOME_LEN: usize = 17 * 1024 * 1024;

/// How long a task is recorded past [`ReplayQuery::expires_at`].
///
/// The clocks of hosts differ by less, so that a task that one host still accepts is not forgotten by another. Do not raise
/// a worker's tolerance for clock skew by more while its ledger has rows.
pub const SWEEP_MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long an outcome that the broker has not stored is recorded past [`ReplayQuery::expires_at`].
///
/// A result may wait for its key, or for the broker, until long after its task expired. If it were forgotten, the task would
/// look like one that never succeeded.
pub const OUTCOME_MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What a ledger has recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerStats {
    /// 128 random bits drawn when the ledger was created. A new id means a new ledger: what the old one had recorded can be
    /// replayed until it expires.
    pub id: [u8; 16],
    /// When it was created, by the clock of the host that created it.
    pub created_at: UnixMillis,
    /// Unknown tasks that expire by this time are refused as [`LedgerRefusal::Replayed`](super::LedgerRefusal::Replayed),
    /// since tasks that expire by then have been forgotten. It only rises, and never past the time of a sweep, so that a
    /// clock that is set back cannot make a forgotten task run again.
    pub floor: UnixMillis,
    /// Number of locked tasks; the lock may have expired.
    pub locked: u64,
    /// Number of tasks that may run again.
    pub waiting: u64,
    /// Number of tasks that succeeded and are not settled.
    pub finished: u64,
    /// Number of settled tasks.
    pub done: u64,
}
