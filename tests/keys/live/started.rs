//! Keys that change between the verification of a task and its start, and keys that are destroyed.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use taskseal::QueueName;
use taskseal::broker::{NewTask, TaskRecord};
use taskseal_tests::faulty::FaultyLedger;
use taskseal_tests::site::{Site, replace, task};

#[tokio::test]
async fn task_that_waits_to_start_is_refused_if_its_key_is_revoked_meanwhile() {
    let site = Site::new();
    let client = site.client();
    let ledger = FaultyLedger::new(Arc::new(site.config().open_ledger().unwrap()));
    let held = ledger.hold_acquire();
    let worker = site.start_worker_with(site.config(), |builder| builder.ledger(ledger));
    let receipt = client.enqueue(task(1)).await.unwrap();
    // It is verified with the former keyset.
    held.reached.notified().await;
    site.write_keyset(&[("producer", "state = \"compromised\""), ("worker", "")]);
    worker.log.until(1, "primary -> compromised").await;
    drop(held);
    worker.log.until(1, &format!("refused {} from queue mail (key-not-valid)", receipt.id)).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.refused_total()), (0, 1));
}

#[tokio::test]
async fn task_that_waits_to_start_is_put_off_if_the_policy_excludes_its_key_meanwhile() {
    let site = Site::new();
    let rule = "[[type]]\ntype = \"email:*\"\n";
    site.write_policy(rule);
    let client = site.client();
    let ledger = FaultyLedger::new(Arc::new(site.config().open_ledger().unwrap()));
    let held = ledger.hold_acquire();
    let worker = site.start_worker_with(site.config(), |builder| builder.ledger(ledger));
    let receipt = client.enqueue(task(1)).await.unwrap();
    // It is verified by the former policy.
    held.reached.notified().await;
    replace(&site.path("policy.toml"), &format!("{rule}kids = [\"{}\"]\n", site.kid("worker")));
    worker.log.until(1, "is replaced by").await;
    drop(held);
    worker.log.until(1, &format!("postponed {}", receipt.id)).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.given_back), (0, 1));
}

#[tokio::test]
async fn unsealed_task_that_waits_to_start_is_refused_if_its_mode_becomes_stricter_meanwhile() {
    let site = Site::new();
    let rule = "[[type]]\ntype = \"email:*\"\n";
    site.write_policy(&format!("{rule}mode = \"observe\"\n"));
    let ledger = FaultyLedger::new(Arc::new(site.config().open_ledger().unwrap()));
    let held = ledger.hold_acquire();
    let worker = site.start_worker_with(site.config(), |builder| builder.ledger(ledger));
    let record = TaskRecord {
        id: "1".to_owned(),
        queue: "mail".to_owned(),
        task_type: "email:send".to_owned(),
        envelope: b"{}".to_vec().into(),
        detached: None,
        max_retries: Some(2),
        timeout: None,
        retention: Duration::ZERO,
    };
    let queue = QueueName::parse("mail").unwrap();
    site.config().open_broker().unwrap().enqueue(&queue, &[NewTask::now(record)]).await.unwrap();
    held.reached.notified().await;
    replace(&site.path("policy.toml"), rule);
    worker.log.until(1, "is replaced by").await;
    drop(held);
    worker.log.until(1, "refused 1 from queue mail (unsealed)").await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.given_back, tally.refused_total()), (0, 1, 1));
}

#[tokio::test]
async fn task_that_waits_to_start_runs_if_other_keys_change_meanwhile() {
    let mut site = Site::new();
    site.add_key("another", "task");
    let client = site.client();
    let ledger = FaultyLedger::new(Arc::new(site.config().open_ledger().unwrap()));
    let held = ledger.hold_acquire();
    let worker = site.start_worker_with(site.config(), |builder| builder.ledger(ledger));
    let receipt = client.enqueue(task(1)).await.unwrap();
    held.reached.notified().await;
    site.write_keyset(&[("producer", ""), ("worker", ""), ("another", "")]);
    worker.log.until(1, "added, primary").await;
    drop(held);
    worker.log.until(1, &format!("succeeded {}", receipt.id)).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.given_back), (1, 0));
}

#[tokio::test]
async fn task_of_a_destroyed_key_is_refused_and_not_postponed() {
    let site = Site::new();
    let client = site.client();
    let receipt = client.enqueue(task(1)).await.unwrap();
    let destroyed = format!("[[key]]\nkid = \"{}\"\nstate = \"destroyed\"\n\n", site.kid("producer"));
    replace(&site.path("keyset.toml"), &format!("{destroyed}{}", site.keyset(&[("worker", "")])));
    let worker = site.start_worker();
    worker.log.until(1, &format!("refused {} from queue mail (unknown-key)", receipt.id)).await;
    assert_eq!(worker.log.count("the keyset has it as destroyed"), 1, "{:?}", worker.log.all());
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.postponed.len(), tally.refused_total()), (0, 0, 1));
}
