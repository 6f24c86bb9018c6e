//! Counts of what one run of a worker did.

use std::collections::BTreeMap;
use std::sync::Mutex;

use taskseal_core::Refusal;

use super::event::Event;
use crate::lock::lock;

/// What a worker did: returned by its `run` methods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Attempts started.
    pub started: u64,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks settled without running because they had succeeded before.
    pub settled_again: u64,
    /// Attempts that failed and are followed by another.
    pub retried: u64,
    /// Tasks that failed for the last time.
    pub archived: u64,
    /// Tasks given back to the queue: not run, deferred, or cut off at the end of a drain.
    pub given_back: u64,
    /// Leases lost. Their tasks continue.
    pub lease_lost: u64,
    /// Locks of the ledger lost. Their handlers were cancelled.
    pub lock_lost: u64,
    /// Queue entries dropped: without a task, or a second copy of one that runs.
    pub dropped: u64,
    /// Tasks of lost workers that are pending again.
    pub recovered: u64,
    /// Archived tasks deleted by the limits of the archive.
    pub trimmed: u64,
    /// Failed calls to the broker.
    pub broker_failures: u64,
    /// Quarantine entries that were evicted for newer ones.
    pub evicted: u64,
    /// Failed calls to the ledger or the quarantine.
    pub state_failures: u64,
    /// Uses of a key in a token or service that failed because the key was unavailable.
    pub key_unavailable: u64,
    /// Queues that did not answer for too long, so that a worker in the mode "once" ended without them.
    pub gave_up: u64,
    /// Tasks without a seal that a handler ran, because the mode of their type allows that.
    pub unsealed: u64,
    /// Tasks that are not acceptable yet, by reason: one count for each time that a task was postponed.
    pub postponed: BTreeMap<Refusal, u64>,
    /// Refused tasks by reason.
    pub refused: BTreeMap<Refusal, u64>,
}

impl Tally {
    /// Returns the number of refused tasks.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => self.started += 1,
            Event::Succeeded { .. } => self.succeeded += 1,
            Event::SettledAgain { .. } => self.settled_again += 1,
            Event::Retried { .. } => self.retried += 1,
            Event::Archived { .. } => self.archived += 1,
            Event::GivenBack { .. } => self.given_back += 1,
            Event::LeaseLost { .. } => self.lease_lost += 1,
            Event::LockLost { .. } => self.lock_lost += 1,
            Event::Dropped { count } => self.dropped += *count as u64,
            Event::Recovered { count } => self.recovered += *count as u64,
            Event::ArchiveTrimmed { count, .. } => self.trimmed += *count as u64,
            Event::BrokerFailed { .. } => self.broker_failures += 1,
            Event::QuarantineFull { evicted } => self.evicted += evicted,
            Event::StateFailed { .. } => self.state_failures += 1,
            Event::KeyUnavailable { .. } => self.key_unavailable += 1,
            Event::GaveUp { .. } => self.gave_up += 1,
            Event::Unsealed { .. } => self.unsealed += 1,
            Event::Refused { refusal, .. } => *self.refused.entry(*refusal).or_default() += 1,
            Event::Postponed { refusal, .. } => *self.postponed.entry(*refusal).or_default() += 1,
            // Not part of the tally. Listed, so that a new event is not forgotten.
            Event::KeysetNotInForce { .. }
            | Event::DetachedRefused { .. }
            | Event::ClockSetBack { .. }
            | Event::FleetDiffers { .. }
            | Event::FleetAgrees
            | Event::KeyBack { .. }
            | Event::RecipientMissing { .. }
            | Event::ResultNotAllowed { .. }
            | Event::KeysReloaded { .. }
            | Event::KeysReloadFailed { .. }
            | Event::PolicyReloadFailed { .. }
            | Event::QuotaUsed { .. }
            | Event::KeysStale { .. }
            | Event::KeyEndsSoon { .. }
            | Event::KeysetEndsSoon { .. }
            | Event::HandlerNotStarted { .. }
            | Event::AuditFailed { .. }
            | Event::AuditBack => {}
        }
    }
}

/// Counters of a running worker. Programs read the counters of the `metrics` facade instead.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Tally>);

impl Counters {
    /// Counts an event.
    pub(super) fn count(&self, event: &Event) {
        lock(&self.0).count(event);
    }

    /// Returns the counts so far.
    pub(super) fn tally(&self) -> Tally {
        lock(&self.0).clone()
    }
}
