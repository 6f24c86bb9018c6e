//! The decision about one query, independent of storage.

use super::{LedgerRefusal, ReplayQuery};
use crate::time::UnixMillis;

/// Number of lost workers after which a task is refused instead of run again.
pub(crate) const MAX_CRASHES: u32 = 3;

/// Returns whether the loss of the worker would end a task in its attempt `attempt`, after `crashes` lost workers. The attempt
/// counts from [`Ledger::begin`](super::Ledger::begin) then: a worker may be lost while the task still waits for a handler.
pub(crate) const fn is_final(attempt: u32, crashes: u32, max_attempts: u32) -> bool {
    attempt >= max_attempts || crashes.saturating_add(1) >= MAX_CRASHES
}

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
    /// `begun` is whether the attempt counts: its handler may have begun.
    Locked {
        until: UnixMillis,
        begun: bool,
    },
    Waiting,
    Finished,
    Done,
}

/// What a query results in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// Lock and run the task, and store these values. `attempts` includes this one.
    Run { attempts: u32, crashes: u32, begun: bool, first_seen_at: UnixMillis, expires_at: UnixMillis },
    /// The task succeeded: settle it.
    Settle,
    /// Another run holds the lock.
    InProgress { until: UnixMillis },
    /// Refuse the task; store nothing.
    Refuse(LedgerRefusal),
    /// Refuse the task, and store that its worker was lost and that it waits.
    Lost { attempts: u32, crashes: u32, reason: LedgerRefusal },
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
            _ => run(0, 0, now, query.expires_at, query),
        };
    };
    if entry.digest != query.digest {
        return Transition::Refuse(LedgerRefusal::Conflict);
    }
    match entry.state {
        StoredState::Locked { until, .. } if until > now => Transition::InProgress { until },
        StoredState::Locked { begun, .. } => {
            let lost = if begun {
                StoredTask { crashes: entry.crashes.saturating_add(1), ..entry }
            } else {
                StoredTask { attempts: entry.attempts.saturating_sub(1), ..entry }
            };
            match refusal(&lost, query, now) {
                Some(reason) => Transition::Lost { attempts: lost.attempts, crashes: lost.crashes, reason },
                None => run_again(&lost, query, now),
            }
        }
        StoredState::Waiting => match refusal(&entry, query, now) {
            Some(reason) => Transition::Refuse(reason),
            None => run_again(&entry, query, now),
        },
        StoredState::Finished => Transition::Settle,
        StoredState::Done => Transition::Refuse(LedgerRefusal::Replayed),
    }
}

/// Returns why no further attempt may begin.
fn refusal(entry: &StoredTask, query: &ReplayQuery, now: UnixMillis) -> Option<LedgerRefusal> {
    // Without an attempt the time to live has not begun.
    if entry.attempts > 0 && query.ttl.is_some_and(|ttl| entry.first_seen_at.plus(ttl) <= now) {
        return Some(LedgerRefusal::Expired);
    }
    let crashes = entry.crashes;
    if crashes >= MAX_CRASHES {
        return Some(LedgerRefusal::Poisonous { crashes });
    }
    (entry.attempts >= query.max_attempts).then_some(LedgerRefusal::AttemptsExhausted)
}

fn run_again(entry: &StoredTask, query: &ReplayQuery, now: UnixMillis) -> Transition {
    let first_seen_at = if entry.attempts == 0 { now } else { entry.first_seen_at };
    // A worker with a greater tolerance for skew accepts the task for longer.
    let expires_at = entry.expires_at.max(query.expires_at);
    run(entry.attempts, entry.crashes, first_seen_at, expires_at, query)
}

/// Begins an attempt after `earlier` ones.
fn run(
    earlier: u32,
    crashes: u32,
    first_seen_at: UnixMillis,
    expires_at: UnixMillis,
    query: &ReplayQuery,
) -> Transition {
    let attempts = earlier.saturating_add(1);
    let begun = !is_final(attempts, crashes, query.max_attempts);
    Transition::Run { attempts, crashes, begun, first_seen_at, expires_at }
}
