//! Publishes what this worker runs with, and reports how other processes differ from it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::event::Event;
use super::phase::Phase;
use super::shared::Shared;
use crate::broker::BrokerError;
use crate::fleet::{self, Difference, ProcessStatus, Role, StatusReader};
use crate::lock::lock;
use crate::time::unix_seconds;

/// Maximum number of differences that are reported at one time.
const MAX_DIFFERENCES: usize = 64;

/// Publishes the status until the worker has stopped, then withdraws it.
pub(super) async fn run(shared: Arc<Shared>) {
    if shared.settings.status_every.is_zero() {
        return;
    }
    let started_at = unix_seconds();
    let mut reported = BTreeSet::new();
    let reader = Arc::<Mutex<StatusReader>>::default();
    loop {
        let status = status(&shared, started_at);
        if let Some(found) = publish_and_compare(&shared, &status, &reader).await {
            report(&shared, &found, &mut reported);
        }
        if shared.lifecycle.sleep_unless(Phase::Stopped, shared.settings.status_every).await {
            // It ends without this as well, a little later.
            let _ = shared.parts.broker.publish_status(&status.process(), &[], Duration::ZERO).await;
            return;
        }
    }
}

fn status(shared: &Shared, started_at: u64) -> ProcessStatus {
    let keys = shared.keys.snapshot();
    let status = ProcessStatus::of_this_process(Role::Worker, &shared.settings.id, started_at, &keys.keyring);
    let mut status = status.with_policy(&keys.policy, keys.policy.rules());
    status.queues = shared.settings.queues.iter().map(|queue| queue.name.to_string()).collect();
    status
}

/// Publishes the status and returns how other processes differ. Returns `None` if the broker or the key cannot be used now.
async fn publish_and_compare(
    shared: &Arc<Shared>,
    status: &ProcessStatus,
    reader: &Arc<Mutex<StatusReader>>,
) -> Option<Vec<Difference>> {
    let sealed = seal(shared, status).await?;
    let broker = &shared.parts.broker;
    let published = broker.publish_status(&status.process(), &sealed, keep(shared)).await;
    answer(shared, published)?;
    let statuses = answer(shared, broker.statuses().await)?;
    let (own, reader) = (status.clone(), Arc::clone(reader));
    let compare = move |shared: &Shared| {
        let keys = shared.keys.snapshot();
        let deployment = &shared.settings.deployment;
        let members = lock(&reader).read(&statuses, &keys.keyring, deployment, unix_seconds());
        fleet::differences(&own, members.iter().flatten())
    };
    shared.run_blocking(compare).await.ok()
}

fn keep(shared: &Shared) -> Duration {
    fleet::keep(shared.settings.status_every)
}

/// Signs the status. A key that cannot be used now is reported by the results that wait for it.
async fn seal(shared: &Arc<Shared>, status: &ProcessStatus) -> Option<Vec<u8>> {
    let status = status.clone();
    let sign = move |shared: &Shared| {
        let keys = shared.keys.snapshot();
        keys.results.seal_status(&status, &shared.settings.deployment, keep(shared))
    };
    shared.run_blocking(sign).await.ok()?.ok()
}

/// Reports each difference once, until it has ended.
fn report(shared: &Shared, found: &[Difference], reported: &mut BTreeSet<(String, &'static str)>) {
    let key = |difference: &Difference| (difference.process.clone(), difference.subject.name());
    // One key of a fleet could state any number of processes.
    let found = found.get(..MAX_DIFFERENCES).unwrap_or(found);
    for difference in found {
        if reported.insert(key(difference)) {
            let Difference { process, subject } = difference;
            let (process, about, detail) = (process.clone(), subject.name(), subject.to_string());
            shared.observe(&Event::FleetDiffers { process, about, detail });
        }
    }
    let now: BTreeSet<_> = found.iter().map(key).collect();
    let had = !reported.is_empty();
    reported.retain(|difference| now.contains(difference));
    if had && reported.is_empty() {
        shared.observe(&Event::FleetAgrees);
    }
}

fn answer<T>(shared: &Shared, result: Result<T, BrokerError>) -> Option<T> {
    let doing = "publish the status of this worker";
    result.map_err(|error| shared.observe(&Event::BrokerFailed { doing, error })).ok()
}
