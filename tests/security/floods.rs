//! Floods, copies and races: each task runs once, however often and to however many workers it is pushed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskseal::broker::{NewTask, TaskRecord, TaskState};
use taskseal::handler::Output;
use taskseal::{Task, Worker};
use taskseal_tests::fleet::{Fleet, Noted, REVOKED, Ran, Running, Sealed, mail, until};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    full_quarantine_keeps_the_newest_of_the_bad_tasks,
    flood_of_bad_tasks_lets_good_ones_run,
    task_pushed_a_hundred_times_runs_once,
    copies_for_eight_workers_run_once,
    copies_of_a_running_task_neither_run_nor_end_it_for_good,
}

async fn full_quarantine_keeps_the_newest_of_the_bad_tasks(fleet: Fleet) {
    let limits = taskseal::quarantine::Limits { entries: 1, bytes: 1 << 20 };
    let quarantine = taskseal::quarantine::Quarantine::open(&fleet.path("quarantine.db"), limits).unwrap();
    let bad: Vec<Sealed> = (0..3).map(|_| fleet.seal(&fleet.sealing_key(REVOKED), |claims| claims)).collect();
    for task in &bad {
        fleet.push(task.record()).await;
    }
    let ran = Ran::default();
    let mut parts = fleet.parts(ran.handlers());
    parts.quarantine = Arc::new(quarantine);
    let worker = Running::start(fleet.worker_settings(), parts);
    let held = |wanted| move |noted: &Noted| matches!(noted, Noted::Refused { quarantined, .. } if *quarantined == wanted);
    until("all refused", async || (worker.seen.count(held(true)) == 3).then_some(())).await;
    assert_eq!((worker.seen.count(held(false)), ran.all()), (0, vec![]));
    assert_eq!(fleet.quarantine().usage().unwrap().entries, 1);
    for task in &bad {
        fleet.until_in(&task.id(), TaskState::Archived).await;
    }
    assert_eq!(worker.stop().await.evicted, 2);
}

async fn flood_of_bad_tasks_lets_good_ones_run(fleet: Fleet) {
    let ran = Ran::default();
    let client = fleet.client();
    let mut sent = Vec::new();
    for round in 0..20 {
        for number in 0..10 {
            let bad = TaskRecord {
                id: format!("bad-{round}-{number}"),
                envelope: vec![0xd2; 50].into(),
                ..fleet.good().record()
            };
            fleet.push(bad).await;
        }
        sent.push(client.enqueue(Task::new("email:send", &round).unwrap()).await.unwrap().id);
    }
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.refused_total(), tally.succeeded), (200, 20));
    let mut ran = ran.all();
    ran.sort_unstable();
    sent.sort_unstable();
    assert_eq!(ran, sent);
    assert_eq!(fleet.quarantine().usage().unwrap().entries, 200);
}

/// Pushes the task until the queue takes it; it takes none while it has one.
async fn push_whenever_possible(fleet: &Fleet, record: &TaskRecord) {
    let task = NewTask::now(record.clone());
    let _ = fleet.broker().enqueue(&mail(), std::slice::from_ref(&task)).await.unwrap();
}

async fn task_pushed_a_hundred_times_runs_once(fleet: Fleet) {
    let ran = Ran::default();
    let worker = fleet.start(ran.handlers());
    let task = fleet.good();
    for _ in 0..100 {
        push_whenever_possible(&fleet, &task.record()).await;
        fleet.queue().delete(&task.id());
        push_whenever_possible(&fleet, &task.record()).await;
    }
    until("the queue to be empty", async || {
        let stats = fleet.broker().stats(&mail()).await.unwrap();
        (stats.pending + stats.active + stats.retry == 0).then_some(())
    })
    .await;
    let tally = worker.stop().await;
    assert_eq!((ran.all(), tally.started), (vec![task.claims.task_id], 1));
}

async fn copies_for_eight_workers_run_once(fleet: Fleet) {
    let ran = Ran::default();
    let workers: Vec<Running> = (0..8).map(|_| fleet.start(ran.handlers())).collect();
    let mut sent = Vec::new();
    for _ in 0..25 {
        let task = fleet.good();
        for _ in 0..4 {
            push_whenever_possible(&fleet, &task.record()).await;
            fleet.queue().delete(&task.id());
        }
        sent.push(task.claims.task_id);
    }
    until("the queue to be empty", async || {
        let stats = fleet.broker().stats(&mail()).await.unwrap();
        (stats.pending + stats.active + stats.retry == 0).then_some(())
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
    let mut ran = ran.all();
    ran.sort_unstable();
    sent.sort_unstable();
    assert_eq!(ran, sent);
}

async fn copies_of_a_running_task_neither_run_nor_end_it_for_good(fleet: Fleet) {
    let runs = Arc::new(AtomicUsize::new(0));
    let finished = Arc::new(AtomicUsize::new(0));
    let (begun, ended) = (Arc::clone(&runs), Arc::clone(&finished));
    let handlers = taskseal_tests::fleet::every_type(move |_| {
        begun.fetch_add(1, Ordering::SeqCst);
        let ended = Arc::clone(&ended);
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(Output::empty())
        }
    });
    let task = fleet.good();
    fleet.push(task.record()).await;
    let workers: Vec<Running> = (0..3).map(|_| fleet.start(handlers.clone())).collect();
    until("the handler", async || (runs.load(Ordering::SeqCst) > 0).then_some(())).await;
    // While it runs, it is handed out again and again.
    for _ in 0..5 {
        fleet.queue().hand_out_again(&task.id());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("the task to be done", async || fleet.find(&task.id()).await.is_none().then_some(())).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(finished.load(Ordering::SeqCst), 1);
    assert_eq!(fleet.ledger().stats().unwrap().done, 1);
}
