//! Client, broker and worker together, on both brokers: an enqueued task runs, and the client opens its result.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use taskseal::broker::TaskState;
use taskseal::handler::{Failure, Function, Handlers, Output};
use taskseal::time::UnixMillis;
use taskseal::worker::{Backoff, WorkerQueue};
use taskseal::{QueueName, Task, Worker};
use taskseal_core::{ContentType, Refusal, TaskId};
use taskseal_tests::fleet::{Fleet, Noted, Running, every_type, mail, new_id, nothing_to_do, until};
use taskseal_tests::on_both_brokers;
use tokio::sync::Notify;

on_both_brokers! {
    task_runs_and_its_result_is_opened_by_the_client,
    body_arrives_as_it_was_sealed,
    body_that_is_not_json_gives_up,
    thousand_tasks_run_once_each,
    retention_of_zero_keeps_nothing,
    scheduled_task_runs_after_its_time_and_not_before,
    failed_attempts_are_counted_and_repeated_until_one_succeeds,
    delays_of_a_handler_have_precedence_over_those_of_the_worker,
    attempts_used_up_are_archived,
    giving_up_is_archived_at_once,
    words_of_a_handler_never_reach_the_queue,
    panic_hurts_only_its_own_task,
    hanging_handler_ends_at_its_time_limit_and_hurts_only_its_own_task,
    long_task_keeps_its_lease,
    drain_lets_running_tasks_end,
    drain_deadline_cancels_and_gives_back_and_the_attempt_counts,
    task_cut_off_in_its_last_attempt_is_archived_and_never_started_again,
    heavier_queue_comes_first_and_the_lighter_is_not_starved,
    run_once_ends_when_everything_is_settled,
    unhandled_type_is_postponed,
}

fn task(body: &str) -> Task {
    Task::new("email:send", &body).unwrap()
}

fn text(output: &str) -> Output {
    Output::new(ContentType::JSON, output.as_bytes().to_vec())
}

async fn task_runs_and_its_result_is_opened_by_the_client(fleet: Fleet) {
    let worker = fleet.start(every_type(async |task| {
        let name: String = task.json()?;
        Ok(text(&format!("\"hello {name}\"")))
    }));
    let client = fleet.client();
    let receipt = client.enqueue(task("ada")).await.unwrap();
    let result = until("the result", async || client.result(&receipt).await.unwrap()).await;
    assert_eq!(&**result.body, b"\"hello ada\"");
    assert_eq!((result.id, result.worker.as_str()), (receipt.id, "worker-1"));
    assert_eq!(result.content_type, "application/json");
    assert_eq!(client.receipt(&mail(), receipt.id).await.unwrap(), Some(receipt));
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.succeeded, tally.refused_total(), tally.lease_lost), (1, 1, 0, 0));
}

async fn body_arrives_as_it_was_sealed(fleet: Fleet) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&got);
    let handlers = every_type(move |task| {
        let about = (task.task_type.clone(), task.issuer.clone(), task.content_type.clone(), task.attempt);
        into.lock().unwrap().push((task.id, about, task.body.to_vec()));
        async { Ok(Output::empty()) }
    });
    let every_byte: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let bodies = [Vec::new(), vec![0], every_byte];
    let client = fleet.client();
    let mut receipts = Vec::new();
    for body in &bodies {
        let task = Task::from_bytes("x", ContentType::OCTETS, body.clone()).unwrap();
        receipts.push(client.enqueue(task).await.unwrap());
    }
    let mut settings = fleet.worker_settings();
    settings.concurrency = 1;
    let tally = Worker::new(settings, fleet.parts(handlers)).run_once().await;
    assert_eq!(tally.succeeded, 3);
    let about = ("x".to_owned(), "shop".to_owned(), "application/octet-stream".to_owned(), 1);
    for ((id, told, body), (receipt, sent)) in got.lock().unwrap().iter().zip(receipts.iter().zip(&bodies)) {
        assert_eq!((*id, told), (receipt.id, &about));
        assert!(body == sent);
    }
}

async fn body_that_is_not_json_gives_up(fleet: Fleet) {
    let task = Task::from_bytes("email:send", ContentType::JSON, b"{".to_vec()).unwrap();
    let receipt = fleet.client().enqueue(task).await.unwrap();
    let handlers = every_type(async |task| task.json::<String>().map(|_| Output::empty()));
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(handlers)).run_once().await;
    assert_eq!((tally.started, tally.archived, tally.retried), (1, 1, 0));
    fleet.until_in(&receipt.id.to_string(), TaskState::Archived).await;
}

async fn thousand_tasks_run_once_each(fleet: Fleet) {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&ran);
    let handlers = every_type(move |task| {
        into.lock().unwrap().push(task.id);
        async { Ok(Output::empty()) }
    });
    let tasks = (0..1000).map(|number| task(&number.to_string())).collect();
    let receipts = fleet.client().enqueue_all(tasks).await.unwrap();
    let mut settings = fleet.worker_settings();
    settings.concurrency = 64;
    let tally = Worker::new(settings, fleet.parts(handlers)).run_once().await;
    assert_eq!((tally.started, tally.succeeded), (1000, 1000));
    let ran = ran.lock().unwrap().clone();
    let sent: BTreeSet<TaskId> = receipts.iter().map(|receipt| receipt.id).collect();
    assert_eq!((ran.len(), ran.iter().copied().collect::<BTreeSet<_>>()), (1000, sent));
    assert_eq!(fleet.ledger().stats().unwrap().done, 1000);
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().completed, 1000);
}

async fn retention_of_zero_keeps_nothing(fleet: Fleet) {
    let client = fleet.client();
    let receipt = client.enqueue(task("x").retention(Duration::ZERO)).await.unwrap();
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!(tally.succeeded, 1);
    assert!(fleet.find(&receipt.id.to_string()).await.is_none());
    assert!(client.result(&receipt).await.unwrap().is_none());
    assert_eq!(fleet.ledger().stats().unwrap().done, 1);
}

async fn scheduled_task_runs_after_its_time_and_not_before(fleet: Fleet) {
    let started = Arc::new(Mutex::new(None));
    let into = Arc::clone(&started);
    let worker = fleet.start(every_type(move |_| {
        into.lock().unwrap().replace(UnixMillis::now());
        async { Ok(Output::empty()) }
    }));
    // Not at the start of a second: sealed times are whole seconds.
    let at = UnixMillis::from_secs(UnixMillis::now().as_secs() + 1).plus(Duration::from_millis(500));
    let receipt = fleet.client().enqueue(task("x").process_at(at)).await.unwrap();
    let id = receipt.id.to_string();
    let stored = fleet.find(&id).await.unwrap();
    let envelope = stored.record.unwrap().envelope;
    let claims = *taskseal_core::Unverified::parse(&envelope).unwrap().danger_claims_unverified();
    assert_eq!(claims.not_before, u64::try_from(at.as_secs() + 1).ok());
    fleet.until_in(&id, TaskState::Completed).await;
    assert!(started.lock().unwrap().unwrap() >= at);
    assert_eq!(worker.stop().await.refused_total(), 0);
}

async fn failed_attempts_are_counted_and_repeated_until_one_succeeds(fleet: Fleet) {
    let worker = fleet.start(every_type(async |task| match task.attempt {
        1 | 2 => Err(Failure::TryAgain(format!("attempt {}", task.attempt))),
        _ => Ok(Output::empty()),
    }));
    let receipt = fleet.client().enqueue(task("x")).await.unwrap();
    let id = receipt.id.to_string();
    let info = fleet.until_in(&id, TaskState::Completed).await;
    assert_eq!(info.retries, 2);
    let seen = worker.seen.clone();
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.retried, tally.succeeded), (3, 2, 1));
    let events = [
        Noted::Started { id: id.clone(), attempt: 1 },
        Noted::Retried { id: id.clone(), reason: "attempt 1".into() },
        Noted::Started { id: id.clone(), attempt: 2 },
        Noted::Retried { id: id.clone(), reason: "attempt 2".into() },
        Noted::Started { id: id.clone(), attempt: 3 },
        Noted::Succeeded { id },
    ];
    assert_eq!(seen.all(), events);
}

async fn delays_of_a_handler_have_precedence_over_those_of_the_worker(fleet: Fleet) {
    let mut handlers = Handlers::default();
    for task_type in ["email:send", "email:read"] {
        let fails = Function::new(async |_| Err(Failure::TryAgain("told to fail".to_owned())));
        handlers.insert(task_type, Arc::new(fails));
    }
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    assert!(handlers.set_backoff("email:send", Backoff::new(minute, minute)));
    let mut settings = fleet.worker_settings();
    settings.backoff = Backoff::new(day / 2, day / 2);
    let task = |task_type| Task::new(task_type, &"x").unwrap().within(day);
    let (client, begun) = (fleet.client(), UnixMillis::now());
    let sent = client.enqueue(task("email:send")).await.unwrap().id.to_string();
    let read = client.enqueue(task("email:read")).await.unwrap().id.to_string();
    Worker::new(settings, fleet.parts(handlers)).run_once().await;
    let delay = async |id: &str| fleet.find(id).await.unwrap().at.unwrap().since(begun);
    assert!(delay(&sent).await < Duration::from_secs(3600));
    assert!(delay(&read).await >= Duration::from_secs(5 * 3600));
}

async fn attempts_used_up_are_archived(fleet: Fleet) {
    let worker = fleet.start(every_type(async |_| Err(Failure::TryAgain("no".into()))));
    let receipt = fleet.client().enqueue(task("x").attempts(3)).await.unwrap();
    fleet.until_in(&receipt.id.to_string(), TaskState::Archived).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.retried, tally.archived, tally.refused_total()), (3, 2, 1, 0));
}

async fn giving_up_is_archived_at_once(fleet: Fleet) {
    let worker = fleet.start(every_type(async |_| Err(Failure::GiveUp("never".into()))));
    let receipt = fleet.client().enqueue(task("x")).await.unwrap();
    let info = fleet.until_in(&receipt.id.to_string(), TaskState::Archived).await;
    assert_eq!(info.last_error.as_deref(), Some("taskseal: given up"));
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.archived, tally.retried), (1, 1, 0));
}

async fn words_of_a_handler_never_reach_the_queue(fleet: Fleet) {
    const SECRET: &str = "the account of ada is empty";
    let failed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failed);
    let worker = fleet.start(every_type(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move { Err(if first { Failure::TryAgain } else { Failure::GiveUp }(SECRET.into())) }
    }));
    let receipt = fleet.client().enqueue(task("x")).await.unwrap();
    let id = receipt.id.to_string();
    worker.seen.until("the first failure", |noted| matches!(noted, Noted::Retried { .. })).await;
    let retried = fleet.find(&id).await.unwrap();
    let archived = fleet.until_in(&id, TaskState::Archived).await;
    for stored in [retried, archived] {
        assert!(!format!("{stored:?}").contains(SECRET));
    }
    // The queue stores it before the worker reports it.
    let archived = |noted: &Noted| matches!(noted, Noted::Archived { reason, .. } if reason == SECRET);
    worker.seen.until("the last failure", archived).await;
    assert_eq!(worker.seen.count(archived), 1);
    worker.stop().await;
}

async fn panic_hurts_only_its_own_task(fleet: Fleet) {
    let worker = fleet.start(every_type(async |task| {
        assert!(task.json::<String>()? != "bad", "told to");
        Ok(Output::empty())
    }));
    let client = fleet.client();
    let tasks = ["good", "bad", "good"].map(|body| task(body).attempts(2));
    let receipts = client.enqueue_all(tasks.into()).await.unwrap();
    let ids: Vec<String> = receipts.iter().map(|receipt| receipt.id.to_string()).collect();
    fleet.until_in(&ids[0], TaskState::Completed).await;
    fleet.until_in(&ids[1], TaskState::Archived).await;
    fleet.until_in(&ids[2], TaskState::Completed).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.succeeded, tally.retried, tally.archived), (4, 2, 1, 1));
}

async fn hanging_handler_ends_at_its_time_limit_and_hurts_only_its_own_task(fleet: Fleet) {
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let counter = Arc::clone(&dropped);
    let worker = fleet.start(every_type(move |task| {
        let counts = Counts(Arc::clone(&counter));
        async move {
            if task.json::<String>()? == "bad" {
                let _counts = counts;
                std::future::pending::<()>().await;
            }
            Ok(Output::empty())
        }
    }));
    let client = fleet.client();
    let bad = client.enqueue(task("bad").timeout(Duration::from_secs(1)).attempts(1)).await.unwrap();
    let good = client.enqueue(task("good")).await.unwrap();
    fleet.until_in(&good.id.to_string(), TaskState::Completed).await;
    fleet.until_in(&bad.id.to_string(), TaskState::Archived).await;
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    let reason = "not done within 1 s";
    let archived = |noted: &Noted| matches!(noted, Noted::Archived { reason: said, .. } if said == reason);
    // The queue is updated before the observer is called.
    worker.seen.until("the archived task", archived).await;
    assert_eq!(worker.seen.count(archived), 1);
    worker.stop().await;
}

async fn long_task_keeps_its_lease(fleet: Fleet) {
    let mut settings = fleet.worker_settings();
    settings.lease = Duration::from_millis(600);
    let go_on = Arc::new(Notify::new());
    let waits = Arc::clone(&go_on);
    let handlers = every_type(move |_| {
        let waits = Arc::clone(&waits);
        async move {
            waits.notified().await;
            Ok(Output::empty())
        }
    });
    let worker = Running::start(settings.clone(), fleet.parts(handlers.clone()));
    let rival = Running::start(settings, fleet.parts(handlers));
    let receipt = fleet.client().enqueue(task("x")).await.unwrap();
    let id = receipt.id.to_string();
    let first = fleet.until_in(&id, TaskState::Active).await.at.unwrap();
    // The lease would have ended three times.
    let later = first.plus(Duration::from_millis(1800));
    until("the lease to be extended", async || {
        fleet.find(&id).await.and_then(|info| info.at).filter(|at| *at > later)
    })
    .await;
    go_on.notify_waiters();
    go_on.notify_one();
    fleet.until_in(&id, TaskState::Completed).await;
    let (one, other) = (worker.stop().await, rival.stop().await);
    assert_eq!((one.started + other.started, one.lease_lost + other.lease_lost), (1, 0));
}

/// Handlers that report their start and wait for a notification to continue.
fn gated() -> (Handlers, Arc<AtomicUsize>, Arc<Notify>) {
    let (begun, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, gate) = (Arc::clone(&begun), Arc::clone(&go_on));
    let handlers = every_type(move |_| {
        let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
        async move {
            let gate = gate.notified();
            count.fetch_add(1, Ordering::SeqCst);
            gate.await;
            Ok(Output::empty())
        }
    });
    (handlers, begun, go_on)
}

async fn drain_lets_running_tasks_end(fleet: Fleet) {
    let (handlers, begun, go_on) = gated();
    let mut settings = fleet.worker_settings();
    settings.concurrency = 4;
    let worker = Running::start(settings, fleet.parts(handlers));
    let tasks = (0..10).map(|number| task(&number.to_string())).collect();
    fleet.client().enqueue_all(tasks).await.unwrap();
    until("four handlers", async || (begun.load(Ordering::SeqCst) == 4).then_some(())).await;
    let ended = worker.ask_to_stop();
    assert!(!ended.is_finished());
    until("the handlers to end", async || {
        go_on.notify_waiters();
        ended.is_finished().then_some(())
    })
    .await;
    let tally = ended.await.unwrap();
    assert_eq!((tally.started, tally.succeeded, tally.given_back), (4, 4, 0));
    let stats = fleet.broker().stats(&mail()).await.unwrap();
    assert_eq!((stats.pending, stats.active, stats.completed), (6, 0, 4));
}

async fn drain_deadline_cancels_and_gives_back_and_the_attempt_counts(fleet: Fleet) {
    let (handlers, begun, _) = gated();
    let mut settings = fleet.worker_settings();
    (settings.concurrency, settings.drain) = (4, Duration::from_millis(100));
    let worker = Running::start(settings, fleet.parts(handlers));
    let tasks = (0..6).map(|number| task(&number.to_string()).attempts(2)).collect();
    fleet.client().enqueue_all(tasks).await.unwrap();
    until("four handlers", async || (begun.load(Ordering::SeqCst) == 4).then_some(())).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.given_back, tally.lease_lost), (4, 4, 0));
    let stats = fleet.broker().stats(&mail()).await.unwrap();
    assert_eq!((stats.pending, stats.active), (6, 0));
    let next = fleet.start(nothing_to_do());
    until("all to be done", async || {
        (fleet.broker().stats(&mail()).await.unwrap().completed == 6).then_some(())
    })
    .await;
    let again = next.seen.count(|noted| matches!(noted, Noted::Started { attempt: 2, .. }));
    let tally = next.stop().await;
    assert_eq!((again, tally.succeeded, tally.refused_total()), (4, 6, 0));
}

async fn task_cut_off_in_its_last_attempt_is_archived_and_never_started_again(fleet: Fleet) {
    let (handlers, begun, _) = gated();
    let mut settings = fleet.worker_settings();
    settings.drain = Duration::from_millis(100);
    let worker = Running::start(settings, fleet.parts(handlers));
    let receipt = fleet.client().enqueue(task("x").attempts(1)).await.unwrap();
    until("the handler", async || (begun.load(Ordering::SeqCst) == 1).then_some(())).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.given_back, tally.archived), (1, 0, 1));
    assert_eq!(fleet.find(&receipt.id.to_string()).await.unwrap().state, TaskState::Archived);
    let next = Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!((next.started, next.refused_total()), (0, 0));
}

async fn heavier_queue_comes_first_and_the_lighter_is_not_starved(fleet: Fleet) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&order);
    let handlers = every_type(move |task| {
        into.lock().unwrap().push(task.queue.to_string());
        async { Ok(Output::empty()) }
    });
    let bulk = QueueName::parse("bulk").unwrap();
    let client = fleet.client();
    let tasks = |queue: &QueueName| (0..40).map(|n| task(&n.to_string()).queue(queue.clone())).collect();
    client.enqueue_all(tasks(&mail())).await.unwrap();
    client.enqueue_all(tasks(&bulk)).await.unwrap();
    let mut settings = fleet.worker_settings();
    (settings.concurrency, settings.fetch_ahead) = (1, 0);
    settings.queues = vec![WorkerQueue::new(mail(), 3), WorkerQueue::new(bulk, 1)];
    let tally = Worker::new(settings, fleet.parts(handlers)).run_once().await;
    assert_eq!(tally.succeeded, 80);
    let order = order.lock().unwrap();
    let light = order.iter().take(40).filter(|queue| *queue == "bulk").count();
    assert_eq!(light, 10);
}

async fn run_once_ends_when_everything_is_settled(fleet: Fleet) {
    let client = fleet.client();
    let empty = Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!(empty, taskseal::worker::Tally::default());
    let late = AtomicBool::new(false);
    let handlers = every_type(move |_| {
        let wait = !late.swap(true, Ordering::SeqCst);
        async move {
            if wait {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(Output::empty())
        }
    });
    client.enqueue_all((0..50).map(|number| task(&number.to_string())).collect()).await.unwrap();
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(handlers)).run_once().await;
    assert_eq!(tally.succeeded, 50);
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().completed, 50);
}

async fn unhandled_type_is_postponed(fleet: Fleet) {
    let mut handlers = Handlers::default();
    handlers.insert("email:*", Arc::new(Function::new(async |_| Ok(Output::empty()))));
    let client = fleet.client();
    let body = json!({});
    let other = client.enqueue(Task::new("invoice:pay", &body).unwrap().id(new_id())).await.unwrap();
    let mail = client.enqueue(Task::new("email:send", &body).unwrap()).await.unwrap();
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(handlers)).run_once().await;
    assert_eq!((tally.started, tally.succeeded), (1, 1));
    assert_eq!(tally.postponed, [(Refusal::TypeNotHandled, 1)].into());
    fleet.until_in(&other.id.to_string(), TaskState::Retry).await;
    fleet.until_in(&mail.id.to_string(), TaskState::Completed).await;
}
