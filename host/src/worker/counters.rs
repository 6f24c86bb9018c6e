//! Counters of a worker.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use taskseal_core::Refusal;

use super::event::Event;
use crate::lock::lock;

/// The live counters of a running worker.
#[derive(Debug, Default)]
pub struct Counters {
    started: AtomicU64,
    succeeded: AtomicU64,
    settled_again: AtomicU64,
    retried: AtomicU64,
    archived: AtomicU64,
    given_back: AtomicU64,
    lease_lost: AtomicU64,
    dropped: AtomicU64,
    recovered: AtomicU64,
    poisonous: AtomicU64,
    broker_failures: AtomicU64,
    state_failures: AtomicU64,
    key_unavailable: AtomicU64,
    gave_up: AtomicU64,
    results_waiting: AtomicU64,
    refused: Mutex<BTreeMap<Refusal, u64>>,
}

/// A snapshot of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Attempts started.
    pub started: u64,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks settled without a run because they had succeeded before.
    pub settled_again: u64,
    /// Attempts that failed and are retried.
    pub retried: u64,
    /// Tasks that failed permanently.
    pub archived: u64,
    /// Tasks given back or deferred.
    pub given_back: u64,
    /// Leases lost.
    pub lease_lost: u64,
    /// Ids dropped: those without a task, and duplicates.
    pub dropped: u64,
    /// Tasks recovered from lost workers.
    pub recovered: u64,
    /// Tasks archived because they crashed workers.
    pub poisonous: u64,
    /// Failed calls of the broker.
    pub broker_failures: u64,
    /// Failed calls of the ledger or the quarantine.
    pub state_failures: u64,
    /// Failed uses of a key in a token or service.
    pub key_unavailable: u64,
    /// Queues given up by a worker that ends with its queues, because they did not respond.
    pub gave_up: u64,
    /// Tasks that have run and whose results now wait for the key.
    pub results_waiting: u64,
    /// Refused tasks by reason.
    pub refused: BTreeMap<Refusal, u64>,
}

impl Tally {
    /// Returns the number of refused tasks.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }
}

impl Counters {
    /// Counts an event.
    pub(super) fn count(&self, event: &Event) {
        let (counter, by) = match event {
            Event::Started { .. } => (&self.started, 1),
            Event::Succeeded { .. } => (&self.succeeded, 1),
            Event::SettledAgain { .. } => (&self.settled_again, 1),
            Event::Retried { .. } => (&self.retried, 1),
            Event::Archived { .. } => (&self.archived, 1),
            Event::GivenBack { .. } => (&self.given_back, 1),
            Event::LeaseLost { .. } => (&self.lease_lost, 1),
            Event::Dropped { count } => (&self.dropped, *count as u64),
            Event::Recovered { count } => (&self.recovered, *count as u64),
            Event::Poisonous { count } => (&self.poisonous, *count as u64),
            Event::BrokerFailed { .. } => (&self.broker_failures, 1),
            Event::StateFailed { .. } => (&self.state_failures, 1),
            Event::KeyUnavailable { .. } => (&self.key_unavailable, 1),
            Event::GaveUp { .. } => (&self.gave_up, 1),
            Event::KeyBack { .. } => return,
            Event::Refused { refusal, .. } => {
                *lock(&self.refused).entry(*refusal).or_default() += 1;
                return;
            }
        };
        counter.fetch_add(by, Ordering::Relaxed);
    }

    /// Counts a task whose result waits for its key.
    pub(super) fn result_waits(&self) {
        self.results_waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the count of a task whose result waited.
    pub(super) fn result_no_longer_waits(&self) {
        self.results_waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns a snapshot of the counters.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            started: read(&self.started),
            succeeded: read(&self.succeeded),
            settled_again: read(&self.settled_again),
            retried: read(&self.retried),
            archived: read(&self.archived),
            given_back: read(&self.given_back),
            lease_lost: read(&self.lease_lost),
            dropped: read(&self.dropped),
            recovered: read(&self.recovered),
            poisonous: read(&self.poisonous),
            broker_failures: read(&self.broker_failures),
            state_failures: read(&self.state_failures),
            key_unavailable: read(&self.key_unavailable),
            gave_up: read(&self.gave_up),
            results_waiting: read(&self.results_waiting),
            refused: lock(&self.refused).clone(),
        }
    }
}
