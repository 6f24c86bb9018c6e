//! Tasks sealed in batches: refused unless the policy accepts batches, and checked one by one as strictly as any other
//! task.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;

use taskseal::broker::{TaskRecord, TaskState};
use taskseal::keys::Keyring;
use taskseal::quarantine::Filter;
use taskseal::time::clock;
use taskseal::worker::WorkerQueue;
use taskseal::{Client, QueueName, Receipt, Task, Worker, WorkerSettings};
use taskseal_core::{Audience, BatchRootCache, OpenError, Policy, Refusal, Software, Suite, Unverified};
use taskseal_tests::fleet::{Fleet, PRODUCER, Ran, mail};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    worker_without_batches_postpones_them,
    changed_task_of_a_batch_is_refused_and_the_others_run,
    task_under_the_receipt_of_another_is_refused,
    replayed_task_of_a_batch_is_refused,
    tasks_of_one_batch_run_on_different_workers,
    thousand_tasks_in_batches_run_once_each_in_every_suite_that_signs,
    result_of_a_task_of_a_batch_is_opened_by_the_client,
}

fn accepting(fleet: &Fleet) -> WorkerSettings {
    let mut settings = fleet.worker_settings();
    settings.policy.batches = true;
    settings
}

fn client(fleet: &Fleet) -> Client {
    let mut settings = fleet.client_settings();
    settings.sign_batch = 64;
    fleet.client_with(settings)
}

fn tasks(count: usize) -> Vec<Task> {
    (0..count).map(|body| Task::new("email:send", &body).unwrap()).collect()
}

async fn enqueue(fleet: &Fleet, count: usize) -> Vec<Receipt> {
    client(fleet).enqueue_all(tasks(count)).await.unwrap()
}

async fn worker_without_batches_postpones_them(fleet: Fleet) {
    let receipts = enqueue(&fleet, 3).await;
    let ran = Ran::default();
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.postponed, ran.all()), ([(Refusal::SuiteNotAllowed, 3)].into(), vec![]));
    assert_eq!(fleet.quarantine().usage().unwrap().entries, 0);
    for receipt in receipts {
        fleet.until_in(&receipt.id.to_string(), TaskState::Retry).await;
    }
}

/// Pushes these envelopes, each with the id and the fields of the task it was made from.
async fn push(fleet: &Fleet, sealed: &taskseal::SealedTask, envelope: Vec<u8>) {
    let id = sealed.receipt.id.to_string();
    fleet.push(TaskRecord { id, envelope: envelope.into(), ..fleet.good().record() }).await;
}

async fn three_sealed(fleet: &Fleet) -> Vec<taskseal::SealedTask> {
    client(fleet).seal_all(tasks(3)).await.into_iter().collect::<Result<_, _>>().unwrap()
}

async fn changed_task_of_a_batch_is_refused_and_the_others_run(fleet: Fleet) {
    let sealed = three_sealed(&fleet).await;
    for (index, task) in sealed.iter().enumerate() {
        let mut envelope = task.envelope.clone();
        if index == 1 {
            // In the middle of the ciphertext; the signature is that of the batch and stays good.
            let at = envelope.len() / 2;
            envelope[at] ^= 1;
        }
        push(&fleet, task, envelope).await;
    }
    let ran = Ran::default();
    let tally = Worker::new(accepting(&fleet), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.succeeded, tally.refused_total()), (2, 1));
    let ran: BTreeSet<_> = ran.all().into_iter().collect();
    assert_eq!(ran, [sealed[0].receipt.id, sealed[2].receipt.id].into());
}

/// Where the receipt starts: a COSE_Sign1 whose header names ES256 and a kid.
fn receipt_at(envelope: &[u8]) -> usize {
    let starts = |bytes: &[u8]| bytes[..3] == [0xd2, 0x84, 0x58] && bytes[4..] == [0xa5, 0x01, 0x26, 0x04];
    envelope.windows(8).rposition(starts).unwrap()
}

async fn task_under_the_receipt_of_another_is_refused(fleet: Fleet) {
    let sealed = three_sealed(&fleet).await;
    let (own, other) = (&sealed[0].envelope, &sealed[1].envelope);
    let swapped = [&own[..receipt_at(own)], &other[receipt_at(other)..]].concat();
    assert_eq!(swapped.len(), own.len(), "so that only the proof is wrong");
    // The root is remembered by then.
    push(&fleet, &sealed[1], other.clone()).await;
    push(&fleet, &sealed[0], swapped).await;
    let ran = Ran::default();
    let tally = Worker::new(accepting(&fleet), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.refused, ran.all()), ([(Refusal::Rejected, 1)].into(), vec![sealed[1].receipt.id]));
}

async fn replayed_task_of_a_batch_is_refused(fleet: Fleet) {
    let sealed = three_sealed(&fleet).await;
    let ran = Ran::default();
    for _ in 0..2 {
        push(&fleet, &sealed[0], sealed[0].envelope.clone()).await;
        let _ = Worker::new(accepting(&fleet), fleet.parts(ran.handlers())).run_once().await;
        fleet.queue().delete(&sealed[0].receipt.id.to_string());
    }
    assert_eq!(ran.all(), [sealed[0].receipt.id]);
    let kept = fleet.quarantine().list(&Filter::default(), 0, 10).unwrap();
    assert_eq!(kept.iter().map(|entry| entry.code.as_str()).collect::<Vec<_>>(), ["replayed"]);
}

async fn tasks_of_one_batch_run_on_different_workers(fleet: Fleet) {
    let bulk = QueueName::parse("bulk").unwrap();
    let mut tasks = tasks(8);
    for task in tasks.split_off(4) {
        tasks.push(task.queue(bulk.clone()));
    }
    let receipts = client(&fleet).enqueue_all(tasks).await.unwrap();
    for (queue, receipts) in [(mail(), &receipts[..4]), (bulk, &receipts[4..])] {
        let mut settings = accepting(&fleet);
        settings.queues = vec![WorkerQueue::new(queue, 1)];
        let ran = Ran::default();
        let tally = Worker::new(settings, fleet.parts(ran.handlers())).run_once().await;
        assert_eq!((tally.succeeded, tally.refused_total()), (4, 0));
        let ran: BTreeSet<_> = ran.all().into_iter().collect();
        assert_eq!(ran, receipts.iter().map(|receipt| receipt.id).collect());
    }
}

async fn thousand_tasks_in_batches_run_once_each_in_every_suite_that_signs(fleet: Fleet) {
    for suite in [Suite::S, Suite::Se, Suite::Sp] {
        let mut settings = fleet.client_settings();
        settings.sign_batch = 64;
        let client = Client::new(settings, fleet.broker(), fleet.sealing_key_in(suite), fleet.keyring());
        let receipts = client.enqueue_all(tasks(334)).await.unwrap();
        let ran = Ran::default();
        let mut settings = accepting(&fleet);
        settings.policy.suites = settings.policy.suites.with(Suite::S);
        settings.concurrency = 64;
        let tally = Worker::new(settings, fleet.parts(ran.handlers())).run_once().await;
        assert_eq!((tally.succeeded, tally.refused_total()), (334, 0), "{suite}");
        let once: BTreeSet<_> = ran.all().into_iter().collect();
        assert_eq!(once, receipts.iter().map(|receipt| receipt.id).collect());
        assert_eq!(ran.all().len(), 334);
    }
}

async fn result_of_a_task_of_a_batch_is_opened_by_the_client(fleet: Fleet) {
    let client = client(&fleet);
    let receipts = client.enqueue_all(tasks(2)).await.unwrap();
    let _ = Worker::new(accepting(&fleet), fleet.parts(Ran::default().handlers())).run_once().await;
    for receipt in receipts {
        assert_eq!(client.receipt(&mail(), receipt.id).await.unwrap().as_ref(), Some(&receipt));
        assert_eq!(client.result(&receipt).await.unwrap().unwrap().id, receipt.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_key_authenticates_no_task_of_a_batch_whose_root_is_cached() {
    let fleet = Fleet::embedded().await;
    let sealed = three_sealed(&fleet).await;
    let mut policy = Policy::for_tasks(Audience::new("test/mail").unwrap());
    policy.accept_batches = true;
    let mut roots = BatchRootCache::<4>::new();
    let mut verify = |keyring: &Keyring, envelope: &[u8]| {
        let unverified = Unverified::parse(envelope).unwrap();
        unverified.verify_with(&Software, &mut roots, keyring, &policy, &mut clock()).map(drop)
    };
    assert_eq!(verify(&fleet.keyring(), &sealed[0].envelope), Ok(()));

    let kid = fleet.sealing_key(PRODUCER).kid().to_string();
    let keyset = fs::read_to_string(fleet.path("keyset.toml")).unwrap();
    let (before, entry) = keyset.split_once(&format!("kid = \"{kid}\"")).unwrap();
    let revoked = format!("{before}kid = \"{kid}\"\nstate = \"compromised\"{entry}");
    fs::write(fleet.path("keyset.toml"), revoked).unwrap();
    for sealed in &sealed {
        let refused = Err(OpenError::Refused(Refusal::KeyNotValid));
        assert_eq!(verify(&fleet.keyring(), &sealed.envelope), refused);
    }
    // And a worker that starts with that keyset runs none of them.
    for sealed in &sealed {
        push(&fleet, sealed, sealed.envelope.clone()).await;
    }
    let ran = Ran::default();
    let tally = Worker::new(accepting(&fleet), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.refused, ran.all()), ([(Refusal::KeyNotValid, 3)].into(), vec![]));
}
