//! Workers that differ in what they run with report it to each other through the broker, which cannot make it up.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use taskseal::fleet::{Member, Unproven, members};
use taskseal::worker::{Worker, WorkerSettings};
use taskseal_tests::fleet::{Fleet, Noted, Running, nothing_to_do, until};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    status_that_the_broker_makes_up_or_changes_proves_nothing,
    workers_with_different_policies_report_it_until_one_of_them_ends,
    worker_withdraws_its_status_when_it_ends,
}

fn settings(fleet: &Fleet, id: &str) -> WorkerSettings {
    let mut settings = fleet.worker_settings();
    settings.id = id.to_owned();
    settings.status_every = Duration::from_secs(1);
    settings
}

async fn listed(fleet: &Fleet) -> Vec<Result<Member, Unproven>> {
    members(&*fleet.broker(), &fleet.keyring(), &fleet.worker_settings().deployment).await.unwrap()
}

async fn status_that_the_broker_makes_up_or_changes_proves_nothing(fleet: Fleet) {
    let worker = Running::start(settings(&fleet, "worker-1"), fleet.parts(nothing_to_do()));
    let genuine = until("a status", async || fleet.broker().statuses().await.unwrap().pop()).await;
    worker.stop().await;

    let mut changed = genuine.clone();
    *changed.last_mut().unwrap() ^= 1;
    let hour = Duration::from_secs(3600);
    for (process, status) in [("a", &b"{\"v\":1}"[..]), ("b", &changed)] {
        fleet.broker().publish_status(process, status, hour).await.unwrap();
    }
    let mut reasons: Vec<_> =
        listed(&fleet).await.into_iter().map(|member| member.unwrap_err().reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["not an envelope", "rejected"]);
    // A repeated status is listed until it expires.
    fleet.broker().publish_status("c", &genuine, hour).await.unwrap();
    assert_eq!(listed(&fleet).await.into_iter().flatten().count(), 1);
}

async fn workers_with_different_policies_report_it_until_one_of_them_ends(fleet: Fleet) {
    let one = Running::start(settings(&fleet, "worker-1"), fleet.parts(nothing_to_do()));
    let mut other = settings(&fleet, "worker-2");
    other.policy.max_lifetime += Duration::from_secs(1);
    let other = Running::start(other, fleet.parts(nothing_to_do()));

    let differs = |noted: &Noted| *noted == Noted::FleetDiffers { about: "policy" };
    one.seen.until("the difference", differs).await;
    other.seen.until("the difference", differs).await;
    one.stop().await;
    other.seen.until("agreement", |noted| *noted == Noted::FleetAgrees).await;
    assert_eq!(other.seen.count(|noted| matches!(noted, Noted::FleetDiffers { .. })), 1);
    other.stop().await;
}

async fn worker_withdraws_its_status_when_it_ends(fleet: Fleet) {
    let running = Running::start(settings(&fleet, "worker-1"), fleet.parts(nothing_to_do()));
    let listed_as = until("a status", async || listed(&fleet).await.pop()).await.unwrap().status;
    assert_eq!((listed_as.id.as_str(), listed_as.pid), ("worker-1", std::process::id()));
    assert_eq!(listed_as.keyset, fleet.keyring().fingerprint());
    running.stop().await;
    assert!(listed(&fleet).await.is_empty());
    // Nor does a worker that ends with its queues leave one.
    Worker::new(settings(&fleet, "worker-1"), fleet.parts(nothing_to_do())).run_once().await;
    assert!(listed(&fleet).await.is_empty());
}
