//! Keys in a token that is unavailable for some time: callers wait within their limits, tasks wait in the queue, no task is
//! lost and none runs twice. A message that is too long for the token fails at once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use taskseal::client::ClientError;
use taskseal::handler::{Failure, Function, Handlers, Output};
use taskseal::keys::{Algorithm, KeyHandle, Keyring, SealingSource, SecretKey};
use taskseal::policy::TypeRules;
use taskseal::result::ResultSealer;
use taskseal::{Client, Receipt, Task, Worker, WorkerSettings};
use taskseal_core::{ContentType, Kind, OpenError, SealError, Suite, SuiteSet};
use taskseal_tests::fleet::{Fleet, Noted, Ran, Running, every_type, mail, until};
use taskseal_tests::signer::{TestAgreement, TestAuthenticator, TestSigner, Then};

fn client(fleet: &Fleet, patience: Duration) -> (Client, Arc<TestSigner>) {
    let signer = Arc::new(TestSigner::new(fleet.producer_key()));
    let mut settings = fleet.client_settings();
    settings.sign_batch = 4;
    settings.retry_for = patience;
    let key = fleet.sealing_key_by(Arc::clone(&signer) as _);
    (Client::new(settings, fleet.broker(), key, fleet.keyring()), signer)
}

fn task() -> Task {
    Task::new("email:send", &1).unwrap()
}

fn succeeded(noted: &Noted) -> bool {
    matches!(noted, Noted::Succeeded { .. })
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_gives_up_on_an_unavailable_token_after_its_patience_and_enqueues_nothing() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, Duration::from_millis(200));
    signer.from_now_on(Then::IsUnavailable);
    let error = client.enqueue_all(vec![task(), task()]).await.unwrap_err();
    assert!(matches!(error, ClientError::Sealing(SealError::Signer(_))), "{error:?}");
    assert!(signer.asked() > 1);
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(Handlers::default())).run_once().await;
    assert_eq!((tally.started, tally.refused_total()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delay_without_end_that_a_key_requires_is_limited_by_the_patience_of_the_client() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, Duration::from_millis(200));
    signer.from_now_on(Then::IsUnavailableWithoutEnd);
    let error = client.enqueue(task()).await.unwrap_err();
    assert!(matches!(error, ClientError::Sealing(SealError::Signer(_))), "{error:?}");
    // The last attempt is made when the patience ends.
    assert_eq!(signer.asked(), 2);

    let (client, token, receipt) = answered(&fleet, Duration::from_millis(200)).await;
    token.from_now_on(Then::IsUnavailableWithoutEnd);
    let error = client.result(&receipt).await.unwrap_err();
    assert!(matches!(error, ClientError::Result(OpenError::KeyUnavailable)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_does_not_repeat_a_request_that_fails_permanently() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, LONG);
    signer.from_now_on(Then::Fails);
    let error = client.enqueue(task()).await.unwrap_err();
    assert!(matches!(error, ClientError::Sealing(SealError::Signer(_))), "{error:?}");
    assert_eq!(signer.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_whose_token_comes_back_enqueues_every_task_once() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, LONG);
    signer.from_now_on(Then::IsUnavailable);
    let client = Arc::new(client);
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.enqueue(task()).await.unwrap() })
        })
        .collect();
    until("some attempts", async || (signer.asked() > 3).then_some(())).await;
    signer.from_now_on(Then::Signs);
    let mut ids = Vec::new();
    for caller in callers {
        ids.push(caller.await.unwrap().id);
    }
    let ran = Ran::default();
    let mut settings = fleet.worker_settings();
    settings.policy.batches = true;
    let tally = Worker::new(settings, fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.succeeded, tally.refused_total()), (6, 0));
    let mut ran = ran.all();
    ran.sort();
    ids.sort();
    assert_eq!(ran, ids);
}

/// An HMAC key as if it were in the client's token, a client that knows its name only, and the keyring of a worker that
/// has the secret.
fn authenticated(fleet: &Fleet, patience: Duration) -> (Client, Arc<TestAuthenticator>, Keyring) {
    let SecretKey::Mac(key) = SecretKey::create(&fleet.path("mac.key"), Algorithm::Hs256, "mac").unwrap()
    else {
        panic!("another key")
    };
    let entry = |secret: &str| {
        format!(
            "[[key]]\nkid = \"{}\"\nalg = \"HS256\"\nuse = \"task\"\n{secret}\n\
             issuers = [\"shop\"]\ntypes = [\"*\"]\naudiences = [\"test/*\"]\n",
            key.kid()
        )
    };
    fs::write(fleet.path("client.toml"), entry("in_token = true")).unwrap();
    fs::write(fleet.path("worker.toml"), entry("secret_file = \"mac.key\"")).unwrap();
    let of_client = Keyring::load(&fleet.path("client.toml")).unwrap();
    let token = Arc::new(TestAuthenticator::new(*key));
    let source = SealingSource::new(Suite::M, fleet.path("token"));
    let key = of_client
        .sealing_key_from(KeyHandle::Authenticator(Arc::clone(&token) as _), &source, Kind::Task)
        .unwrap();
    let mut settings = fleet.client_settings();
    settings.retry_for = patience;
    let client = Client::new(settings, fleet.broker(), key, of_client);
    (client, token, Keyring::load(&fleet.path("worker.toml")).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_gives_up_on_an_unavailable_hmac_key_after_its_patience_and_enqueues_nothing() {
    let fleet = Fleet::embedded().await;
    let (client, token, keyring) = authenticated(&fleet, Duration::from_millis(200));
    token.from_now_on(Then::IsUnavailable);
    let error = client.enqueue(task()).await.unwrap_err();
    assert!(matches!(error, ClientError::Sealing(SealError::Signer(_))), "{error:?}");
    assert!(token.asked() > 1);
    let mut parts = fleet.parts(Handlers::default());
    parts.keyring = keyring;
    let tally = Worker::new(fleet.worker_settings(), parts).run_once().await;
    assert_eq!((tally.started, tally.refused_total()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_whose_hmac_key_comes_back_enqueues_what_a_worker_with_the_secret_runs_once() {
    let fleet = Fleet::embedded().await;
    let (client, token, keyring) = authenticated(&fleet, LONG);
    token.from_now_on(Then::IsUnavailable);
    let caller = tokio::spawn(async move { client.enqueue(task()).await.unwrap() });
    until("some attempts", async || (token.asked() > 3).then_some(())).await;
    token.from_now_on(Then::Signs);
    let id = caller.await.unwrap().id;
    let ran = Ran::default();
    let mut parts = fleet.parts(ran.handlers());
    parts.keyring = keyring;
    let mut settings = fleet.worker_settings();
    settings.policy.suites = SuiteSet::NONE.with(Suite::M);
    let tally = Worker::new(settings, parts).run_once().await;
    assert_eq!((tally.succeeded, tally.refused_total()), (1, 0));
    assert_eq!(ran.all(), [id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_too_long_for_the_token_fails_at_once_and_the_client_seals_the_next_one() {
    let fleet = Fleet::embedded().await;
    let (client, token, _) = authenticated(&fleet, LONG);
    token.from_now_on(Then::TakesAtMost(2048));
    let long = Task::new("email:send", &"long ".repeat(1000)).unwrap();
    let error = client.enqueue(long).await.unwrap_err();
    let ClientError::Sealing(SealError::Signer(fault)) = &error else { panic!("{error:?}") };
    assert!(fault.refuses_message() && fault.retry_after().is_none());
    assert!(error.to_string().contains("takes no message of this length"), "{error}");
    assert_eq!(token.asked(), 1);
    client.enqueue(task()).await.unwrap();
}

/// An HMAC key that seals results as if it were in the worker's token.
fn authenticates_results(fleet: &Fleet) -> (ResultSealer, Arc<TestAuthenticator>) {
    let SecretKey::Mac(key) = SecretKey::create(&fleet.path("mac.key"), Algorithm::Hs256, "mac").unwrap()
    else {
        panic!("another key")
    };
    let entry = format!(
        "[[key]]\nkid = \"{}\"\nalg = \"HS256\"\nuse = \"result\"\nin_token = true\n\
         issuers = [\"*\"]\ntypes = [\"*\"]\naudiences = [\"test/*\"]\n",
        key.kid()
    );
    fs::write(fleet.path("results.toml"), entry).unwrap();
    let keyring = Keyring::load(&fleet.path("results.toml")).unwrap();
    let token = Arc::new(TestAuthenticator::new(*key));
    let source = SealingSource::new(Suite::M, fleet.path("token"));
    let key = keyring
        .sealing_key_from(KeyHandle::Authenticator(Arc::clone(&token) as _), &source, Kind::Result)
        .unwrap();
    (ResultSealer::new("worker-1", key).unwrap(), token)
}

/// The settings of a worker that signs results only, so that the calls of the key can be counted.
fn settings_without_status(fleet: &Fleet) -> WorkerSettings {
    let mut settings = fleet.worker_settings();
    settings.status_every = Duration::ZERO;
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_that_the_token_refuses_for_its_length_ends_its_own_task_and_the_worker_goes_on() {
    let fleet = Fleet::embedded().await;
    let long = fleet.client().enqueue(task().attempts(5)).await.unwrap();
    let mut parts = fleet.parts(every_type(move |task| async move {
        let length = if task.id == long.id { 100_000 } else { 10 };
        Ok(Output::new(ContentType::OCTETS, vec![7; length]))
    }));
    let (results, token) = authenticates_results(&fleet);
    parts.results = results;
    token.from_now_on(Then::TakesAtMost(2048));
    let running = Running::start(settings_without_status(&fleet), parts);
    let ended = |noted: &Noted| matches!(noted, Noted::Archived { .. });
    running.seen.until("the end of the one", ended).await;
    fleet.client().enqueue(task()).await.unwrap();
    running.seen.until("the end of the other", succeeded).await;
    let noted = running.seen.all();
    let clear = |noted: &Noted| {
        matches!(noted, Noted::Archived { reason, .. }
            if reason.contains("the result cannot be sealed") && reason.contains("takes no message of this length"))
    };
    assert!(noted.iter().any(clear), "{noted:?}");
    let tally = running.stop().await;
    assert_eq!((tally.started, tally.succeeded, tally.archived), (2, 1, 1));
    assert_eq!((tally.retried, tally.key_unavailable, token.asked()), (0, 0, 2));
}

const QUOTA_OF_ONE: &str = "default = \"allow\"\n[[issuer]]\nissuer = \"*\"\ntasks_per_minute = 1\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_whose_decryption_key_is_unavailable_waits_and_runs_once_with_its_first_attempt() {
    let fleet = Fleet::embedded().await;
    let settings = fleet.client_settings();
    let sp = Client::new(settings, fleet.broker(), fleet.sealing_key_in(Suite::Sp), fleet.keyring());
    let receipt = sp.enqueue(task().attempts(1)).await.unwrap();

    let token = Arc::new(TestAgreement::new(fleet.recipient_key()));
    token.from_now_on(Then::IsUnavailable);
    let ran = Ran::default();
    let mut parts = fleet.parts(ran.handlers());
    parts.keyring = parts.keyring.with_remote_decryption_keys([Arc::clone(&token) as _]);
    // Each of the attempts would use up the quota.
    let mut settings = fleet.worker_settings();
    fs::write(fleet.path("policy.toml"), QUOTA_OF_ONE).unwrap();
    settings.rules = TypeRules::load(&fleet.path("policy.toml")).unwrap();
    let running = Running::start(settings, parts);
    until("some attempts", async || (token.asked() > 2).then_some(())).await;
    assert_eq!(ran.all(), []);
    token.from_now_on(Then::Signs);
    running.seen.until("the run", succeeded).await;
    let tally = running.stop().await;
    assert_eq!(ran.all(), [receipt.id]);
    assert_eq!((tally.succeeded, tally.archived, tally.refused_total()), (1, 0, 0));
    assert!(tally.key_unavailable > 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authentic_task_that_a_broken_token_cannot_decrypt_waits_and_is_never_refused() {
    let fleet = Fleet::embedded().await;
    let settings = fleet.client_settings();
    let sp = Client::new(settings, fleet.broker(), fleet.sealing_key_in(Suite::Sp), fleet.keyring());
    let receipt = sp.enqueue(task().attempts(1)).await.unwrap();

    let token = Arc::new(TestAgreement::new(fleet.recipient_key()));
    token.from_now_on(Then::SignsWrongly);
    let ran = Ran::default();
    let mut parts = fleet.parts(ran.handlers());
    parts.keyring = parts.keyring.with_remote_decryption_keys([Arc::clone(&token) as _]);
    let running = Running::start(fleet.worker_settings(), parts);
    let seen = running.seen.clone();
    let put_off = |noted: &Noted| matches!(noted, Noted::GivenBack { .. });
    until("some attempts", async || (seen.count(put_off) > 1).then_some(())).await;
    token.from_now_on(Then::Signs);
    running.seen.until("the run", succeeded).await;
    let tally = running.stop().await;
    assert_eq!(ran.all(), [receipt.id]);
    assert_eq!((tally.succeeded, tally.archived, tally.refused_total()), (1, 0, 0));
}

/// A worker that has run its task and signs results in an unavailable token.
async fn unsealed(fleet: &Fleet, attempts: u16) -> (Running, Arc<TestSigner>, Ran) {
    unsealed_since(fleet, attempts, Then::IsUnavailable).await
}

async fn unsealed_since(fleet: &Fleet, attempts: u16, then: Then) -> (Running, Arc<TestSigner>, Ran) {
    fleet.client().enqueue(task().attempts(attempts)).await.unwrap();
    let token = Arc::new(TestSigner::new(fleet.worker_key()));
    token.from_now_on(then);
    let ran = Ran::default();
    let mut parts = fleet.parts(ran.handlers());
    parts.results = ResultSealer::new("worker-1", fleet.result_key_by(Arc::clone(&token) as _)).unwrap();
    let mut settings = fleet.worker_settings();
    settings.drain = Duration::from_millis(100);
    let running = Running::start(settings, parts);
    until("some attempts", async || (token.asked() > 2).then_some(())).await;
    (running, token, ran)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_waits_for_an_unavailable_token_and_its_task_does_not_run_again() {
    let fleet = Fleet::embedded().await;
    let (running, token, ran) = unsealed(&fleet, 1).await;
    comes_back(&fleet, running, &token, &ran).await;
}

/// The token signs again, and the result of the one run is there.
async fn comes_back(fleet: &Fleet, running: Running, token: &TestSigner, ran: &Ran) {
    let is_back = |noted: &Noted| *noted == Noted::KeyBack;
    assert_eq!(running.seen.count(is_back), 0);
    token.from_now_on(Then::Signs);
    running.seen.until("the end", succeeded).await;
    assert_eq!(running.seen.count(is_back), 1);
    let tally = running.stop().await;
    assert_eq!((tally.started, tally.archived, tally.retried), (1, 0, 0));
    assert_eq!(ran.all().len(), 1);
    let receipt = fleet.client().receipt(&mail(), ran.all()[0]).await.unwrap().unwrap();
    assert!(fleet.client().result(&receipt).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_waits_for_its_key_whatever_the_fault_and_its_task_is_neither_archived_nor_run_again() {
    for fault in [Then::Fails, Then::SignsWrongly] {
        let fleet = Fleet::embedded().await;
        let (running, token, ran) = unsealed_since(&fleet, 1, fault).await;
        comes_back(&fleet, running, &token, &ran).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_takes_no_task_while_the_key_of_its_results_is_unusable() {
    let fleet = Fleet::embedded().await;
    let (running, token, ran) = unsealed(&fleet, 1).await;
    fleet.client().enqueue_all((0..5).map(|_| task()).collect()).await.unwrap();
    let asked = token.asked();
    until("more attempts", async || (token.asked() > asked + 10).then_some(())).await;
    assert_eq!(ran.all().len(), 1);
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().pending, 5);
    token.from_now_on(Then::Signs);
    until("all to be done", async || {
        (fleet.broker().stats(&mail()).await.unwrap().completed == 6).then_some(())
    })
    .await;
    let tally = running.stop().await;
    assert_eq!((tally.started, tally.succeeded, tally.given_back), (6, 6, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_that_loses_the_task_it_tried_its_key_with_tries_it_with_one_other() {
    let fleet = Fleet::embedded().await;
    let (running, token, ran) = unsealed(&fleet, 5).await;
    fleet.client().enqueue_all((0..5).map(|_| task()).collect()).await.unwrap();
    // Another worker acquired the lock, and has ended since.
    let ledger = rusqlite::Connection::open(fleet.path("ledger.db")).unwrap();
    ledger.execute("UPDATE task SET owner = 'another', until = 0 WHERE state = 'claimed'", []).unwrap();
    until("another task", async || (ran.all().len() > 1).then_some(())).await;
    let asked = token.asked();
    until("more attempts", async || (token.asked() > asked + 10).then_some(())).await;
    assert_eq!(ran.all().len(), 2);
    token.from_now_on(Then::Signs);
    until("all to be done", async || {
        (fleet.broker().stats(&mail()).await.unwrap().completed == 6).then_some(())
    })
    .await;
    assert_eq!(running.stop().await.archived, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_that_stops_before_its_token_is_back_gives_the_task_back_and_the_attempt_counts() {
    let fleet = Fleet::embedded().await;
    let (running, _, ran) = unsealed(&fleet, 2).await;
    let tally = running.stop().await;
    assert_eq!((tally.given_back, tally.archived, tally.retried), (1, 0, 0));
    let next = fleet.start(ran.handlers());
    next.seen.until("the second attempt", |noted| matches!(noted, Noted::Started { attempt: 2, .. })).await;
    next.seen.until("the end", succeeded).await;
    let tally = next.stop().await;
    assert_eq!((tally.succeeded, tally.archived, ran.all().len()), (1, 0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_with_one_attempt_is_not_started_again_however_often_its_worker_stops_before_its_token_is_back()
{
    let fleet = Fleet::embedded().await;
    let (running, _, ran) = unsealed(&fleet, 1).await;
    let tally = running.stop().await;
    assert_eq!((tally.given_back, tally.archived), (0, 1));
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.started, tally.refused_total(), ran.all().len()), (0, 0, 1));
}

/// A client whose results are encrypted to a key in a token, one result, and its receipt.
async fn answered(fleet: &Fleet, patience: Duration) -> (Client, Arc<TestAgreement>, Receipt) {
    let SecretKey::Agree(key) =
        SecretKey::create(&fleet.path("answers.key"), Algorithm::EcdhEs, "answers").unwrap()
    else {
        panic!("another key")
    };
    let public = SecretKey::read(&fleet.path("answers.key")).unwrap().public().unwrap();
    let kid = key.public_key().kid();
    let entry =
        format!("[[key]]\nkid = \"{kid}\"\nalg = \"ECDH-ES\"\nuse = \"result\"\npublic = \"{public}\"\n");
    for file in ["keyset.toml", "all.toml"] {
        let keyset = fs::read_to_string(fleet.path(file)).unwrap();
        fs::write(fleet.path(file), format!("{keyset}{entry}")).unwrap();
    }
    let source = SealingSource::new(Suite::Sp, fleet.path("worker.key")).recipient(kid);
    let sealing = fleet.keyring().sealing_key(&source, Kind::Result).unwrap();
    let mut parts = fleet.parts(Ran::default().handlers());
    parts.results = ResultSealer::new("worker-1", sealing).unwrap();
    let receipt = fleet.client().enqueue(task()).await.unwrap();
    assert_eq!(Worker::new(fleet.worker_settings(), parts).run_once().await.succeeded, 1);

    let token = Arc::new(TestAgreement::new(*key));
    let keyring = fleet.keyring().with_remote_decryption_keys([Arc::clone(&token) as _]);
    let mut settings = fleet.client_settings();
    settings.retry_for = patience;
    let client = Client::new(settings, fleet.broker(), fleet.sealing_key("producer"), keyring);
    (client, token, receipt)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_whose_key_is_unavailable_or_wrong_for_a_while_is_opened_when_it_is_back() {
    for fault in [Then::IsUnavailable, Then::SignsWrongly] {
        let fleet = Fleet::embedded().await;
        let (client, token, receipt) = answered(&fleet, LONG).await;
        token.from_now_on(fault);
        let reader = tokio::spawn(async move { client.result(&receipt).await });
        until("some attempts", async || (token.asked() > 4).then_some(())).await;
        token.from_now_on(Then::Signs);
        assert!(reader.await.unwrap().unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_is_out_of_reach_after_the_patience_of_the_client_while_its_key_is_unavailable() {
    let fleet = Fleet::embedded().await;
    let (client, token, receipt) = answered(&fleet, Duration::from_millis(200)).await;
    for (fault, more_than) in [(Then::IsUnavailable, 1), (Then::Fails, 0)] {
        let asked = token.asked();
        token.from_now_on(fault);
        let error = client.result(&receipt).await.unwrap_err();
        assert!(matches!(error, ClientError::Result(OpenError::KeyUnavailable)), "{error:?}");
        assert!(token.asked() - asked > more_than);
    }
    // A permanent failure is not repeated.
    let asked = token.asked();
    client.result(&receipt).await.unwrap_err();
    assert_eq!(token.asked() - asked, 1);
}

/// On one thread, which a result that waits for its token must not occupy.
#[tokio::test]
async fn result_that_waits_for_a_slow_key_holds_up_no_other_task_of_its_thread() {
    let fleet = Fleet::embedded().await;
    let (client, token, receipt) = answered(&fleet, LONG).await;
    token.hold();
    let (say, heard) = mpsc::channel();
    let held = Arc::clone(&token);
    let letting_go = thread::spawn(move || {
        let heard = heard.recv_timeout(Duration::from_secs(20)).is_ok();
        held.let_go();
        heard
    });
    let reader = tokio::spawn(async move { client.result(&receipt).await });
    until("the key to be asked", async || (token.asked() > 0).then_some(())).await;
    let _ = say.send(());
    assert!(reader.await.unwrap().unwrap().is_some());
    assert!(letting_go.join().unwrap(), "the thread was held up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_handler_does_not_wait_for_an_unavailable_token() {
    let fleet = Fleet::embedded().await;
    fleet.client().enqueue(task()).await.unwrap();
    let token = Arc::new(TestSigner::new(fleet.worker_key()));
    token.from_now_on(Then::IsUnavailable);
    let mut handlers = Handlers::default();
    handlers.insert(
        "email:*",
        Arc::new(Function::new(|_| async { Err::<Output, _>(Failure::GiveUp("no".into())) })),
    );
    let mut parts = fleet.parts(handlers);
    parts.results = ResultSealer::new("worker-1", fleet.result_key_by(Arc::clone(&token) as _)).unwrap();
    let tally = Worker::new(settings_without_status(&fleet), parts).run_once().await;
    assert_eq!((tally.archived, token.asked()), (1, 0));
}
