//! The replay ledger: which tasks ran, are running or may run again, remembered where the queue cannot reach.
//!
//! A queue hands the same sealed bytes out again for good reasons (a retry, a lost worker, an operator) and
//! for bad ones (somebody with write access kept a copy). The signature cannot tell the two apart; this can.
//! A worker asks [`Ledger::acquire`] for every verified task before it runs and tells the ledger how the run
//! ended. The state of one task, by issuer and task id:
//!
//! ```text
//!           acquire                finish                settled
//! (unknown) ───────▶ claimed ───────────────▶ finished ─────────▶ done ──▶ (forgotten by sweep)
//!                     │   ▲
//!            release, │   │ acquire
//!          give_back  ▼   │
//!                    waiting
//! ```
//!
//! A ledger that cannot answer is an error, and a caller that gets an error runs nothing.

use std::fmt;
use std::time::Duration;

use crate::time::UnixMillis;

pub use self::error::LedgerError;
pub use self::sqlite::SqliteLedger;

mod decision;
mod error;
mod sqlite;
mod statements;
#[cfg(test)]
mod tests;

/// A memory of tasks that outlives workers and is shared by all that serve the same queues.
///
/// Every call takes a batch, is carried out whole or not at all, and is on disk before it returns. Calls
/// block: from async code they go through `spawn_blocking`. Answers stand in the order asked.
///
/// An *owner* names one run of one worker process. A process that starts again takes a new name, or it would
/// pass for the one whose claims it must wait for.
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Decides for each sighting whether it may run now, and claims those that may for `owner` until `until`.
    ///
    /// A second copy of a task within one batch is judged after the first, so it is
    /// [`Decision::InProgress`]. A claim that ran out by `now` counts as a lost worker.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing was claimed and nothing may run.
    fn acquire(
        &self,
        owner: &str,
        now: UnixMillis,
        until: UnixMillis,
        queries: &[ReplayQuery],
    ) -> Result<Vec<Decision>, LedgerError>;

    /// Moves the end of claims to `until`; answers which are still this owner's. A claim that ran out but was
    /// given to nobody else is still the owner's.
    ///
    /// # Errors
    /// [`LedgerError`]; no claim was moved.
    fn extend(&self, owner: &str, keys: &[TaskKey], until: UnixMillis) -> Result<Vec<bool>, LedgerError>;

    /// Records that the handler ended well and keeps `outcome` until the broker has it. From here on the task
    /// never runs again. Answers whether the claim was still this owner's; if not, nothing was recorded.
    ///
    /// # Errors
    /// [`LedgerError`]; after [`LedgerError::OutcomeTooLong`] and every other error nothing was recorded.
    fn finish(&self, owner: &str, outcomes: &[(TaskKey, Vec<u8>)]) -> Result<Vec<bool>, LedgerError>;

    /// Records that the broker has stored the end of finished tasks and drops their outcomes. Whoever settled
    /// may say so, not only the owner of the run. Answers which tasks are done now.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing was recorded. Repeating the call is harmless.
    fn settled(&self, keys: &[TaskKey]) -> Result<Vec<bool>, LedgerError>;

    /// Ends claims after a failed attempt. The next delivery of the task is legal as long as its issuer allows more
    /// attempts: an archived task, too, that an operator runs again. Returns which claims were still this owner's.
    ///
    /// # Errors
    /// [`LedgerError`]; no claim was ended.
    fn release(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, LedgerError>;

    /// Ends claims of tasks that were put back unrun: the attempt is not counted. Answers which claims were
    /// still this owner's.
    ///
    /// # Errors
    /// [`LedgerError`]; no claim was ended.
    fn give_back(&self, owner: &str, keys: &[TaskKey]) -> Result<Vec<bool>, LedgerError>;

    /// Forgets up to `limit` tasks that expired more than [`SWEEP_MARGIN`] before `now`, those that expired
    /// first before others, and raises [`LedgerStats::floor`] above them. A live claim is never forgotten, an
    /// outcome that the queue has not taken only after [`OUTCOME_MARGIN`]. Answers how many were forgotten.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing was forgotten.
    fn sweep(&self, now: UnixMillis, limit: usize) -> Result<usize, LedgerError>;

    /// What is remembered. Reads every row: for an operator and for metrics, not for each task.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn stats(&self) -> Result<LedgerStats, LedgerError>;
}

/// The longest outcome a ledger keeps: a sealed result and its framing.
pub const MAX_OUTCOME_LEN: usize = 17 * 1024 * 1024;

/// How long a task is remembered past [`ReplayQuery::expires_at`].
///
/// Hosts disagree about the time by less, so a task that one of them still takes for valid is not forgotten
/// by another. A worker's tolerance for clock skew must not be raised by more while its ledger has rows.
pub const SWEEP_MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long an outcome that the queue has not taken is remembered past [`ReplayQuery::expires_at`].
///
/// A result may have to wait for its key, or for the queue, until long after its task expired. Forgotten, the task would
/// pass for one that was never done.
pub const OUTCOME_MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What names a task for ever: its issuer and the id the issuer gave it. Both are signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// Who sealed it.
    pub issuer: String,
    /// Task id.
    pub task_id: [u8; 16],
}

/// A verified task that somebody wants to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayQuery {
    /// Who sealed it.
    pub issuer: String,
    /// Task id.
    pub task_id: [u8; 16],
    /// SHA-256 of the whole envelope: two envelopes with one id are a conflict, not a redelivery.
    pub digest: [u8; 32],
    /// When no worker would accept it any more: its expiry and the tolerance for clock skew.
    pub expires_at: UnixMillis,
    /// How often it may be started, the first time included; signed by the issuer.
    pub max_attempts: u32,
    /// How long after it was first claimed it may be started; signed by an issuer that has no clock to set an expiry by.
    pub ttl: Option<Duration>,
}

impl ReplayQuery {
    /// What names the task.
    #[must_use]
    pub fn key(&self) -> TaskKey {
        TaskKey { issuer: self.issuer.clone(), task_id: self.task_id }
    }
}

/// What a worker is to do with a task it sighted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Run it: nobody has started it before. The claim is the caller's.
    FirstRun,
    /// Run it again: earlier attempts failed or their worker was lost. The claim is the caller's.
    Redelivery {
        /// Which attempt this is, from 2.
        attempt: u32,
    },
    /// It ran to its end and the broker never heard of it: settle again, do not run.
    Finished {
        /// What [`Ledger::finish`] was given.
        outcome: Vec<u8>,
    },
    /// Another run has a live claim: leave the task alone.
    InProgress {
        /// When that claim runs out unless it is extended.
        until: UnixMillis,
    },
    /// Never run it.
    Refused(LedgerRefusal),
}

/// Why a task must not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerRefusal {
    /// It is done, or it expires so early ([`LedgerStats::floor`]) that nobody can know any more whether it is.
    Replayed,
    /// Its issuer and id are taken by another envelope.
    Conflict,
    /// It was started as often as its issuer allows.
    AttemptsExhausted,
    /// Its time to live has passed since it was first claimed.
    Expired,
    /// It took as many workers down as [`MAX_CRASHES`](crate::broker::MAX_CRASHES) allows.
    Poisonous {
        /// Workers lost while they ran it.
        crashes: u32,
    },
}

/// What a ledger remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerStats {
    /// 128 random bits drawn when the ledger was made. Another id than yesterday is another ledger: whatever
    /// the old one knew can be replayed until it expires.
    pub id: [u8; 16],
    /// When it was made, by the clock of the host that made it.
    pub created_at: UnixMillis,
    /// Unknown tasks that expire by this time are refused as [`LedgerRefusal::Replayed`], since tasks that
    /// expire by then have been forgotten. It only ever rises, and never past the time of a sweep, so that a
    /// clock that is set back cannot make a forgotten task run again.
    pub floor: UnixMillis,
    /// Tasks with a claim, live or run out.
    pub claimed: u64,
    /// Tasks that may be delivered again.
    pub waiting: u64,
    /// Tasks that ended well and are not settled.
    pub finished: u64,
    /// Tasks that are settled.
    pub done: u64,
}
