//! Tasks that time or a deployment makes acceptable: they are put off, cost no attempt, and run in the end. What can never
//! become acceptable is refused at once.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use taskseal::broker::{TaskRecord, TaskState};
use taskseal::keys::Keyring;
use taskseal::quarantine::Filter;
use taskseal::worker::{Backoff, Tally};
use taskseal::{Task, Worker, WorkerParts, WorkerSettings};
use taskseal_core::{Refusal, Suite, TaskType};
use taskseal_tests::fleet::{Fleet, Noted, PRODUCER, Ran, Running, STRANGER, Sealed, mail, unix_now};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    forged_task_in_a_suite_that_is_not_allowed_is_refused_at_once,
    unknown_key_is_refused_once_the_times_of_its_task_have_passed,
    unknown_key_whose_task_claims_a_far_expiry_is_refused_at_once,
    type_without_a_handler_is_refused_once_its_task_has_expired,
    task_that_never_expires_is_refused_once_it_has_waited_for_the_longest_lifetime,
    suite_that_is_not_allowed_runs_once_the_policy_allows_it,
    batch_runs_once_the_policy_allows_it,
    unknown_key_runs_once_the_keyset_has_it,
    type_without_a_handler_runs_once_it_has_one,
    task_from_the_future_runs_once_the_clock_allows_it,
    body_for_another_key_runs_once_the_key_is_here,
    many_tasks_of_unknown_keys_delay_no_good_task,
}

/// Runs what is pending.
async fn run(fleet: &Fleet, settings: WorkerSettings, ran: &Ran) -> Tally {
    Worker::new(settings, fleet.parts(ran.handlers())).run_once().await
}

/// Checks that a worker with these parts refuses the task for good.
async fn is_refused(fleet: &Fleet, parts: WorkerParts, refusal: Refusal, record: TaskRecord) {
    let id = record.id.clone();
    fleet.push(record).await;
    let tally = Worker::new(fleet.worker_settings(), parts).run_once().await;
    assert_eq!((tally.started, tally.refused), (0, [(refusal, 1)].into()));
    assert_eq!(fleet.find(&id).await.unwrap().state, TaskState::Archived);
    let kept = fleet.quarantine().list(&Filter::default(), 0, 10).unwrap();
    assert_eq!(kept.iter().map(|entry| entry.code.as_str()).collect::<Vec<_>>(), [refusal.code()]);
}

/// Checks that a worker with these parts puts the task off, twice, and that nothing is counted or kept.
async fn is_postponed(fleet: &Fleet, parts: impl Fn() -> WorkerParts, refusal: Refusal, task: &Sealed) {
    fleet.push(task.record()).await;
    for _ in 0..2 {
        let tally = Worker::new(fleet.worker_settings(), parts()).run_once().await;
        assert_eq!((tally.started, tally.refused), (0, [].into()));
        assert_eq!(tally.postponed, [(refusal, 1)].into());
        let info = fleet.find(&task.id()).await.unwrap();
        assert_eq!((info.state, info.retries), (TaskState::Retry, 0));
        assert!(info.at.unwrap().as_secs() >= i64::try_from(unix_now()).unwrap());
        deliver_again(fleet, task).await;
    }
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().failed, 0);
    assert_eq!(fleet.quarantine().usage().unwrap().entries, 0);
}

/// As if the time at which the task is tried again had come.
async fn deliver_again(fleet: &Fleet, task: &Sealed) {
    fleet.queue().pull_forward(&task.id());
    assert_eq!(fleet.broker().forward(&mail(), 10).await.unwrap(), 1);
}

/// Checks that a worker with these settings and parts runs the task, as its first attempt.
async fn runs(settings: WorkerSettings, parts: impl FnOnce(&Ran) -> WorkerParts, task: &Sealed) {
    let ran = Ran::default();
    let tally = Worker::new(settings, parts(&ran)).run_once().await;
    assert_eq!((tally.succeeded, ran.all()), (1, vec![task.claims.task_id]), "{tally:?}");
    assert!(tally.postponed.is_empty());
}

async fn forged_task_in_a_suite_that_is_not_allowed_is_refused_at_once(fleet: Fleet) {
    let mut record = fleet.seal(&fleet.sealing_key_in(Suite::S), |claims| claims).record();
    let mut envelope = record.envelope.to_vec();
    *envelope.last_mut().unwrap() ^= 1;
    record.envelope = envelope.into();
    is_refused(&fleet, fleet.parts(Ran::default().handlers()), Refusal::SuiteNotAllowed, record).await;
}

async fn unknown_key_is_refused_once_the_times_of_its_task_have_passed(fleet: Fleet) {
    let past = |seconds| unix_now() - seconds;
    let key = fleet.sealing_key(STRANGER);
    let task = fleet.seal(&key, |claims| claims.issued_at(past(900)).expires_at(past(120)));
    is_refused(&fleet, fleet.parts(Ran::default().handlers()), Refusal::UnknownKey, task.record()).await;
}

async fn unknown_key_whose_task_claims_a_far_expiry_is_refused_at_once(fleet: Fleet) {
    let year = 365 * 86_400;
    let task = fleet.seal(&fleet.sealing_key(STRANGER), |claims| {
        claims.issued_at(unix_now() + year).expires_at(unix_now() + year + 60)
    });
    is_refused(&fleet, fleet.parts(Ran::default().handlers()), Refusal::UnknownKey, task.record()).await;
}

fn report(fleet: &Fleet, issued_at: u64, expires_at: u64) -> Sealed {
    fleet.seal(&fleet.sealing_key(PRODUCER), |mut claims| {
        claims.task_type = TaskType::new("report:make").unwrap();
        claims.attempts(1).issued_at(issued_at).expires_at(expires_at)
    })
}

async fn type_without_a_handler_is_refused_once_its_task_has_expired(fleet: Fleet) {
    let task = report(&fleet, unix_now() - 900, unix_now() - 120);
    is_refused(&fleet, fleet.parts(Ran::default().handlers()), Refusal::TypeNotHandled, task.record()).await;
}

async fn task_that_never_expires_is_refused_once_it_has_waited_for_the_longest_lifetime(fleet: Fleet) {
    let key = fleet.sealing_key(PRODUCER);
    let unhandled = fleet.seal_without_times(&key, |mut claims| {
        claims.task_type = TaskType::new("report:make").unwrap();
        claims
    });
    let in_suite = fleet.seal_without_times(&fleet.sealing_key_in(Suite::S), |claims| claims);
    let unreadable = fleet.seal_without_times(&fleet.sealing_key_without_a_reader(), |claims| claims);
    let mut settings = fleet.worker_settings();
    settings.policy.clockless = true;
    settings.policy.max_lifetime = Duration::from_secs(1);
    settings.postpone = Backoff::new(Duration::from_millis(1), Duration::from_secs(1));
    let tasks = [&unhandled, &in_suite, &unreadable];
    for task in tasks {
        fleet.push(task.record()).await;
    }
    let worker = Running::start(settings, fleet.parts(Ran::default().handlers()));
    for task in tasks {
        let is_refused = |noted: &Noted| matches!(noted, Noted::Refused { id, .. } if *id == task.id());
        worker.seen.until(&format!("the refusal of {}", task.claims.task_type.as_str()), is_refused).await;
    }
    let tally = worker.stop().await;
    let codes = [Refusal::TypeNotHandled, Refusal::SuiteNotAllowed, Refusal::NoDecryptionKey];
    assert_eq!((tally.started, &tally.refused), (0, &codes.map(|code| (code, 1)).into()));
    // It was put off first.
    assert!(codes.iter().all(|code| tally.postponed.contains_key(code)), "{tally:?}");
}

async fn suite_that_is_not_allowed_runs_once_the_policy_allows_it(fleet: Fleet) {
    let task = fleet.seal(&fleet.sealing_key_in(Suite::S), |claims| claims.attempts(1));
    let parts = || fleet.parts(Ran::default().handlers());
    is_postponed(&fleet, parts, Refusal::SuiteNotAllowed, &task).await;
    let mut settings = fleet.worker_settings();
    settings.policy.suites = settings.policy.suites.with(Suite::S);
    runs(settings, |ran| fleet.parts(ran.handlers()), &task).await;
}

async fn batch_runs_once_the_policy_allows_it(fleet: Fleet) {
    let mut client = fleet.client_settings();
    client.sign_batch = 64;
    let tasks = (0..3).map(|body| Task::new("email:send", &body).unwrap().attempts(1)).collect();
    let receipts = fleet.client_with(client).enqueue_all(tasks).await.unwrap();
    let ran = Ran::default();
    let tally = run(&fleet, fleet.worker_settings(), &ran).await;
    assert_eq!(
        (tally.started, tally.refused, tally.postponed),
        (0, [].into(), [(Refusal::SuiteNotAllowed, 3)].into())
    );
    for receipt in &receipts {
        let info = fleet.find(&receipt.id.to_string()).await.unwrap();
        assert_eq!((info.state, info.retries), (TaskState::Retry, 0));
        fleet.queue().pull_forward(&receipt.id.to_string());
    }
    assert_eq!(fleet.broker().forward(&mail(), 10).await.unwrap(), 3);
    let mut settings = fleet.worker_settings();
    settings.policy.batches = true;
    assert_eq!(run(&fleet, settings, &ran).await.succeeded, 3);
}

async fn unknown_key_runs_once_the_keyset_has_it(fleet: Fleet) {
    let task = fleet.seal(&fleet.sealing_key(STRANGER), |claims| claims.attempts(1));
    let parts = || fleet.parts(Ran::default().handlers());
    is_postponed(&fleet, parts, Refusal::UnknownKey, &task).await;
    let with_the_key = |ran: &Ran| {
        let mut parts = fleet.parts(ran.handlers());
        let keyring = Keyring::load(&fleet.path("all.toml")).unwrap();
        parts.keyring = keyring.with_decryption_keys([fleet.path("shared.key")]).unwrap();
        parts
    };
    runs(fleet.worker_settings(), with_the_key, &task).await;
}

async fn type_without_a_handler_runs_once_it_has_one(fleet: Fleet) {
    let task = report(&fleet, unix_now(), unix_now() + 600);
    let parts = || fleet.parts(Ran::default().handlers());
    is_postponed(&fleet, parts, Refusal::TypeNotHandled, &task).await;
    runs(fleet.worker_settings(), |ran| fleet.parts(ran.handlers_of(&["report:*"])), &task).await;
}

async fn task_from_the_future_runs_once_the_clock_allows_it(fleet: Fleet) {
    let soon = unix_now() + 200;
    let key = fleet.sealing_key(PRODUCER);
    let task = fleet.seal(&key, |claims| claims.attempts(1).issued_at(soon).expires_at(soon + 60));
    let parts = || fleet.parts(Ran::default().handlers());
    is_postponed(&fleet, parts, Refusal::IssuedInFuture, &task).await;
    // As if 240 seconds had passed.
    let mut settings = fleet.worker_settings();
    settings.policy.skew = Duration::from_secs(300);
    runs(settings, |ran| fleet.parts(ran.handlers()), &task).await;
}

async fn body_for_another_key_runs_once_the_key_is_here(fleet: Fleet) {
    let task = fleet.seal(&fleet.sealing_key_without_a_reader(), |claims| claims.attempts(1));
    let parts = || fleet.parts(Ran::default().handlers());
    is_postponed(&fleet, parts, Refusal::NoDecryptionKey, &task).await;
    let with_the_key = |ran: &Ran| {
        let mut parts = fleet.parts(ran.handlers());
        parts.keyring = parts.keyring.with_decryption_keys([fleet.path("unshared.key")]).unwrap();
        parts
    };
    runs(fleet.worker_settings(), with_the_key, &task).await;
}

async fn many_tasks_of_unknown_keys_delay_no_good_task(fleet: Fleet) {
    let key = fleet.sealing_key(STRANGER);
    for _ in 0..300 {
        fleet.push(fleet.seal(&key, |claims| claims).record()).await;
    }
    let good = fleet.client().enqueue(Task::new("email:send", &"good").unwrap()).await.unwrap();
    let ran = Ran::default();
    let tally = run(&fleet, fleet.worker_settings(), &ran).await;
    // Each was delivered once: a short delay would have delivered the first ones again before the good task.
    assert_eq!((tally.postponed, ran.all()), ([(Refusal::UnknownKey, 300)].into(), vec![good.id]));
    assert_eq!(fleet.quarantine().usage().unwrap().entries, 0);
}
