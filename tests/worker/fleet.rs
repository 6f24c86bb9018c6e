//! Workers that differ in what they run with report it to each other through the broker, which cannot make it up.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use taskseal::fleet::{self, Member, ProcessStatus, Role, Unproven, members};
use taskseal::worker::{Worker, WorkerSettings};
use taskseal_tests::fleet::{Fleet, Noted, Running, nothing_to_do, until};
use taskseal_tests::on_both_brokers;
use taskseal_tests::site::{Site, task};

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
    // A repeated status is listed until it expires, and once.
    for process in ["c", "d"] {
        fleet.broker().publish_status(process, &genuine, hour).await.unwrap();
    }
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

/// A status of this process in a role, with another keyset than that of the site.
fn other_keyset(site: &Site, role: Role) -> (String, Vec<u8>) {
    let config = site.config();
    let keyring = config.load_keyset().unwrap();
    let (key, id) = match role {
        Role::Worker => (config.result_key(&keyring).unwrap(), "worker-2"),
        _ => (config.task_key(&keyring).unwrap(), "shop"),
    };
    let keyset = "0011223344556677".to_owned();
    let status = ProcessStatus { keyset, ..ProcessStatus::of_this_process(role, id, 1, &keyring) };
    (status.process(), fleet::seal(&status, "site", Duration::from_secs(60), &key).unwrap())
}

#[tokio::test]
async fn key_of_a_producer_cannot_keep_a_worker_from_starting() {
    let site = Site::new();
    let (config, broker) = (site.config(), site.config().open_broker().unwrap());
    let differences = async || fleet::differences_of_a_new_worker(&config, &*broker).await.unwrap().len();
    for (role, count) in [(Role::Producer, 0), (Role::Worker, 2)] {
        let (process, status) = other_keyset(&site, role);
        broker.publish_status(&process, &status, Duration::from_secs(60)).await.unwrap();
        assert_eq!(differences().await, count, "{role:?}");
    }
}

#[tokio::test]
async fn producer_states_its_keyset_and_follows_a_new_one() {
    let mut site = Site::new();
    site.write_config("keys/producer.key", "[fleet]\nstatus_every = \"1s\"\n");
    let config = site.config();
    let broker = config.open_broker().unwrap();
    let client = site.client();
    client.enqueue(task(1)).await.unwrap();
    let stated = async || {
        let keyring = config.load_keyset().unwrap();
        let members = members(&*broker, &keyring, "site").await.unwrap();
        let mut found = members.into_iter().flatten();
        found.next().map(|member| (member.status.role, member.status.id, member.kid, member.status.keyset))
    };
    let fingerprint = || config.load_keyset().unwrap().fingerprint();
    let before = (Role::Producer, "shop".to_owned(), site.kid("producer"), fingerprint());
    let found = until("its status", stated).await;
    assert_eq!(found, before);

    site.add_key("next", "task");
    site.write_keyset(&[("producer", ""), ("worker", ""), ("next", "state = \"staged\"")]);
    assert_ne!(fingerprint(), before.3);
    until("its new keyset", async || stated().await.filter(|found| found.3 == fingerprint())).await;
    drop(client);
}
