//! Producers and workers whose private keys never leave a token: on Redis, from end to end, through losses of the token.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod plant;
mod rotation;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use taskseal::Worker;
use taskseal::worker::{Event, Tally};
use taskseal_core::keyset::DecryptionKeys;
use taskseal_core::{Agree, Refusal};
use taskseal_tests::fleet::{Ran, until};
use taskseal_tests::on_every_token;
use taskseal_tests::process_memory::{Waiting, found_in, wait_to_be_read};
use taskseal_tests::redis::RedisServer;
use taskseal_tests::token::Fixture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::plant::{Plant, task};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A Redis, and a deployment whose private keys are in the token.
fn planted(fixture: &Fixture) -> (RedisServer, plant::Scalars, Plant) {
    let server = RedisServer::start();
    fixture.init();
    let scalars = plant::fresh_scalars();
    plant::put_into(fixture, &scalars);
    let plant = Plant::make(&fixture.folder, &server.url(), &scalars, Some(fixture));
    (server, scalars, plant)
}

/// Runs a worker until the first returned value is dropped.
fn in_background(worker: Worker) -> (oneshot::Sender<()>, JoinHandle<Tally>) {
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(worker.run_until(async {
        let _ = stopped.await;
    }));
    (stop, running)
}

/// Number of tasks of the end-to-end runs.
const TASKS: usize = 24;

/// Seals tasks, runs them and opens their results; then waits while its memory is searched.
fn work(fixture: &Fixture) {
    let plant = Plant::at(&fixture.folder);
    let ran = Ran::default();
    // They live until the memory has been searched: a dropped key is wiped.
    let (client, results, keyring) = (plant.client(), plant.result_key(), plant.keyring());
    runtime().block_on(async {
        let receipts = client.enqueue_all((0..TASKS).map(task).collect()).await.unwrap();
        let tally = plant.worker(&ran).run_once().await;
        assert_eq!((tally.succeeded, tally.refused_total()), (TASKS as u64, 0));
        for receipt in receipts {
            assert!(client.result(&receipt).await.unwrap().is_some());
        }
    });
    let health = taskseal::keys::pkcs11::health();
    if let [(_, token)] = health.as_slice() {
        assert!(token.signing.count >= 2 && token.agreements >= TASKS as u64, "{token:?}");
    }
    wait_to_be_read(&fixture.folder);
    drop((client, results, keyring));
    taskseal::keys::pkcs11::close();
}

/// The keys in the memory of a process that has done the work.
fn survivors(fixture: &Fixture, scalars: &plant::Scalars) -> Vec<String> {
    let waiting = Waiting::of(fixture.start("work"), &fixture.folder);
    let found = waiting.find(&scalars.needles());
    waiting.end();
    found
}

fn private_keys_are_in_no_file_and_not_in_the_memory_of_those_who_use_them(fixture: &Fixture) {
    match fixture.role().as_deref() {
        Some("work") => return work(fixture),
        Some(role) => return plant::import(fixture, role),
        None => {}
    }
    let server = RedisServer::start();
    fixture.init();
    let scalars = plant::fresh_scalars();
    // Another process puts the keys into the token.
    fixture.elsewhere(&plant::import_role(&scalars));

    let in_files = Plant::make(&fixture.folder, &server.url(), &scalars, None);
    let found = survivors(fixture, &scalars);
    // The control: keys in files are in the memory of the process that uses them.
    assert_eq!(found, scalars.names(), "the search finds nothing");
    in_files.remove();

    Plant::make(&fixture.folder, &server.url(), &scalars, Some(fixture));
    assert_eq!(survivors(fixture, &scalars), Vec::<String>::new());
    // The files of the deployment do not contain them either.
    for file in ["taskseal.toml", "keyset.toml", "state/ledger.db", "state/quarantine.db"] {
        let content = fs::read(fixture.folder.join(file)).unwrap();
        assert_eq!(found_in(&content, &scalars.needles()), Vec::<String>::new(), "{file}");
    }
}

fn no_task_is_lost_or_runs_twice_or_goes_unsealed_while_the_token_comes_and_goes(fixture: &Fixture) {
    if let Some(role) = fixture.role() {
        return plant::import(fixture, &role);
    }
    let (_server, _, plant) = planted(fixture);
    let ended = Arc::new(AtomicBool::new(false));
    taskseal::keys::pkcs11::observe(|name, event| eprintln!("{name}: {event}"));
    let ran = Ran::default();
    let sent = 200;
    thread::scope(|scope| {
        let done = Arc::clone(&ended);
        let trouble = scope.spawn(move || plant::trouble(fixture, &done));
        // Ends the thread that injects faults when an assertion fails, since the test waits for it.
        let end = EndOnDrop(Arc::clone(&ended));
        let receipts = runtime().block_on(async {
            let client = plant.client();
            let worker = plant.worker(&ran).observed_by(|event| match event {
                Event::Started { .. } | Event::Succeeded { .. } => {}
                // Shown if the test fails.
                other => eprintln!("{other:?}"),
            });
            let (stop, worker) = in_background(worker);
            let mut receipts = Vec::new();
            for batch in 0..20 {
                let tasks = (0..sent / 20).map(|number| task(batch * 100 + number)).collect();
                receipts.extend(client.enqueue_all(tasks).await.unwrap());
            }
            let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
            for receipt in &receipts {
                while !matches!(client.result(receipt).await, Ok(Some(_))) {
                    assert!(
                        tokio::time::Instant::now() < deadline,
                        "lost: {:?}",
                        taskseal::keys::pkcs11::health()
                    );
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            drop(stop);
            let tally = worker.await.unwrap();
            assert_eq!((tally.refused_total(), tally.archived), (0, 0), "{tally:?}");
            receipts
        });
        drop(end);
        let happened = trouble.join().unwrap();
        assert!(happened > 0, "nothing happened to the token");
        let ids: BTreeSet<_> = receipts.iter().map(|receipt| receipt.id).collect();
        let once: BTreeSet<_> = ran.all().into_iter().collect();
        assert_eq!((once.len(), ran.all().len()), (sent, sent), "a task ran twice or never");
        assert_eq!(once, ids);
    });
    taskseal::keys::pkcs11::close();
}

/// Ends a thread when it is dropped.
struct EndOnDrop(Arc<AtomicBool>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn slow_token_signs_once_for_many_tasks(fixture: &Fixture) {
    if let Some(role) = fixture.role() {
        return plant::import(fixture, &role);
    }
    let (_server, _, plant) = planted(fixture);
    // As slow as a small device: 13 signatures a second.
    fixture.fault("delay", "77");
    let client = plant.client();
    let before = fixture.calls("C_SignInit").len();
    let receipts = runtime().block_on(client.enqueue_all((0..640).map(task).collect())).unwrap();
    assert_eq!(receipts.len(), 640);
    assert_eq!(fixture.calls("C_SignInit").len() - before, 10);
    drop(client);
    taskseal::keys::pkcs11::close();
}

fn task_waits_in_the_queue_while_the_key_that_decrypts_it_is_deleted(fixture: &Fixture) {
    match fixture.role().as_deref() {
        Some("delete") => return plant::delete_worker_key(fixture),
        Some(role) => return plant::import(fixture, role),
        None => {}
    }
    let (_server, scalars, plant) = planted(fixture);
    let ran = Ran::default();
    runtime().block_on(async {
        let worker = plant.worker(&ran);
        let given_back = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&given_back);
        let worker = worker.observed_by(move |event| {
            if matches!(event, Event::KeyUnavailable { .. }) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let client = plant.client();
        fixture.elsewhere("delete");
        client.enqueue(task(1)).await.unwrap();
        let (stop, running) = in_background(worker);
        until("some attempts", async || (given_back.load(Ordering::Relaxed) > 1).then_some(())).await;
        assert!(ran.all().is_empty());
        // The key is restored, and the task is still pending.
        plant::put_back_worker_key(fixture, &scalars);
        until("the run", async || (!ran.all().is_empty()).then_some(())).await;
        drop(stop);
        let tally = running.await.unwrap();
        assert_eq!((tally.succeeded, tally.archived, tally.refused_total()), (1, 0, 0), "{tally:?}");
    });
    taskseal::keys::pkcs11::close();
}

/// The public key is in the keyset of the worker, or in the token only.
fn token_that_agrees_wrongly_is_down_until_it_is_mended_and_the_task_is_not_refused(fixture: &Fixture) {
    if let Some(role) = fixture.role() {
        return plant::import(fixture, &role);
    }
    let (_server, scalars, plant) = planted(fixture);
    let client = plant.client();
    for (round, known) in [true, false].into_iter().enumerate() {
        if !known {
            plant.forget_worker_key(&scalars);
        }
        let ran = Ran::default();
        let worker = plant.worker(&ran);
        let health = || taskseal::keys::pkcs11::health().swap_remove(0).1;
        let (faults, recoveries) = (health().faulty_answers, health().login_recoveries);
        fixture.fault("garbage_derive", "");
        runtime().block_on(async {
            client.enqueue(task(round)).await.unwrap();
            let (stop, running) = in_background(worker);
            let is_down = || !health().is_up() && health().faulty_answers > faults;
            until("the token to be taken down", async || is_down().then_some(())).await;
            assert!(ran.all().is_empty());
            fixture.mend("garbage_derive");
            until("the run", async || (!ran.all().is_empty()).then_some(())).await;
            assert!(health().is_up() && health().login_recoveries > recoveries);
            drop(stop);
            let tally = running.await.unwrap();
            assert_eq!((tally.succeeded, tally.archived, tally.refused_total()), (1, 0, 0), "{tally:?}");
        });
    }
    drop(client);
    taskseal::keys::pkcs11::close();
}

/// A wrongly sealed task is a fault of its issuer, not of the token.
fn wrongly_sealed_tasks_do_not_take_the_token_down(fixture: &Fixture) {
    if let Some(role) = fixture.role() {
        return plant::import(fixture, &role);
    }
    let (_server, scalars, plant) = planted(fixture);
    let keyring = plant.keyring();
    let key = scalars.worker_kid();
    let before = taskseal::keys::pkcs11::health().swap_remove(0).1;
    for number in 1..=8 {
        let mut keys = keyring.opening();
        let peer = plant::peer(number);
        keys.agreement_key(key).unwrap().agree(&peer).unwrap();
        let verdict = keys.verdict(Refusal::Rejected.into());
        assert_eq!(verdict, Refusal::Rejected.into());
    }
    let after = taskseal::keys::pkcs11::health().swap_remove(0).1;
    assert!(after.is_up());
    assert_eq!((after.since, after.faulty_answers), (before.since, 0), "it was taken down");
    drop(keyring);
    taskseal::keys::pkcs11::close();
}

on_every_token![
    private_keys_are_in_no_file_and_not_in_the_memory_of_those_who_use_them,
    no_task_is_lost_or_runs_twice_or_goes_unsealed_while_the_token_comes_and_goes,
    slow_token_signs_once_for_many_tasks,
    task_waits_in_the_queue_while_the_key_that_decrypts_it_is_deleted,
    token_that_agrees_wrongly_is_down_until_it_is_mended_and_the_task_is_not_refused,
    wrongly_sealed_tasks_do_not_take_the_token_down,
];
