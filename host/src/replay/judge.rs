//! The decision about one query, independent of storage.

use super::{LedgerRefusal, ReplayQuery};
use crate::time::UnixMillis;

/// Number of lost workers after which a task is refused instead of run again.
pub(crate) const MAX_CRASHES: u32 = 3;

/// The record of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredTask {
    pub(super) digest: [u8; 32],
    pub(super) state: StoredState,
    pub(super) attempts: u32,
    pub(super) crashes: u32,
    pub(super) first_seen_at: UnixMillis,
    pub(super) expires_at: UnixMillis,
}

/// The state of a recorded task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoredState {
    Locked { until: UnixMillis },
    Waiting,
    Finished,
    Done,
}

/// What a query results in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// Lock and run the task, and store these numbers, which include this attempt.
    Run { attempts: u32, crashes: u32, expires_at: UnixMillis },
    /// The task succeeded: settle it.
    Settle,
    /// Another run holds the lock.
    InProgress { until: UnixMillis },
    /// Refuse the task; store nothing.
    Refuse(LedgerRefusal),
    /// Refuse the task, and store that its worker was lost and that it waits.
    Lost { crashes: u32, reason: LedgerRefusal },
}

/// What limits the tasks without a record that the ledger admits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Tasks that expire by this time may have been forgotten.
    pub(super) floor: UnixMillis,
    /// Tasks that were issued before may be recorded in a ledger that was lost.
    pub(super) accept_from: UnixMillis,
}

/// Judges one query at `now` about a task with the record `entry`.
pub(super) fn judge(
    entry: Option<StoredTask>,
    query: &ReplayQuery,
    now: UnixMillis,
    bounds: Bounds,
) -> Transition {
    let Some(entry) = entry else {
        return match query {
            ReplayQuery { expires_at, .. } if *expires_at <= bounds.floor => {
                Transition::Refuse(LedgerRefusal::Replayed)
            }
            // A task without a time of issue is as old as the oldest.
            ReplayQuery { issued_at, .. }
                if issued_at.unwrap_or(UnixMillis(i64::MIN)) < bounds.accept_from =>
            {
                Transition::Refuse(LedgerRefusal::OlderThanLedger)
            }
            ReplayQuery { max_attempts: 0, .. } => Transition::Refuse(LedgerRefusal::AttemptsExhausted),
            _ => Transition::Run { attempts: 1, crashes: 0, expires_at: query.expires_at },
        };
    };
    if entry.digest != query.digest {
        return Transition::Refuse(LedgerRefusal::Conflict);
    }
    match entry.state {
        StoredState::Locked { until } if until > now => Transition::InProgress { until },
        StoredState::Locked { .. } => {
            let crashes = entry.crashes.saturating_add(1);
            match refusal(&entry, crashes, query, now) {
                Some(reason) => Transition::Lost { crashes, reason },
                None => run_again(&entry, crashes, query),
            }
        }
        StoredState::Waiting => match refusal(&entry, entry.crashes, query, now) {
            Some(reason) => Transition::Refuse(reason),
            None => run_again(&entry, entry.crashes, query),
        },
        StoredState::Finished => Transition::Settle,
        StoredState::Done => Transition::Refuse(LedgerRefusal::Replayed),
    }
}

/// Returns why no further attempt may begin.
fn refusal(entry: &StoredTask, crashes: u32, query: &ReplayQuery, now: UnixMillis) -> Option<LedgerRefusal> {
    if query.ttl.is_some_and(|ttl| entry.first_seen_at.plus(ttl) <= now) {
        return Some(LedgerRefusal::Expired);
    }
    if crashes >= MAX_CRASHES {
        return Some(LedgerRefusal::Poisonous { crashes });
    }
    (entry.attempts >= query.max_attempts).then_some(LedgerRefusal::AttemptsExhausted)
}

fn run_again(entry: &StoredTask, crashes: u32, query: &ReplayQuery) -> Transition {
    Transition::Run {
        attempts: entry.attempts.saturating_add(1),
        crashes,
        // A worker with a greater tolerance for skew accepts the task for longer.
        expires_at: entry.expires_at.max(query.expires_at),
    }
}
