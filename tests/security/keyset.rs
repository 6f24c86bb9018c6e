//! Signed keysets on hosts: what expires while a worker runs, and what an older keyset would allow.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

use std::fs;
use std::sync::Arc;

use taskseal::broker::TaskState;
use taskseal::config::Config;
use taskseal::keys::{Keyring, KeyringError, KeysetErrorKind, SecretKey};
use taskseal::{Worker, WorkerParts};
use taskseal_core::Refusal;
use taskseal_core::keyset::signed::{Entry, EntryKey, KeyState, KeysetRefusal};
use taskseal_tests::faulty::FaultyLedger;
use taskseal_tests::fleet::{AnyQueue, Fleet, Noted, PRODUCER, REVOKED, Ran, Running, unix_now, until};
use taskseal_tests::keyset::{Root, Signed};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    task_is_put_off_while_the_keyset_is_expired_and_runs_with_the_next_one,
    task_is_put_off_if_the_keyset_expires_between_its_verification_and_its_decryption,
    older_keyset_does_not_revive_a_revoked_key_after_a_restart,
}

const HOUR: u64 = 3600;

/// The root of a fleet, whose hosts pin it in `taskseal.toml`.
struct Rooted {
    fleet: Fleet,
    root: Root,
}

impl Rooted {
    fn new(fleet: Fleet) -> Self {
        let root = Root::new(1, "test");
        let text = format!(
            "deployment = \"test\"\n[keys]\nroots = [\"{}\"]\nshared = [\"shared.key\", \"results.key\"]\n",
            root.public()
        );
        fs::write(fleet.path("taskseal.toml"), text).unwrap();
        Self { fleet, root }
    }

    /// Signs the keys of the fleet. The shared keys are named.
    fn sign(&mut self, lifetime: u64) -> Signed {
        let shared = ["shared.key", "results.key"].map(|name| {
            let key = SecretKey::read(&self.fleet.path(name)).unwrap();
            Entry::new(EntryKey::A256Gcm(key.kid()), KeyState::Primary)
        });
        self.root.sign(&self.fleet.path("keyset.toml"), &shared, unix_now(), lifetime)
    }

    /// Opens the keyset as a process does that starts.
    fn open(&self, keyset: &Signed) -> Result<Keyring, KeyringError> {
        keyset.write(&self.fleet.path("keyset.cose"));
        Config::load(&self.fleet.path("taskseal.toml")).unwrap().keyring()
    }

    fn parts(&self, keyring: Keyring, ran: &Ran) -> WorkerParts {
        let mut parts = self.fleet.parts(ran.handlers());
        parts.keyring = keyring;
        parts
    }
}

async fn task_is_put_off_while_the_keyset_is_expired_and_runs_with_the_next_one(fleet: Fleet) {
    let mut rooted = Rooted::new(fleet);
    let (short, ran) = (rooted.sign(3), Ran::default());
    let parts = rooted.parts(rooted.open(&short).unwrap(), &ran);
    let fleet = &rooted.fleet;
    let worker = Running::start(fleet.worker_settings(), parts);
    let early = fleet.seal(&fleet.sealing_key(PRODUCER), |claims| claims);
    fleet.push(early.record()).await;
    worker.seen.until("the first task", |noted| matches!(noted, Noted::Succeeded { .. })).await;
    until("the end of the keyset", async || (unix_now() >= short.not_after).then_some(())).await;

    let task = fleet.seal(&fleet.sealing_key(PRODUCER), |claims| claims.attempts(1));
    fleet.push(task.record()).await;
    let (id, refusal) = (task.id(), KeysetRefusal::Expired);
    let put_off = Noted::KeysetNotInForce { id: id.clone(), refusal };
    worker.seen.until("the alarm", |noted| *noted == put_off).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.refused, tally.postponed), (1, [].into(), [].into()));
    let info = fleet.find(&id).await.unwrap();
    assert_eq!(info.retries, 0, "an attempt was counted");

    // The host keeps no keys of an expired keyset, also after a restart.
    let KeyringError::Keyset(error) = rooted.open(&short).unwrap_err() else { panic!("another error") };
    assert_eq!(error.kind, KeysetErrorKind::Refused(KeysetRefusal::Expired));
    let next = rooted.sign(HOUR);
    let parts = rooted.parts(rooted.open(&next).unwrap(), &ran);
    let worker = Running::start(rooted.fleet.worker_settings(), parts);
    let ran_now = |noted: &Noted| matches!(noted, Noted::Succeeded { id } if *id == task.id());
    worker.seen.until("the task", ran_now).await;
    worker.stop().await;
}

async fn task_is_put_off_if_the_keyset_expires_between_its_verification_and_its_decryption(fleet: Fleet) {
    let mut rooted = Rooted::new(fleet);
    let (short, ran) = (rooted.sign(3), Ran::default());
    let mut parts = rooted.parts(rooted.open(&short).unwrap(), &ran);
    let fleet = &rooted.fleet;
    let ledger = FaultyLedger::new(Arc::clone(&parts.ledger));
    let held = ledger.hold_acquire();
    parts.ledger = ledger;
    let worker = Running::start(fleet.worker_settings(), parts);
    let task = fleet.seal(&fleet.sealing_key(PRODUCER), |claims| claims.attempts(1));
    fleet.push(task.record()).await;
    let put_off = Noted::KeysetNotInForce { id: task.id(), refusal: KeysetRefusal::Expired };
    tokio::select! {
        () = held.reached.notified() => {}
        // This host was too slow to verify it in time.
        _ = worker.seen.until("the alarm", |noted| *noted == put_off) => {}
    }
    until("the end of the keyset", async || (unix_now() >= short.not_after).then_some(())).await;
    drop(held);
    worker.seen.until("the alarm", |noted| *noted == put_off).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.refused, tally.postponed), (0, [].into(), [].into()));
    assert_eq!(fleet.find(&task.id()).await.unwrap().retries, 0, "an attempt was counted");
}

async fn older_keyset_does_not_revive_a_revoked_key_after_a_restart(fleet: Fleet) {
    let mut rooted = Rooted::new(fleet);
    let file = rooted.fleet.path("keyset.toml");
    let revoking = fs::read_to_string(&file).unwrap();
    fs::write(&file, revoking.replace("state = \"compromised\"", "state = \"primary\"")).unwrap();
    let before = rooted.sign(HOUR);
    fs::write(&file, revoking).unwrap();
    let after = rooted.sign(HOUR);

    let ran = Ran::default();
    rooted.open(&before).unwrap();
    let parts = rooted.parts(rooted.open(&after).unwrap(), &ran);
    let fleet = &rooted.fleet;
    let forged = fleet.seal(&fleet.sealing_key(REVOKED), |claims| claims);
    fleet.push(forged.record()).await;
    let tally = Worker::new(fleet.worker_settings(), parts).run_once().await;
    assert_eq!((tally.started, tally.refused), (0, [(Refusal::KeyNotValid, 1)].into()));
    assert_eq!(fleet.find(&forged.id()).await.unwrap().state, TaskState::Archived);

    let KeyringError::Keyset(error) = rooted.open(&before).unwrap_err() else { panic!("another error") };
    assert_eq!(error.kind, KeysetErrorKind::Refused(KeysetRefusal::RolledBack));
    assert_eq!(rooted.open(&after).unwrap().head().unwrap().sequence, 2);
}

/// Returns a deployment whose hosts fetch the keyset from the Redis of the queue.
async fn carried() -> Option<Rooted> {
    let fleet = Fleet::redis().await?;
    let AnyQueue::Redis(server) = fleet.queue() else { panic!("another broker") };
    let url = server.url();
    let rooted = Rooted::new(fleet);
    let file = rooted.fleet.path("taskseal.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}keyset_url = \"broker:\"\n[broker]\nurl = \"{url}\"\n")).unwrap();
    Some(rooted)
}

impl Rooted {
    fn config(&self) -> Config {
        Config::load(&self.fleet.path("taskseal.toml")).unwrap()
    }

    fn stop_redis(&mut self) {
        let AnyQueue::Redis(server) = self.fleet.queue_mut() else { panic!("another broker") };
        server.stop();
    }

    fn sequence(&self) -> u64 {
        self.config().keyring().unwrap().head().unwrap().sequence
    }
}

#[tokio::test]
async fn host_without_a_copy_does_not_start_while_redis_has_no_keyset_or_is_down() {
    let Some(mut rooted) = carried().await else { return };
    let unavailable = |rooted: &Rooted| {
        let KeyringError::Keyset(error) = rooted.config().keyring().unwrap_err() else {
            panic!("another error")
        };
        assert_eq!(error.kind, KeysetErrorKind::Unavailable);
        error.to_string()
    };
    assert!(unavailable(&rooted).contains("Redis has none"));
    rooted.stop_redis();
    unavailable(&rooted);
}

#[tokio::test]
async fn keyset_in_redis_is_used_and_neither_an_older_one_nor_garbage_nor_an_outage_replaces_it() {
    let Some(mut rooted) = carried().await else { return };
    let (first, second) = (rooted.sign(HOUR), rooted.sign(HOUR));
    rooted.config().publish_keyset(&first.bytes).unwrap();
    assert_eq!(rooted.sequence(), 1);
    rooted.config().publish_keyset(&second.bytes).unwrap();
    assert_eq!(rooted.sequence(), 2);

    rooted.config().publish_keyset(&first.bytes).unwrap();
    assert_eq!(rooted.sequence(), 2);
    rooted.config().publish_keyset(&vec![0xd2; 1 << 20]).unwrap();
    let keyring = rooted.config().keyring().unwrap();
    let head = keyring.head().unwrap();
    let [KeyringError::Keyset(refused)] = &*head.refused else { panic!("{:?}", head.refused) };
    assert_eq!((head.sequence, refused.refusal()), (2, Some(KeysetRefusal::TooLarge)));

    rooted.stop_redis();
    assert_eq!(rooted.sequence(), 2);
}
