//! Ledger claims while a key stalls: an attacker hands copies of the task to other workers, and no task runs twice.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use taskseal::broker::TaskState;
use taskseal::time::UnixMillis;
use taskseal::worker::Tally;
use taskseal::{Client, Receipt, Task, Worker, WorkerParts, WorkerSettings};
use taskseal_core::Suite;
use taskseal_tests::faulty::FaultyLedger;
use taskseal_tests::fleet::{Fleet, Noted, Ran, Running, until};
use taskseal_tests::on_both_brokers;
use taskseal_tests::signer::{TestAgreement, Then};

on_both_brokers! {
    copy_handed_to_another_worker_while_the_key_stalls_does_not_run_beside_or_before_the_first,
    every_claim_of_a_batch_lasts_while_the_key_stalls_at_its_first_task,
    task_that_ran_elsewhere_after_its_claim_ran_out_is_not_run_when_the_key_answers,
    task_whose_claim_went_to_another_worker_unnoticed_is_given_back_unrun,
    lease_lost_while_the_key_stalled_is_reported_once_whatever_the_key_then_returns,
}

/// Leases that run out while a test can wait for it.
fn short(fleet: &Fleet) -> WorkerSettings {
    let mut settings = fleet.worker_settings();
    settings.lease = Duration::from_millis(600);
    settings
}

/// A token that stalls until it is released: also when a test fails, since the thread of the worker waits for it.
struct Stalling(Arc<TestAgreement>);

impl Deref for Stalling {
    type Target = TestAgreement;

    fn deref(&self) -> &TestAgreement {
        &self.0
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// A worker that decrypts with such a token.
fn stalling(fleet: &Fleet, ran: &Ran) -> (WorkerParts, Stalling) {
    let token = Arc::new(TestAgreement::new(fleet.recipient_key()));
    token.hold();
    let mut parts = fleet.parts(ran.handlers());
    parts.keyring = parts.keyring.with_remote_decryption_keys([Arc::clone(&token) as _]);
    (parts, Stalling(token))
}

async fn enqueue(fleet: &Fleet, count: usize) -> Vec<Receipt> {
    let key = fleet.sealing_key_in(Suite::Sp);
    let client = Client::new(fleet.client_settings(), fleet.broker(), key, fleet.keyring());
    let tasks = (0..count).map(|number| Task::new("email:send", &number).unwrap().attempts(1));
    client.enqueue_all(tasks.collect()).await.unwrap()
}

/// Waits until the token is asked; returns the time when the claims of that moment expire.
async fn claimed_until(fleet: &Fleet, token: &TestAgreement) -> UnixMillis {
    until("the token to be asked", async || (token.asked() > 0).then_some(())).await;
    let file = rusqlite::Connection::open(fleet.path("ledger.db")).unwrap();
    UnixMillis(file.query_row("SELECT max(until) FROM task", [], |row| row.get(0)).unwrap())
}

async fn past(moment: UnixMillis) {
    until("a claim to end by itself", async || (UnixMillis::now() > moment).then_some(())).await;
}

/// Another worker, whose key is available, which runs what the queue hands out.
async fn rival(fleet: &Fleet, ran: &Ran) -> Tally {
    let mut settings = short(fleet);
    settings.id = "worker-2".to_owned();
    Worker::new(settings, fleet.parts(ran.handlers())).run_once().await
}

fn hand_out_again(fleet: &Fleet, receipts: &[Receipt]) {
    receipts.iter().for_each(|receipt| fleet.queue().hand_out_again(&receipt.id.to_string()));
}

/// Every task ran once and its result is there.
async fn once_each(fleet: &Fleet, ran: &Ran, receipts: &[Receipt]) {
    for receipt in receipts {
        fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
    }
    let (mut ran, mut sent) = (ran.all(), Vec::from_iter(receipts.iter().map(|receipt| receipt.id)));
    ran.sort();
    sent.sort();
    assert_eq!(ran, sent);
}

async fn copy_handed_to_another_worker_while_the_key_stalls_does_not_run_beside_or_before_the_first(
    fleet: Fleet,
) {
    let ran = Ran::default();
    let (parts, token) = stalling(&fleet, &ran);
    let receipts = enqueue(&fleet, 1).await;
    let worker = Running::start(short(&fleet), parts);
    past(claimed_until(&fleet, &token).await).await;
    hand_out_again(&fleet, &receipts);
    let other = rival(&fleet, &ran).await;
    assert_eq!(other.started, 0);
    assert!(other.given_back >= 1);
    token.let_go();
    once_each(&fleet, &ran, &receipts).await;
    worker.stop().await;
}

async fn every_claim_of_a_batch_lasts_while_the_key_stalls_at_its_first_task(fleet: Fleet) {
    let ran = Ran::default();
    let (parts, token) = stalling(&fleet, &ran);
    let receipts = enqueue(&fleet, 6).await;
    let worker = Running::start(short(&fleet), parts);
    past(claimed_until(&fleet, &token).await).await;
    assert!(token.asked() < receipts.len());
    hand_out_again(&fleet, &receipts);
    let other = rival(&fleet, &ran).await;
    assert_eq!(other.started, 0);
    assert!(other.given_back >= 6);
    token.let_go();
    once_each(&fleet, &ran, &receipts).await;
    worker.stop().await;
}

async fn task_that_ran_elsewhere_after_its_claim_ran_out_is_not_run_when_the_key_answers(fleet: Fleet) {
    let ran = Ran::default();
    let (parts, token) = stalling(&fleet, &ran);
    let ledger = FaultyLedger::new(fleet.ledger());
    let parts = WorkerParts { ledger: Arc::clone(&ledger) as _, ..parts };
    let receipts = enqueue_twice_startable(&fleet).await;
    let worker = Running::start(short(&fleet), parts);
    until("the token to be asked", async || (token.asked() > 0).then_some(())).await;
    // The claim can no longer be extended.
    ledger.set_unavailable(true);
    past(claimed_until(&fleet, &token).await).await;
    hand_out_again(&fleet, &receipts);
    assert_eq!(rival(&fleet, &ran).await.succeeded, 1);
    ledger.set_unavailable(false);
    token.let_go();
    worker.seen.until("the loss", |noted| matches!(noted, Noted::LeaseLost { .. })).await;
    // A worker decides on one batch after the other: with the next task done, the first one is decided.
    let next = enqueue(&fleet, 1).await;
    fleet.until_in(&next[0].id.to_string(), TaskState::Completed).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.succeeded), (1, 1));
    once_each(&fleet, &ran, &[receipts, next].concat()).await;
}

/// A task that may be started once more after a worker was lost.
async fn enqueue_twice_startable(fleet: &Fleet) -> Vec<Receipt> {
    let key = fleet.sealing_key_in(Suite::Sp);
    let client = Client::new(fleet.client_settings(), fleet.broker(), key, fleet.keyring());
    vec![client.enqueue(Task::new("email:send", &1).unwrap().attempts(2)).await.unwrap()]
}

async fn task_whose_claim_went_to_another_worker_unnoticed_is_given_back_unrun(fleet: Fleet) {
    let ran = Ran::default();
    let (parts, token) = stalling(&fleet, &ran);
    let receipts = enqueue(&fleet, 1).await;
    // No heartbeat occurs while the test runs.
    let mut settings = fleet.worker_settings();
    settings.lease = Duration::from_secs(600);
    let worker = Running::start(settings, parts);
    claimed_until(&fleet, &token).await;
    let file = rusqlite::Connection::open(fleet.path("ledger.db")).unwrap();
    assert_eq!(file.execute("UPDATE task SET owner = 'another'", []), Ok(1));
    token.let_go();
    worker.seen.until("the task to be given back", |noted| matches!(noted, Noted::GivenBack { .. })).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.archived, tally.refused_total()), (0, 0, 0));
    assert_eq!(ran.all(), []);
    let owner: String = file.query_row("SELECT owner FROM task", [], |row| row.get(0)).unwrap();
    assert_eq!((owner.as_str(), receipts.len()), ("another", 1));
}

async fn lease_lost_while_the_key_stalled_is_reported_once_whatever_the_key_then_returns(fleet: Fleet) {
    let ran = Ran::default();
    let (parts, token) = stalling(&fleet, &ran);
    let receipts = enqueue(&fleet, 1).await;
    let worker = Running::start(short(&fleet), parts);
    until("the token to be asked", async || (token.asked() > 0).then_some(())).await;
    hand_out_again(&fleet, &receipts);
    let is_loss = |noted: &Noted| matches!(noted, Noted::LeaseLost { .. });
    worker.seen.until("the loss", is_loss).await;
    token.from_now_on(Then::IsUnavailable);
    token.let_go();
    until("the token to be asked for the second delivery", async || (token.asked() > 1).then_some(())).await;
    token.from_now_on(Then::Signs);
    once_each(&fleet, &ran, &receipts).await;
    assert_eq!(worker.seen.count(is_loss), 1);
    assert_eq!(worker.stop().await.lease_lost, 1);
}

/// On one thread, so that the worker has received the stop once this test yields.
#[tokio::test]
async fn worker_stopped_while_its_key_stalls_opens_no_more_tasks_and_counts_no_attempt() {
    let fleet = Fleet::embedded().await;
    let ran = Ran::default();
    let (parts, token) = stalling(&fleet, &ran);
    let receipts = enqueue(&fleet, 3).await;
    let worker = Running::start(fleet.worker_settings(), parts);
    claimed_until(&fleet, &token).await;
    let stopping = worker.ask_to_stop();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    token.let_go();
    let tally = stopping.await.unwrap();
    assert_eq!((tally.started, tally.given_back), (0, 3));
    assert_eq!(token.asked(), 1);
    assert_eq!(rival(&fleet, &ran).await.succeeded, 3);
    once_each(&fleet, &ran, &receipts).await;
}
