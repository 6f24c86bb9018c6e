//! Unsealed tasks of an existing producer, by the mode of their type: they run only where the policy file says so, and a damaged
//! envelope never counts as unsealed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskseal::broker::{TaskRecord, TaskState};
use taskseal::handler::{Failure, Function, Handlers, OpenedTask, Output};
use taskseal::policy::TypeRules;
use taskseal::quarantine::Filter;
use taskseal::rollout::Rollout;
use taskseal::worker::Tally;
use taskseal::{Worker, WorkerSettings};
use taskseal_core::{ContentType, Refusal};
use taskseal_tests::fleet::{Fleet, Ran, STRANGER, new_id};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    unsealed_task_is_refused_without_a_rule_that_lets_it_run,
    unsealed_task_is_refused_after_the_end_date_of_its_mode,
    damaged_and_forged_envelopes_are_refused_in_every_mode,
    unsealed_task_in_mode_prefer_is_refused_once_a_sealed_one_was_accepted,
    unsealed_task_in_mode_prefer_stays_refused_when_the_pattern_of_its_rule_changes,
    unsealed_task_in_mode_prefer_stays_refused_when_the_record_of_modes_is_lost,
    unsealed_task_for_another_place_type_or_size_is_refused,
    unsealed_task_without_a_handler_is_put_off_and_runs_once_it_has_one,
    unsealed_task_that_fails_is_retried_as_often_as_its_message_says,
    unsealed_tasks_run_in_the_modes_off_observe_and_prefer,
    id_of_an_unsealed_task_may_be_used_again,
    failed_attempts_of_an_unsealed_task_do_not_count_for_the_next_use_of_its_id,
    mode_that_a_worker_has_used_is_kept_when_the_file_loosens_it,
}

/// The bodies that handlers got, and whether the issuer was proven.
#[derive(Clone, Default)]
pub(crate) struct Bodies(Arc<Mutex<Vec<(String, bool)>>>);

impl Bodies {
    pub(crate) fn all(&self) -> Vec<(String, bool)> {
        self.0.lock().unwrap().clone()
    }

    /// Handlers of `email:*` whose first `failures` runs fail.
    pub(crate) fn handlers(&self, failures: usize) -> Handlers {
        let bodies = self.clone();
        let mut handlers = Handlers::default();
        let run = move |task: OpenedTask| {
            let body = String::from_utf8(task.body.to_vec()).unwrap();
            let mut bodies = bodies.0.lock().unwrap();
            bodies.push((body, !task.issuer.is_empty()));
            let fails = bodies.len() <= failures;
            async move {
                if fails {
                    return Err(Failure::TryAgain("not yet".to_owned()));
                }
                Ok(Output::new(ContentType::OCTETS, b"sent".to_vec()))
            }
        };
        handlers.insert("email:*", Arc::new(Function::new(run)));
        handlers
    }
}

/// A task as an existing producer stores it.
pub(crate) fn plain(body: &str) -> TaskRecord {
    TaskRecord {
        id: new_id().to_string(),
        queue: "mail".to_owned(),
        task_type: "email:send".to_owned(),
        envelope: body.as_bytes().to_vec().into(),
        detached: None,
        max_retries: Some(2),
        timeout: Some(Duration::from_secs(60)),
        retention: Duration::from_secs(3600),
    }
}

pub(crate) fn ruled(fleet: &Fleet, rule: &str) -> WorkerSettings {
    ruled_by(fleet, "email:*", rule)
}

fn ruled_by(fleet: &Fleet, pattern: &str, rule: &str) -> WorkerSettings {
    let file = fleet.path("policy.toml");
    fs::write(&file, format!("[[type]]\ntype = \"{pattern}\"\n{rule}\n")).unwrap();
    let mut settings = fleet.worker_settings();
    settings.rules = TypeRules::load(&file).unwrap();
    settings
}

pub(crate) fn rollout(fleet: &Fleet) -> Arc<Rollout> {
    Arc::new(Rollout::open(&fleet.path("rollout.db")).unwrap())
}

/// Runs what is pending, with the record of modes in a file.
pub(crate) async fn run(fleet: &Fleet, rule: &str, bodies: &Bodies) -> Tally {
    let worker = Worker::new(ruled(fleet, rule), fleet.parts(bodies.handlers(0)));
    worker.counting_in(rollout(fleet)).run_once().await
}

/// Checks that the task is refused under this rule.
pub(crate) async fn is_refused(fleet: &Fleet, rule: &str, record: TaskRecord, refusal: Refusal) {
    let (bodies, id) = (Bodies::default(), record.id.clone());
    fleet.push(record).await;
    let tally = run(fleet, rule, &bodies).await;
    assert_eq!((tally.started, &tally.refused), (0, &[(refusal, 1)].into()), "{rule}");
    assert_eq!(bodies.all(), []);
    assert_eq!(fleet.find(&id).await.unwrap().state, TaskState::Archived);
    let kept = fleet.quarantine().list(&Filter::default(), 0, 100).unwrap();
    assert!(kept.iter().any(|entry| entry.task_id == id && entry.code == refusal.code()));
}

async fn unsealed_task_is_refused_without_a_rule_that_lets_it_run(fleet: Fleet) {
    is_refused(&fleet, "", plain("{}"), Refusal::Unsealed).await;
    is_refused(&fleet, "mode = \"enforce\"", plain("{}"), Refusal::Unsealed).await;
    let other = TaskRecord { task_type: "invoice:pay".to_owned(), ..plain("{}") };
    is_refused(&fleet, "mode = \"enforce\"", other, Refusal::Unsealed).await;
    fleet.push(plain("{}")).await;
    let worker = Worker::new(fleet.worker_settings(), fleet.parts(Bodies::default().handlers(0)));
    assert_eq!(worker.run_once().await.refused, [(Refusal::Unsealed, 1)].into());
}

async fn unsealed_task_is_refused_after_the_end_date_of_its_mode(fleet: Fleet) {
    let rule = "mode = \"observe\"\nuntil = \"2020-12-31\"";
    is_refused(&fleet, rule, plain("{}"), Refusal::Unsealed).await;
}

async fn damaged_and_forged_envelopes_are_refused_in_every_mode(fleet: Fleet) {
    for mode in ["off", "observe", "prefer"] {
        let rule = format!("mode = \"{mode}\"");
        let good = fleet.good();
        let cut = good.envelope[..good.envelope.len() / 2].to_vec();
        let damaged = TaskRecord { envelope: cut.into(), ..good.record() };
        is_refused(&fleet, &rule, damaged, Refusal::Malformed).await;
        let mut flipped = fleet.good();
        *flipped.envelope.last_mut().unwrap() ^= 1;
        is_refused(&fleet, &rule, flipped.record(), Refusal::Rejected).await;
    }
    // The envelope of an unknown key is put off, as in the mode "enforce".
    let forged = fleet.seal(&fleet.sealing_key(STRANGER), |claims| claims);
    fleet.push(forged.record()).await;
    let tally = run(&fleet, "mode = \"prefer\"", &Bodies::default()).await;
    assert_eq!((tally.started, tally.postponed), (0, [(Refusal::UnknownKey, 1)].into()));
}

async fn unsealed_task_in_mode_prefer_is_refused_once_a_sealed_one_was_accepted(fleet: Fleet) {
    let (rule, bodies) = ("mode = \"prefer\"", Bodies::default());
    fleet.push(plain("{\"before\":1}")).await;
    assert_eq!(run(&fleet, rule, &bodies).await.unsealed, 1);
    fleet.push(fleet.good().record()).await;
    let tally = run(&fleet, rule, &bodies).await;
    assert_eq!((tally.succeeded, tally.unsealed), (1, 0));
    // Another process, later.
    is_refused(&fleet, rule, plain("{\"after\":1}"), Refusal::Unsealed).await;
    assert_eq!(bodies.all(), [("{\"before\":1}".to_owned(), false), ("{}".to_owned(), true)]);
}

async fn unsealed_task_in_mode_prefer_stays_refused_when_the_pattern_of_its_rule_changes(fleet: Fleet) {
    let (rule, bodies) = ("mode = \"prefer\"", Bodies::default());
    fleet.push(fleet.good().record()).await;
    assert_eq!(run(&fleet, rule, &bodies).await.succeeded, 1);
    for (number, pattern) in ["email:send", "email:s*", "*"].into_iter().enumerate() {
        let (settings, rollout) = (ruled_by(&fleet, pattern, rule), rollout(&fleet));
        let modes = settings.rules.modes_at(taskseal::time::UnixMillis::now());
        assert_eq!(rollout.adopt(&modes).unwrap(), [], "{pattern}");
        fleet.push(plain(&format!("{{\"after\":{number}}}"))).await;
        let worker = Worker::new(settings, fleet.parts(bodies.handlers(0)));
        let tally = worker.counting_in(rollout).run_once().await;
        assert_eq!((tally.started, tally.refused), (0, [(Refusal::Unsealed, 1)].into()), "{pattern}");
    }
    assert_eq!(bodies.all().len(), 1);
}

async fn unsealed_task_in_mode_prefer_stays_refused_when_the_record_of_modes_is_lost(fleet: Fleet) {
    let rule = "mode = \"prefer\"";
    fleet.push(fleet.good().record()).await;
    assert_eq!(run(&fleet, rule, &Bodies::default()).await.succeeded, 1);
    for file in ["rollout.db", "rollout.db-wal", "rollout.db-shm"] {
        let _ = fs::remove_file(fleet.path(file));
    }
    is_refused(&fleet, rule, plain("{\"after\":1}"), Refusal::Unsealed).await;
}

async fn unsealed_task_for_another_place_type_or_size_is_refused(fleet: Fleet) {
    let rule = "mode = \"observe\"\nmax_body = \"8B\"";
    is_refused(&fleet, rule, plain("123456789"), Refusal::TooLarge).await;
    let bulk = "mode = \"observe\"\nqueues = [\"bulk\"]";
    is_refused(&fleet, bulk, plain("{}"), Refusal::AudienceNotAllowed).await;
    let renamed = plain("{}");
    fleet.push(renamed.clone()).await;
    fleet.queue().rename(&renamed.id, "another");
    let tally = run(&fleet, rule, &Bodies::default()).await;
    // A file of the queue has one name of each task, so that nothing differs there.
    let is_refused = tally.refused == [(Refusal::MetadataMismatch, 1)].into();
    assert!(is_refused || (tally.succeeded == 1 && tally.refused.is_empty()), "{tally:?}");
}

async fn unsealed_task_without_a_handler_is_put_off_and_runs_once_it_has_one(fleet: Fleet) {
    let (rule, bodies) = ("mode = \"observe\"", Bodies::default());
    let record = plain("{}");
    fleet.push(record.clone()).await;
    let without = Worker::new(ruled(&fleet, rule), fleet.parts(Ran::default().handlers_of(&["other"])));
    let tally = without.run_once().await;
    assert_eq!((tally.started, tally.refused), (0, [].into()));
    assert_eq!(tally.postponed, [(Refusal::TypeNotHandled, 1)].into());
    let info = fleet.find(&record.id).await.unwrap();
    assert_eq!((info.state, info.retries), (TaskState::Retry, 0));
    fleet.queue().pull_forward(&record.id);
    assert_eq!(fleet.broker().forward(&taskseal_tests::fleet::mail(), 10).await.unwrap(), 1);
    assert_eq!(run(&fleet, rule, &bodies).await.succeeded, 1);
}

async fn unsealed_task_that_fails_is_retried_as_often_as_its_message_says(fleet: Fleet) {
    let (bodies, record) = (Bodies::default(), plain("{}"));
    fleet.push(record.clone()).await;
    for run in 1..=3 {
        let settings = ruled(&fleet, "mode = \"observe\"");
        let tally = Worker::new(settings, fleet.parts(bodies.handlers(9))).run_once().await;
        assert_eq!((tally.started, tally.archived), (1, u64::from(run == 3)), "run {run}");
        assert_eq!(tally.unsealed, u64::from(run == 1));
        if run < 3 {
            fleet.queue().pull_forward(&record.id);
            assert_eq!(fleet.broker().forward(&taskseal_tests::fleet::mail(), 10).await.unwrap(), 1);
        }
    }
    assert_eq!(fleet.find(&record.id).await.unwrap().state, TaskState::Archived);
}

async fn unsealed_tasks_run_in_the_modes_off_observe_and_prefer(fleet: Fleet) {
    for (mode, counted) in [("off", 0), ("observe", 1), ("prefer", 1)] {
        let (bodies, record) = (Bodies::default(), plain("{\"to\":\"a\"}"));
        fleet.push(record.clone()).await;
        let tally = run(&fleet, &format!("mode = \"{mode}\""), &bodies).await;
        assert_eq!((tally.succeeded, tally.unsealed), (1, counted), "{mode}");
        assert_eq!(bodies.all(), [("{\"to\":\"a\"}".to_owned(), false)]);
        let done = fleet.find(&record.id).await.unwrap();
        assert_eq!(done.state, TaskState::Completed);
        // The producer reads it as it did before.
        assert_eq!(done.result.as_deref(), Some(&b"sent"[..]));
    }
    let report = rollout(&fleet).report().unwrap();
    assert_eq!(report[0].queues[0].unsealed, 2);
}

async fn id_of_an_unsealed_task_may_be_used_again(fleet: Fleet) {
    let (bodies, record) = (Bodies::default(), plain("{}"));
    for _ in 0..2 {
        fleet.push(record.clone()).await;
        assert_eq!(run(&fleet, "mode = \"observe\"", &bodies).await.succeeded, 1);
        fleet.queue().delete(&record.id);
    }
    assert_eq!(bodies.all().len(), 2);
}

async fn failed_attempts_of_an_unsealed_task_do_not_count_for_the_next_use_of_its_id(fleet: Fleet) {
    let record = plain("{}");
    // Of three attempts, two fail: the third succeeds. Then all fail, which ends in the archive.
    for (failures, state) in [(2, None), (2, None), (9, Some(TaskState::Archived)), (2, None)] {
        let bodies = Bodies::default();
        fleet.push(TaskRecord { retention: Duration::ZERO, ..record.clone() }).await;
        for attempt in 1..=3 {
            let settings = ruled(&fleet, "mode = \"observe\"");
            let tally = Worker::new(settings, fleet.parts(bodies.handlers(failures))).run_once().await;
            assert_eq!((tally.started, &tally.refused), (1, &[].into()), "attempt {attempt}");
            if attempt < 3 {
                fleet.queue().pull_forward(&record.id);
                fleet.broker().forward(&taskseal_tests::fleet::mail(), 10).await.unwrap();
            }
        }
        assert_eq!(fleet.find(&record.id).await.map(|info| info.state), state);
        if state.is_some() {
            fleet.queue().delete(&record.id);
        }
    }
    let stats = fleet.ledger().stats().unwrap();
    assert_eq!((stats.locked, stats.waiting), (0, 0));
}

async fn mode_that_a_worker_has_used_is_kept_when_the_file_loosens_it(fleet: Fleet) {
    let rollout = rollout(&fleet);
    let modes = ruled(&fleet, "mode = \"enforce\"").rules.modes_at(taskseal::time::UnixMillis::now());
    rollout.adopt(&modes).unwrap();
    fleet.push(plain("{}")).await;
    let bodies = Bodies::default();
    let worker = Worker::new(ruled(&fleet, "mode = \"off\""), fleet.parts(bodies.handlers(0)));
    let tally = worker.counting_in(rollout).run_once().await;
    assert_eq!((tally.started, tally.refused), (0, [(Refusal::Unsealed, 1)].into()));
}
