//! What the quotas of issuers leave in this process. Beyond its quota a task is put off: it is not refused, and no attempt counts.
//!
//! A start is taken after the ledger has admitted a task, so that a queue that stores old tasks again uses up no quota.

use std::collections::HashMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use taskseal_core::claims::Claims;

use super::event::Event;
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::task_state::Outcome;
use crate::lock::lock;
use crate::policy::IssuerQuota;
use crate::replay::TaskKey;
use crate::time::UnixMillis;

const MINUTE: Duration = Duration::from_secs(60);

/// The starts of each quota, by its pattern.
#[derive(Debug, Default)]
pub(super) struct Quotas(Mutex<HashMap<String, Bucket>>);

/// A token bucket with the tokens of a minute, as the time at which it is full again (GCRA).
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
    /// When the task that was put off last is tried again.
    last_delayed: Instant,
}

impl Quotas {
    /// Takes one start if `takes`, or finds out whether one is left. Returns the delay of a task that must wait: those that wait are
    /// tried again one after the other, but none later than after `longest`.
    fn check(&self, quota: &IssuerQuota, now: Instant, takes: bool, longest: Duration) -> Option<Duration> {
        let interval = MINUTE / quota.tasks_per_minute.max(1);
        let mut buckets = lock(&self.0);
        let bucket =
            buckets.entry(quota.issuer.clone()).or_insert(Bucket { full_at: now, last_delayed: now });
        let full_at = bucket.full_at.max(now);
        // With one token less than the bucket holds, it is full again after a minute less one interval.
        let wait = full_at.saturating_duration_since(now + (MINUTE - interval));
        if wait.is_zero() {
            if takes {
                bucket.full_at = full_at + interval;
            }
            return None;
        }
        let next = (bucket.last_delayed + interval).max(now + wait).min(now + longest.max(wait.min(MINUTE)));
        bucket.last_delayed = next;
        Some(next - now)
    }
}

/// Puts a verified task off whose issuer has used its quota, before the ledger is asked.
pub(super) fn check(shared: &Shared, keys: &Snapshot, claims: &Claims<'_>) -> ControlFlow<Outcome> {
    decide(shared, keys, claims, None)
}

/// Takes a start of the quota for an admitted task, or puts the task off.
pub(super) fn take(
    shared: &Shared,
    keys: &Snapshot,
    claims: &Claims<'_>,
    acquired: &TaskKey,
) -> ControlFlow<Outcome> {
    decide(shared, keys, claims, Some(acquired))
}

fn decide(
    shared: &Shared,
    keys: &Snapshot,
    claims: &Claims<'_>,
    acquired: Option<&TaskKey>,
) -> ControlFlow<Outcome> {
    let Some(quota) = keys.policy.rules().quota_of(claims.issuer.as_str()) else { return Continue(()) };
    let longest = shared.settings.postpone.longest;
    let delay = shared.quotas.check(quota, Instant::now(), acquired.is_some(), longest);
    let Some(delay) = delay else { return Continue(()) };
    shared.observe(&Event::QuotaUsed {
        id: claims.task_id.to_string(),
        issuer: claims.issuer.to_string(),
        quota: quota.issuer.clone(),
        tasks_per_minute: quota.tasks_per_minute,
    });
    let at = UnixMillis::now().plus(delay);
    Break(Outcome::Deferred { at, acquired: acquired.cloned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn quota(tasks_per_minute: u32) -> IssuerQuota {
        IssuerQuota { issuer: "shop".to_owned(), tasks_per_minute }
    }

    /// Returns how many of `count` starts at `now` the quota leaves.
    fn starts(quotas: &Quotas, quota: &IssuerQuota, now: Instant, count: usize) -> usize {
        (0..count).filter(|_| quotas.check(quota, now, true, HOUR).is_none()).count()
    }

    #[test]
    fn starts_beyond_the_quota_wait_one_after_the_other_and_run_at_its_rate() {
        let (quotas, start, quota) = (Quotas::default(), Instant::now(), quota(60));
        assert_eq!(starts(&quotas, &quota, start, 60), 60);
        let seconds = |number| Some(Duration::from_secs(number));
        for number in 1..=3 {
            assert_eq!(quotas.check(&quota, start, true, HOUR), seconds(number));
        }
        // What a second brings back, and no more.
        let later = start + Duration::from_secs(1);
        assert_eq!(starts(&quotas, &quota, later, 5), 1);
        assert_eq!(starts(&quotas, &quota, start + HOUR, 100), 60);
    }

    #[test]
    fn question_takes_nothing_and_no_task_waits_for_longer_than_the_longest_delay() {
        let (quotas, start, quota) = (Quotas::default(), Instant::now(), quota(1));
        for _ in 0..5 {
            assert_eq!(quotas.check(&quota, start, false, HOUR), None);
        }
        assert_eq!(starts(&quotas, &quota, start, 2), 1);
        let longest = Duration::from_secs(90);
        let waits: Vec<_> = (0..3).filter_map(|_| quotas.check(&quota, start, true, longest)).collect();
        assert_eq!(waits, [longest; 3]);
    }

    #[test]
    fn quota_that_is_changed_counts_the_tasks_that_have_started() {
        let (quotas, start) = (Quotas::default(), Instant::now());
        assert_eq!(starts(&quotas, &quota(60), start, 60), 60);
        assert_eq!(starts(&quotas, &quota(6), start, 10), 0);
        assert_eq!(starts(&quotas, &quota(6), start + Duration::from_secs(10), 10), 1);
        let another = IssuerQuota { issuer: "erp".to_owned(), ..quota(6) };
        assert_eq!(starts(&quotas, &another, start, 10), 6);
    }
}
