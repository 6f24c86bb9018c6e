//! Waiting for the end of a task: what became of it, as the queue states, and its verified result.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use taskseal::broker::{Settlement, TaskState};
use taskseal::{Task, WaitOutcome, Worker};
use taskseal_core::Issuer;
use taskseal_core::name::Reference;
use taskseal_tests::fleet::{Fleet, PRODUCER, mail, nothing_to_do};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    wait_for_a_task_that_a_worker_refuses_returns_the_code,
    wait_for_an_archived_task_returns_its_reason,
    wait_for_a_task_that_is_not_kept_returns_not_found,
    wait_without_a_worker_returns_the_state_at_the_timeout,
    wait_returns_the_result_of_a_task_that_ends_meanwhile,
    receipt_is_found_by_the_reference_only_of_its_task,
}

/// Ends the wait of a test whose task never ends.
const LONG: Duration = Duration::from_secs(60);

fn task() -> Task {
    Task::new("email:send", &"x").unwrap()
}

async fn run_once(fleet: &Fleet) {
    Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
}

async fn wait_for_a_task_that_a_worker_refuses_returns_the_code(fleet: Fleet) {
    let client = fleet.client();
    let foreign = fleet.seal(&fleet.sealing_key(PRODUCER), |mut claims| {
        claims.issuer = Issuer::new("mallory").unwrap();
        claims
    });
    let receipt = client.enqueue_sealed(&mail(), foreign.envelope).await.unwrap();
    run_once(&fleet).await;
    match client.wait(&receipt, LONG).await.unwrap() {
        WaitOutcome::Refused { code } => assert_eq!(code, "issuer-not-allowed"),
        other => panic!("{other:?}"),
    }
}

async fn wait_for_an_archived_task_returns_its_reason(fleet: Fleet) {
    let client = fleet.client();
    let receipt = client.enqueue(task()).await.unwrap();
    let leased = fleet.broker().dequeue(&mail(), 1, LONG).await.unwrap().tasks.remove(0);
    let end = Settlement::Archive { reason: "taskseal: given up".to_owned() };
    fleet.broker().settle(&mail(), &[(leased.lease, end)]).await.unwrap();
    match client.wait(&receipt, LONG).await.unwrap() {
        WaitOutcome::Failed { reason } => assert_eq!(reason.as_deref(), Some("taskseal: given up")),
        other => panic!("{other:?}"),
    }
}

async fn wait_for_a_task_that_is_not_kept_returns_not_found(fleet: Fleet) {
    let client = fleet.client();
    let receipt = client.enqueue(task().retention(Duration::ZERO)).await.unwrap();
    run_once(&fleet).await;
    assert!(matches!(client.wait(&receipt, LONG).await.unwrap(), WaitOutcome::NotFound));
}

async fn wait_without_a_worker_returns_the_state_at_the_timeout(fleet: Fleet) {
    let client = fleet.client();
    let receipt = client.enqueue(task()).await.unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(50)] {
        let outcome = client.wait(&receipt, timeout).await.unwrap();
        assert!(matches!(outcome, WaitOutcome::Pending(TaskState::Pending)), "{outcome:?}");
    }
}

async fn wait_returns_the_result_of_a_task_that_ends_meanwhile(fleet: Fleet) {
    let client = fleet.client();
    let receipt = client.enqueue(task().retention(Duration::from_secs(3600))).await.unwrap();
    let (outcome, ()) = tokio::join!(client.wait(&receipt, LONG), run_once(&fleet));
    match outcome.unwrap() {
        WaitOutcome::Done(result) => assert_eq!(result.id, receipt.id),
        other => panic!("{other:?}"),
    }
}

async fn receipt_is_found_by_the_reference_only_of_its_task(fleet: Fleet) {
    let client = fleet.client();
    let named = fleet.seal(&fleet.sealing_key(PRODUCER), |claims| {
        claims.reference(Reference::new("order-7").unwrap()).retention(3600)
    });
    let receipt = client.enqueue_sealed(&mail(), named.envelope).await.unwrap();
    assert_eq!(client.receipt(&mail(), receipt.id).await.unwrap(), None);
    assert_eq!(client.receipt_by_queue_id(&mail(), "order-7").await.unwrap(), Some(receipt));
}
