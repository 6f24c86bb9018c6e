//! Rules of single task types in a policy file: what a rule does not accept does not run, although the keyset allows
//! it. It is put off if another policy file makes it acceptable, and refused otherwise.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::{Arc, Mutex};

use taskseal::broker::TaskState;
use taskseal::policy::TypeRules;
use taskseal::quarantine::Filter;
use taskseal::worker::{Event, Tally};
use taskseal::{Worker, WorkerSettings};
use taskseal_core::{Refusal, Suite, TaskType};
use taskseal_tests::fleet::{Fleet, NARROW, PRODUCER, Ran, Sealed, mail, unix_now};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    type_without_a_rule_is_put_off_unless_the_file_allows_it,
    issuer_queue_and_key_that_the_rule_does_not_name_are_put_off,
    task_that_no_rule_accepts_is_refused_for_that_reason_once_it_has_expired,
    forged_task_that_no_rule_accepts_is_refused_at_once,
    task_that_never_expires_and_that_no_rule_accepts_is_refused_at_once,
    task_whose_key_has_no_right_is_refused_at_once_although_a_rule_denies_it_too,
    task_older_than_its_rule_allows_is_refused_and_not_run_after_a_failure,
    body_and_lifetime_beyond_the_rule_of_the_type_are_refused,
    task_beyond_the_quota_of_its_issuer_is_put_off_and_runs_later_as_its_first_attempt,
    forged_and_replayed_tasks_use_no_quota,
    suite_of_another_type_is_put_off,
    rule_accepts_what_the_settings_of_all_types_do_not,
}

/// Settings of a worker with these rules.
fn ruled(fleet: &Fleet, text: &str) -> WorkerSettings {
    let file = fleet.path("policy.toml");
    fs::write(&file, text).unwrap();
    let mut settings = fleet.worker_settings();
    settings.rules = TypeRules::load(&file).unwrap();
    settings
}

/// Checks that a worker with these rules refuses the task, and that the quarantine tells what the rule requires.
async fn is_refused(fleet: &Fleet, rules: &str, task: &Sealed, refusal: Refusal, required: &str) {
    fleet.push(task.record()).await;
    let ran = Ran::default();
    let worker = Worker::new(ruled(fleet, rules), fleet.parts(ran.handlers()));
    let tally = worker.run_once().await;
    assert_eq!((tally.started, &tally.refused), (0, &[(refusal, 1)].into()), "{rules}");
    let kept = fleet.quarantine().list(&Filter::default(), 0, 100).unwrap();
    let entry = kept.iter().find(|entry| entry.task_id == task.id()).unwrap();
    assert_eq!(entry.code, refusal.code());
    assert!(entry.detail.contains(required), "{}", entry.detail);
    assert!(ran.all().is_empty());
}

/// Checks that a worker with these rules puts the task off, and that the event tells what the rule requires and its line.
async fn is_put_off(fleet: &Fleet, rules: &str, task: &Sealed, refusal: Refusal, required: &str, line: &str) {
    fleet.push(task.record()).await;
    let (ran, details) = (Ran::default(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&details);
    let worker = Worker::new(ruled(fleet, rules), fleet.parts(ran.handlers()));
    let worker = worker.observed_by(move |event| {
        if let Event::Postponed { detail, .. } = event {
            noted.lock().unwrap().push(detail.clone());
        }
    });
    let tally = worker.run_once().await;
    assert_eq!((tally.started, tally.refused), (0, [].into()), "{rules}");
    assert_eq!(tally.postponed, [(refusal, 1)].into(), "{rules}");
    let info = fleet.find(&task.id()).await.unwrap();
    assert_eq!((info.state, info.retries), (TaskState::Retry, 0));
    let details = details.lock().unwrap().clone();
    let place = format!("policy.toml{line})");
    assert!(details.iter().all(|text| text.contains(required) && text.contains(&place)), "{details:?}");
    assert!(ran.all().is_empty() && details.len() == 1);
}

/// As if the time at which the task is tried again had come: checks that a worker with these rules runs it now.
async fn runs_later(fleet: &Fleet, rules: &str, task: &Sealed) {
    fleet.queue().pull_forward(&task.id());
    assert_eq!(fleet.broker().forward(&mail(), 10).await.unwrap(), 1);
    let ran = Ran::default();
    let tally = Worker::new(ruled(fleet, rules), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.succeeded, ran.all()), (1, vec![task.claims.task_id]), "{tally:?}");
}

/// Checks that a worker with these rules runs the task.
async fn runs(fleet: &Fleet, rules: &str, task: &Sealed) {
    fleet.push(task.record()).await;
    let ran = Ran::default();
    let tally = Worker::new(ruled(fleet, rules), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.succeeded, ran.all()), (1, vec![task.claims.task_id]), "{tally:?}");
}

async fn type_without_a_rule_is_put_off_unless_the_file_allows_it(fleet: Fleet) {
    for rules in ["", "[[type]]\ntype = \"email:sen\"\n", "[[type]]\ntype = \"invoice:*\"\n"] {
        let task = fleet.good();
        let required = "no rule for type email:send";
        is_put_off(&fleet, rules, &task, Refusal::TypeNotAllowed, required, "").await;
        runs_later(&fleet, "[[type]]\ntype = \"email:*\"\n", &task).await;
    }
    runs(&fleet, "default = \"allow\"\n", &fleet.good()).await;
}

/// A task that was sealed a quarter of an hour ago and has expired.
fn expired(fleet: &Fleet) -> Sealed {
    let now = unix_now();
    fleet.seal(&fleet.sealing_key(PRODUCER), |claims| claims.issued_at(now - 900).expires_at(now - 120))
}

async fn task_that_no_rule_accepts_is_refused_for_that_reason_once_it_has_expired(fleet: Fleet) {
    let denied = "no rule for type email:send";
    is_refused(&fleet, "", &expired(&fleet), Refusal::TypeNotAllowed, denied).await;
    let rules = "[[type]]\ntype = \"email:*\"\nissuers = [\"erp\"]\n";
    is_refused(&fleet, rules, &expired(&fleet), Refusal::IssuerNotAllowed, "issuer erp").await;
    let rules = "[[type]]\ntype = \"email:*\"\n";
    is_refused(&fleet, rules, &expired(&fleet), Refusal::Expired, "expired").await;
}

async fn forged_task_that_no_rule_accepts_is_refused_at_once(fleet: Fleet) {
    let mut task = fleet.good();
    *task.envelope.last_mut().unwrap() ^= 1;
    is_refused(&fleet, "", &task, Refusal::Rejected, "").await;
}

async fn task_that_never_expires_and_that_no_rule_accepts_is_refused_at_once(fleet: Fleet) {
    let (ran, of) = (Ran::default(), |field: &str| format!("[[type]]\ntype = \"email:*\"\n{field}\n"));
    let narrow = fleet.sealing_key(NARROW).kid();
    for (rules, refusal) in [
        (String::new(), Refusal::TypeNotAllowed),
        (of("issuers = [\"erp\"]"), Refusal::IssuerNotAllowed),
        (of("queues = [\"bulk\"]"), Refusal::AudienceNotAllowed),
        (of(&format!("kids = [\"{narrow}\"]")), Refusal::TypeNotAllowed),
    ] {
        let task = fleet.seal_without_times(&fleet.sealing_key(PRODUCER), |claims| claims);
        fleet.push(task.record()).await;
        let mut settings = ruled(&fleet, &rules);
        settings.policy.clockless = true;
        let tally = Worker::new(settings, fleet.parts(ran.handlers())).run_once().await;
        assert_eq!((tally.started, &tally.refused), (0, &[(refusal, 1)].into()), "{rules} {tally:?}");
        let kept = fleet.quarantine().list(&Filter::default(), 0, 100).unwrap();
        assert!(kept.iter().any(|entry| entry.task_id == task.id()), "{rules}");
    }
    assert!(ran.all().is_empty());
}

async fn task_whose_key_has_no_right_is_refused_at_once_although_a_rule_denies_it_too(fleet: Fleet) {
    let task = fleet.seal(&fleet.sealing_key(NARROW), |mut claims| {
        claims.task_type = TaskType::new("invoice:pay").unwrap();
        claims
    });
    is_refused(&fleet, "", &task, Refusal::TypeNotAllowed, "").await;
}

async fn issuer_queue_and_key_that_the_rule_does_not_name_are_put_off(fleet: Fleet) {
    let of = |field: &str| format!("[[type]]\ntype = \"email:*\"\n{field}\n");
    let narrow = fleet.sealing_key(NARROW).kid();
    for (field, refusal, required) in [
        ("issuers = [\"shop-*\", \"erp\"]", Refusal::IssuerNotAllowed, "issuer shop-* or erp".to_owned()),
        ("issuers = []", Refusal::IssuerNotAllowed, "issuer".to_owned()),
        ("queues = [\"bulk\"]", Refusal::AudienceNotAllowed, "queue bulk".to_owned()),
        (&format!("kids = [\"{narrow}\"]"), Refusal::TypeNotAllowed, format!("kid {narrow}")),
    ] {
        is_put_off(&fleet, &of(field), &fleet.good(), refusal, &required, ":2").await;
    }
    let by_narrow = fleet.seal(&fleet.sealing_key(NARROW), |claims| claims);
    runs(&fleet, &of(&format!("kids = [\"{narrow}\"]")), &by_narrow).await;
    runs(&fleet, &of("issuers = [\"sh*\"]\nqueues = [\"bulk\", \"mail\"]"), &fleet.good()).await;
}

async fn task_older_than_its_rule_allows_is_refused_and_not_run_after_a_failure(fleet: Fleet) {
    let rules = "[[type]]\ntype = \"email:*\"\nmax_age = \"5m\"\n";
    let key = fleet.sealing_key(PRODUCER);
    let aged = |seconds| {
        let now = unix_now();
        fleet.seal(&key, |claims| claims.issued_at(now - seconds).expires_at(now + 3600))
    };
    is_refused(&fleet, rules, &aged(361), Refusal::Expired, "an age of at most 300 s").await;
    runs(&fleet, rules, &aged(200)).await;
}

async fn body_and_lifetime_beyond_the_rule_of_the_type_are_refused(fleet: Fleet) {
    let of = |field: &str| format!("[[type]]\ntype = \"email:*\"\n{field}\n");
    is_refused(&fleet, &of("max_body = \"1B\""), &fleet.good(), Refusal::TooLarge, "larger").await;
    let rules = of("max_lifetime = \"1h\"");
    let long = |claims: taskseal_core::Claims<'static>| claims.expires_at(unix_now() + 3700);
    let task = fleet.seal(&fleet.sealing_key(PRODUCER), long);
    is_refused(&fleet, &rules, &task, Refusal::LifetimeTooLong, "longer than allowed").await;
    runs(&fleet, &rules, &fleet.good()).await;
}

/// Runs what is pending with a quota of the issuer.
async fn limited(fleet: &Fleet, issuer: &str, count: u32, ran: &Ran) -> (Tally, usize) {
    let rules =
        format!("default = \"allow\"\n[[issuer]]\nissuer = \"{issuer}\"\ntasks_per_minute = {count}\n");
    let used = Arc::new(Mutex::new(0));
    let noted = Arc::clone(&used);
    let worker = Worker::new(ruled(fleet, &rules), fleet.parts(ran.handlers()));
    let worker = worker.observed_by(move |event| {
        if let Event::QuotaUsed { .. } = event {
            *noted.lock().unwrap() += 1;
        }
    });
    let tally = worker.run_once().await;
    let used = *used.lock().unwrap();
    (tally, used)
}

async fn task_beyond_the_quota_of_its_issuer_is_put_off_and_runs_later_as_its_first_attempt(fleet: Fleet) {
    let key = fleet.sealing_key(PRODUCER);
    let tasks: Vec<Sealed> = (0..5).map(|_| fleet.seal(&key, |claims| claims.attempts(1))).collect();
    for task in &tasks {
        fleet.push(task.record()).await;
    }
    let ran = Ran::default();
    let (tally, used) = limited(&fleet, "shop", 2, &ran).await;
    assert_eq!((tally.succeeded, used), (2, 3), "{tally:?}");
    assert_eq!((tally.refused_total(), tally.postponed.is_empty()), (0, true));
    let done = ran.all();
    let waiting: Vec<&Sealed> = tasks.iter().filter(|task| !done.contains(&task.claims.task_id)).collect();
    for task in &waiting {
        let info = fleet.find(&task.id()).await.unwrap();
        assert_eq!((info.state, info.retries), (TaskState::Retry, 0));
        fleet.queue().pull_forward(&task.id());
    }
    assert_eq!(fleet.broker().forward(&mail(), 10).await.unwrap(), 3);
    // The quota of another issuer, in another process.
    let (tally, used) = limited(&fleet, "erp", 1, &ran).await;
    assert_eq!((tally.succeeded, used, ran.all().len()), (3, 0, 5), "{tally:?}");
}

async fn forged_and_replayed_tasks_use_no_quota(fleet: Fleet) {
    let (ran, replayed) = (Ran::default(), fleet.good());
    runs(&fleet, "default = \"allow\"\n", &replayed).await;
    fleet.queue().delete(&replayed.id());
    let mut forged = fleet.good();
    *forged.envelope.last_mut().unwrap() ^= 1;
    fleet.push(forged.record()).await;
    fleet.push(replayed.record()).await;
    let good = fleet.good();
    fleet.push(good.record()).await;
    let (tally, used) = limited(&fleet, "*", 1, &ran).await;
    assert_eq!((tally.succeeded, used, ran.all()), (1, 0, vec![good.claims.task_id]), "{tally:?}");
    assert_eq!(tally.refused_total(), 2);
}

async fn suite_of_another_type_is_put_off(fleet: Fleet) {
    let rules = "default = \"allow\"\n[[type]]\ntype = \"invoice:*\"\nsuites = [\"S\"]\n";
    let task = fleet.seal(&fleet.sealing_key_in(Suite::S), |claims| claims);
    fleet.push(task.record()).await;
    let ran = Ran::default();
    let tally = Worker::new(ruled(&fleet, rules), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.started, tally.postponed), (0, [(Refusal::SuiteNotAllowed, 1)].into()));
}

async fn rule_accepts_what_the_settings_of_all_types_do_not(fleet: Fleet) {
    let rules = "[[type]]\ntype = \"email:*\"\nsuites = [\"S\"]\nmax_lifetime = \"2d\"\n";
    let long = |claims: taskseal_core::Claims<'static>| claims.expires_at(unix_now() + 90_000);
    let task = fleet.seal(&fleet.sealing_key_in(Suite::S), long);
    runs(&fleet, rules, &task).await;
}
