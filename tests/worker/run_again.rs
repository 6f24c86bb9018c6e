//! Tasks that an operator runs again: the worker verifies them as at first.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskseal::broker::{Operated, Operation, TaskState};
use taskseal::handler::{Failure, Output};
use taskseal::{Task, Worker};
use taskseal_core::Refusal;
use taskseal_tests::fleet::{Fleet, every_type, mail, nothing_to_do};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    failed_task_runs_again,
    refused_task_runs_once_it_is_accepted,
    task_that_has_succeeded_is_refused_however_it_became_pending,
}

async fn run_again(fleet: &Fleet, id: &str) {
    let outcome = fleet.broker().operate(&mail(), &[id.to_owned()], Operation::Run).await.unwrap();
    assert_eq!(outcome, [Operated::Done(TaskState::Archived)]);
}

async fn failed_task_runs_again(fleet: Fleet) {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let handlers = every_type(move |_| {
        let mended = is_mended.load(Ordering::SeqCst);
        async move { if mended { Ok(Output::empty()) } else { Err(Failure::GiveUp("told to fail".to_owned())) } }
    });
    let id = fleet.client().enqueue(Task::new("email:send", &1).unwrap()).await.unwrap().id.to_string();
    let worker = fleet.start(handlers);
    fleet.until_in(&id, TaskState::Archived).await;
    mended.store(true, Ordering::SeqCst);

    run_again(&fleet, &id).await;

    fleet.until_in(&id, TaskState::Completed).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.archived, tally.succeeded), (2, 1, 1));
}

async fn refused_task_runs_once_it_is_accepted(fleet: Fleet) {
    let id = fleet.client().enqueue(Task::new("email:send", &1).unwrap()).await.unwrap().id.to_string();
    let mut strict = fleet.worker_settings();
    strict.policy.max_lifetime = Duration::from_secs(1);
    let tally = Worker::new(strict, fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!(tally.refused, [(Refusal::LifetimeTooLong, 1)].into());

    run_again(&fleet, &id).await;

    let tally = Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!((tally.started, tally.succeeded, tally.refused_total()), (1, 1, 0));
}

async fn task_that_has_succeeded_is_refused_however_it_became_pending(fleet: Fleet) {
    let id = fleet.client().enqueue(Task::new("email:send", &1).unwrap()).await.unwrap().id.to_string();
    let run = async || Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!(run().await.succeeded, 1);
    // As the broker of an attacker would.
    let record = fleet.find(&id).await.unwrap().record.unwrap();
    fleet.queue().delete(&id);
    fleet.push(record).await;
    let tally = run().await;
    assert_eq!((tally.started, tally.refused), (0, [(Refusal::Replayed, 1)].into()));

    run_again(&fleet, &id).await;

    let tally = run().await;
    assert_eq!((tally.started, tally.refused), (0, [(Refusal::Replayed, 1)].into()));
}
