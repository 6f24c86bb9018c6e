//! Faults of leases, ledger, quarantine and broker: no task is lost and none runs twice.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskseal::broker::{Broker, TaskState};
use taskseal::client::{ClientError, enqueue_sealed};
use taskseal::handler::{Handlers, Output};
use taskseal::worker::WorkerQueue;
use taskseal::{QueueName, Task, Worker, WorkerParts};
use taskseal_core::Refusal;
use taskseal_core::name::Reference;
use taskseal_tests::faulty::{Call, Fault, FaultyBroker, FaultyLedger, When};
use taskseal_tests::fleet::{
    AnyQueue, Fleet, Noted, PRODUCER, Running, Seen, every_type, mail, new_id, nothing_to_do, until,
};
use taskseal_tests::on_both_brokers;
use tokio::sync::Notify;

on_both_brokers! {
    enqueue_without_an_answer_is_repeated_and_stored_once,
    enqueue_again_with_the_same_id_never_runs_twice,
    forwarding_an_envelope_returns_its_id_in_the_queue_and_whether_it_is_new,
    enqueue_gives_up_when_its_patience_ends,
    success_that_did_not_reach_the_queue_is_settled_again_without_running,
    answer_lost_while_settling_neither_loses_nor_repeats,
    settlement_that_the_queue_refuses_keeps_no_other_from_being_settled,
    ledger_out_of_reach_runs_nothing_and_keeps_the_order,
    ledger_that_stays_out_of_reach_is_asked_less_and_less_and_ends_a_worker_that_runs_once,
    ledger_lost_while_tasks_run_settles_them_when_it_is_back,
    quarantine_out_of_reach_settles_nothing_that_was_refused_until_it_is_back,
    broker_that_cannot_be_reached_is_asked_again,
    queue_that_fails_does_not_hold_up_another,
    queue_that_only_refuses_is_given_up_by_a_worker_that_ends_with_its_queues,
    last_attempt_whose_beginning_is_not_recorded_does_not_run_and_is_not_used_up,
    task_that_is_given_back_is_not_put_off_while_the_answer_of_the_queue_is_on_its_way,
    worker_that_ends_with_its_queues_runs_a_task_that_it_has_just_given_back,
    panic_of_an_observer_ends_the_worker_loudly,
}

fn task(body: &str) -> Task {
    Task::new("email:send", &body).unwrap()
}

/// Handlers that count their runs.
fn counted() -> (Handlers, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let handlers = every_type(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok(Output::empty()) }
    });
    (handlers, runs)
}

async fn enqueue_without_an_answer_is_repeated_and_stored_once(fleet: Fleet) {
    let broker = FaultyBroker::new(fleet.broker());
    let client = fleet.client_on(fleet.client_settings(), Arc::clone(&broker) as Arc<dyn Broker>);
    for (fault, times) in
        [(Fault::AnswerLost, 1), (Fault::AnswerLost, 3), (Fault::RequestLost, 2), (Fault::Unavailable, 2)]
    {
        broker.fail(Call::Enqueue, fault, times);
        client.enqueue(task("x")).await.unwrap();
        assert_eq!(broker.left(Call::Enqueue), 0);
    }
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().pending, 4);
    let (handlers, runs) = counted();
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(handlers)).run_once().await;
    assert_eq!((tally.succeeded, runs.load(Ordering::SeqCst), tally.refused_total()), (4, 4, 0));
}

async fn enqueue_again_with_the_same_id_never_runs_twice(fleet: Fleet) {
    let (handlers, runs) = counted();
    let client = fleet.client();
    let id = new_id();
    let again = || task("x").id(id).retention(Duration::ZERO);
    let receipt = client.enqueue(again()).await.unwrap();
    // Sealed anew it is another envelope, which the queue refuses while it has the first ...
    assert!(matches!(client.enqueue(again()).await, Err(ClientError::Conflict(_))));
    // ... and the same envelope is the same task.
    let envelope = fleet.find(&id.to_string()).await.unwrap().record.unwrap().envelope.to_vec();
    assert_eq!(client.enqueue_sealed(&mail(), envelope.clone()).await.unwrap(), receipt);
    let run =
        async || Worker::new(fleet.worker_settings(), fleet.parts(handlers.clone())).run_once().await.refused;
    assert!(run().await.is_empty());
    assert!(fleet.find(&id.to_string()).await.is_none());
    // Once it is done and forgotten by the queue, only the ledger knows.
    client.enqueue_sealed(&mail(), envelope).await.unwrap();
    assert_eq!(run().await, [(Refusal::Replayed, 1)].into());
    let archived = fleet.find(&id.to_string()).await.unwrap();
    assert_eq!(archived.state, TaskState::Archived);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn forwarding_an_envelope_returns_its_id_in_the_queue_and_whether_it_is_new(fleet: Fleet) {
    let key = fleet.sealing_key(PRODUCER);
    let named = fleet.seal(&key, |claims| claims.reference(Reference::new("order-7").unwrap()));
    let plain = fleet.good();
    let names = [(plain.envelope.clone(), plain.id()), (named.envelope.clone(), "order-7".to_owned())];
    for (envelope, name) in names {
        for is_new in [true, false, false] {
            let forwarded =
                enqueue_sealed(&*fleet.broker(), Duration::ZERO, &mail(), envelope.clone()).await.unwrap();
            assert_eq!((forwarded.receipt.queue_id.as_str(), forwarded.is_new), (name.as_str(), is_new));
            assert!(fleet.find(&name).await.is_some());
        }
    }
}

async fn enqueue_gives_up_when_its_patience_ends(fleet: Fleet) {
    let broker = FaultyBroker::new(fleet.broker());
    let mut settings = fleet.client_settings();
    settings.retry_for = Duration::from_millis(300);
    let client = fleet.client_on(settings, Arc::clone(&broker) as Arc<dyn Broker>);
    broker.fail(Call::Enqueue, Fault::Unavailable, usize::MAX);
    assert!(matches!(client.enqueue(task("x")).await, Err(ClientError::Broker(_))));
    broker.fail(Call::Enqueue, Fault::Refused, 1);
    assert!(matches!(client.enqueue(task("x")).await, Err(ClientError::Broker(_))));
    assert_eq!(broker.left(Call::Enqueue), 0);
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().pending, 0);
}

async fn success_that_did_not_reach_the_queue_is_settled_again_without_running(fleet: Fleet) {
    let (handlers, runs) = counted();
    let broker = FaultyBroker::new(fleet.broker());
    broker.fail(Call::Settle, Fault::Refused, 1);
    let parts =
        WorkerParts { broker: Arc::clone(&broker) as Arc<dyn Broker>, ..fleet.parts(handlers.clone()) };
    let first = Running::start(fleet.worker_settings(), parts);
    let client = fleet.client();
    let receipt = client.enqueue(task("x")).await.unwrap();
    until("the settlement to fail", async || (broker.left(Call::Settle) == 0).then_some(())).await;
    first.stop().await;
    assert_eq!(fleet.ledger().stats().unwrap().finished, 1);
    // Another worker, another process: only the ledger file knows.
    let second = fleet.start(handlers);
    fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
    let tally = second.stop().await;
    assert_eq!((tally.started, tally.settled_again, runs.load(Ordering::SeqCst)), (0, 1, 1));
    assert_eq!(fleet.ledger().stats().unwrap().done, 1);
    assert!(client.result(&receipt).await.unwrap().is_some());
}

async fn answer_lost_while_settling_neither_loses_nor_repeats(fleet: Fleet) {
    let (handlers, runs) = counted();
    let broker = FaultyBroker::new(fleet.broker());
    for fault in [Fault::AnswerLost, Fault::RequestLost, Fault::Unavailable] {
        broker.fail(Call::Settle, fault, 3);
        let receipt = fleet.client().enqueue(task("x")).await.unwrap();
        let parts =
            WorkerParts { broker: Arc::clone(&broker) as Arc<dyn Broker>, ..fleet.parts(handlers.clone()) };
        let tally = Worker::new(fleet.worker_settings(), parts).run_once().await;
        fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
        // The queue has settled the task, whether or not it said so.
        assert_eq!((tally.succeeded, tally.lease_lost), (1, 0), "{fault:?}");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    assert_eq!(fleet.ledger().stats().unwrap().done, 3);
}

async fn settlement_that_the_queue_refuses_keeps_no_other_from_being_settled(fleet: Fleet) {
    let (handlers, runs) = counted();
    let broker = FaultyBroker::new(fleet.broker());
    let parts = WorkerParts { broker: Arc::clone(&broker) as Arc<dyn Broker>, ..fleet.parts(handlers) };
    // The batch, and the first of it alone.
    broker.fail(Call::Settle, Fault::Refused, 2);
    let tasks = (0..8).map(|number| task(&number.to_string())).collect();
    fleet.client().enqueue_all(tasks).await.unwrap();
    let worker = Running::start(fleet.worker_settings(), parts);
    until("all to be settled", async || {
        (fleet.broker().stats(&mail()).await.unwrap().completed == 8).then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(runs.load(Ordering::SeqCst), 8);
}

async fn ledger_out_of_reach_runs_nothing_and_keeps_the_order(fleet: Fleet) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&order);
    let handlers = every_type(move |task| {
        into.lock().unwrap().push(task.id);
        async { Ok(Output::empty()) }
    });
    let ledger = FaultyLedger::new(fleet.ledger());
    ledger.set_unavailable(true);
    let mut settings = fleet.worker_settings();
    settings.concurrency = 1;
    let parts = WorkerParts { ledger: Arc::clone(&ledger) as _, ..fleet.parts(handlers) };
    let tasks = (0..6).map(|number| task(&number.to_string())).collect();
    let receipts = fleet.client().enqueue_all(tasks).await.unwrap();
    let worker = Running::start(settings, parts);
    until("a few tries", async || {
        (worker.seen.count(|noted| *noted == Noted::StateFailed) >= 3).then_some(())
    })
    .await;
    assert!(order.lock().unwrap().is_empty());
    ledger.set_unavailable(false);
    until("all to run", async || (order.lock().unwrap().len() == 6).then_some(())).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.succeeded, tally.refused_total()), (6, 6, 0));
    let sent: Vec<_> = receipts.iter().map(|receipt| receipt.id).collect();
    assert_eq!(*order.lock().unwrap(), sent);
}

async fn ledger_that_stays_out_of_reach_is_asked_less_and_less_and_ends_a_worker_that_runs_once(
    fleet: Fleet,
) {
    let (handlers, runs) = counted();
    let ledger = FaultyLedger::new(fleet.ledger());
    ledger.set_unavailable(true);
    let parts = WorkerParts { ledger: Arc::clone(&ledger) as _, ..fleet.parts(handlers) };
    let mut settings = fleet.worker_settings();
    settings.retry_for = Duration::from_secs(1);
    let receipt = fleet.client().enqueue(task("x")).await.unwrap();

    let ended = tokio::time::timeout(Duration::from_secs(30), Worker::new(settings, parts).run_once()).await;

    let tally = ended.expect("a worker that ends");
    assert_eq!((tally.gave_up, tally.started, runs.load(Ordering::SeqCst)), (1, 0, 0));
    // Without delays that grow, there are 20 and more in a second.
    assert!((2..=12).contains(&tally.state_failures), "{tally:?}");
    assert_eq!(fleet.find(&receipt.id.to_string()).await.unwrap().state, TaskState::Pending);
}

async fn ledger_lost_while_tasks_run_settles_them_when_it_is_back(fleet: Fleet) {
    let (begun, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, gate) = (Arc::clone(&begun), Arc::clone(&go_on));
    let handlers = every_type(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            Ok(Output::empty())
        }
    });
    let ledger = FaultyLedger::new(fleet.ledger());
    let parts = WorkerParts { ledger: Arc::clone(&ledger) as _, ..fleet.parts(handlers) };
    let worker = Running::start(fleet.worker_settings(), parts);
    let receipt = fleet.client().enqueue(task("x")).await.unwrap();
    until("the handler", async || (begun.load(Ordering::SeqCst) == 1).then_some(())).await;
    ledger.set_unavailable(true);
    go_on.notify_one();
    worker.seen.until("the ledger to be missed", |noted| *noted == Noted::StateFailed).await;
    assert_eq!(fleet.find(&receipt.id.to_string()).await.unwrap().state, TaskState::Active);
    ledger.set_unavailable(false);
    fleet.until_in(&receipt.id.to_string(), TaskState::Completed).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.succeeded), (1, 1));
}

async fn quarantine_out_of_reach_settles_nothing_that_was_refused_until_it_is_back(fleet: Fleet) {
    let parts = fleet.parts(nothing_to_do());
    let lock = rusqlite::Connection::open(fleet.path("quarantine.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let bad = fleet.seal(&fleet.sealing_key("revoked"), |claims| claims);
    fleet.push(bad.record()).await;
    let worker = Running::start(fleet.worker_settings(), parts);
    worker.seen.until("the quarantine to be missed", |noted| *noted == Noted::StateFailed).await;
    assert_eq!(fleet.find(&bad.id()).await.unwrap().state, TaskState::Active);
    assert_eq!(worker.seen.count(|noted| matches!(noted, Noted::Refused { .. })), 0);
    lock.execute_batch("ROLLBACK").unwrap();
    let held = |noted: &Noted| matches!(noted, Noted::Refused { quarantined: true, .. });
    worker.seen.until("the refusal", held).await;
    fleet.until_in(&bad.id(), TaskState::Archived).await;
    worker.stop().await;
}

async fn broker_that_cannot_be_reached_is_asked_again(fleet: Fleet) {
    let (handlers, runs) = counted();
    let broker = FaultyBroker::new(fleet.broker());
    broker.fail(Call::Dequeue, Fault::Unavailable, 5);
    let parts = WorkerParts { broker: Arc::clone(&broker) as Arc<dyn Broker>, ..fleet.parts(handlers) };
    fleet.client().enqueue(task("x")).await.unwrap();
    // Leases whose answer was lost expire, and the task becomes pending again.
    let tally = Worker::new(fleet.worker_settings(), parts).run_once().await;
    assert_eq!((tally.broker_failures, tally.succeeded, runs.load(Ordering::SeqCst)), (5, 1, 1));
}

async fn queue_that_fails_does_not_hold_up_another(fleet: Fleet) {
    let AnyQueue::Redis(server) = fleet.queue() else { return };
    let bulk = QueueName::parse("bulk").unwrap();
    let _: () =
        ::redis::cmd("SET").arg("asynq:{bulk}:pending").arg("no list").query(&mut server.raw()).unwrap();
    let mut settings = fleet.worker_settings();
    settings.queues = vec![WorkerQueue::new(bulk, 9), WorkerQueue::new(mail(), 1)];
    settings.concurrency = 1;
    let (handlers, runs) = counted();
    let tasks = (0..100).map(|number| task(&number.to_string())).collect();
    fleet.client().enqueue_all(tasks).await.unwrap();
    let worker = Running::start(settings, fleet.parts(handlers));
    until("all to run", async || (runs.load(Ordering::SeqCst) == 100).then_some(())).await;
    let tally = worker.stop().await;
    let failed = tally.broker_failures;
    assert!((1..100).contains(&failed), "{failed}");
}

async fn queue_that_only_refuses_is_given_up_by_a_worker_that_ends_with_its_queues(fleet: Fleet) {
    let AnyQueue::Redis(server) = fleet.queue() else { return };
    let bulk = QueueName::parse("bulk").unwrap();
    let _: () =
        ::redis::cmd("SET").arg("asynq:{bulk}:pending").arg("no list").query(&mut server.raw()).unwrap();
    let mut settings = fleet.worker_settings();
    settings.queues = vec![WorkerQueue::new(bulk, 1), WorkerQueue::new(mail(), 1)];
    settings.retry_for = Duration::from_millis(100);
    let (handlers, runs) = counted();
    fleet.client().enqueue(task("x")).await.unwrap();
    let tally = Worker::new(settings, fleet.parts(handlers)).run_once().await;
    assert_eq!((tally.gave_up, tally.succeeded, runs.load(Ordering::SeqCst)), (1, 1, 1));
}

async fn last_attempt_whose_beginning_is_not_recorded_does_not_run_and_is_not_used_up(fleet: Fleet) {
    fleet.client().enqueue(task("x").attempts(1)).await.unwrap();
    let ledger = FaultyLedger::new(fleet.ledger());
    ledger.fail_begin(2);
    let (handlers, runs) = counted();
    let parts = WorkerParts {
        ledger: Arc::clone(&ledger) as Arc<dyn taskseal::replay::Ledger>,
        ..fleet.parts(handlers)
    };
    let tally = Worker::new(fleet.worker_settings(), parts).run_once().await;
    assert_eq!((tally.given_back, tally.started, tally.succeeded), (2, 1, 1));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn task_that_is_given_back_is_not_put_off_while_the_answer_of_the_queue_is_on_its_way(fleet: Fleet) {
    fleet.client().enqueue(task("x").attempts(1)).await.unwrap();
    let (broker, ledger) = (FaultyBroker::new(fleet.broker()), FaultyLedger::new(fleet.ledger()));
    ledger.fail_begin(1);
    let requeue = broker.hold(Call::Settle, When::After);
    let (handlers, runs) = counted();
    let parts = WorkerParts {
        broker: Arc::clone(&broker) as Arc<dyn Broker>,
        ledger: Arc::clone(&ledger) as Arc<dyn taskseal::replay::Ledger>,
        ..fleet.parts(handlers)
    };
    let run = tokio::spawn(Worker::new(fleet.worker_settings(), parts).run_once());
    requeue.reached.notified().await;
    until("the task to run", async || (runs.load(Ordering::SeqCst) == 1).then_some(())).await;
    requeue.go_on.notify_one();
    assert_eq!(run.await.unwrap().succeeded, 1);
}

async fn worker_that_ends_with_its_queues_runs_a_task_that_it_has_just_given_back(fleet: Fleet) {
    fleet.client().enqueue(task("x")).await.unwrap();
    let (broker, ledger) = (FaultyBroker::new(fleet.broker()), FaultyLedger::new(fleet.ledger()));
    ledger.set_unavailable(true);
    let requeue = broker.hold(Call::Settle, When::Before);
    let parts = WorkerParts {
        broker: Arc::clone(&broker) as Arc<dyn Broker>,
        ledger: Arc::clone(&ledger) as Arc<dyn taskseal::replay::Ledger>,
        ..fleet.parts(nothing_to_do())
    };
    let seen = Seen::default();
    let noting = seen.clone();
    let worker = Worker::new(fleet.worker_settings(), parts).observed_by(move |event| noting.note(event));
    let run = tokio::spawn(worker.run_once());

    // The queue answers that it is empty before the task is pending again, and the answer arrives after.
    requeue.reached.notified().await;
    ledger.set_unavailable(false);
    let empty = broker.hold(Call::Dequeue, When::After);
    empty.reached.notified().await;
    requeue.go_on.notify_one();
    seen.until("the task to be given back", |noted| matches!(noted, Noted::GivenBack { .. })).await;
    empty.go_on.notify_one();

    assert_eq!(run.await.unwrap().succeeded, 1);
}

async fn panic_of_an_observer_ends_the_worker_loudly(fleet: Fleet) {
    let worker = Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).observed_by(|event| {
        assert!(!matches!(event, taskseal::worker::Event::Succeeded { .. }), "told to");
    });
    fleet.client().enqueue(task("x")).await.unwrap();
    let ended = tokio::spawn(worker.run_until(std::future::pending())).await;
    assert!(ended.unwrap_err().is_panic());
    // What was done is not done again.
    let next = Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!((next.started, next.refused_total()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_redis_loses_nothing_and_repeats_nothing() {
    let Some(mut fleet) = Fleet::durable_redis().await else { return };
    let (handlers, runs) = counted();
    let mut settings = fleet.worker_settings();
    settings.concurrency = 4;
    let worker = Running::start(settings, fleet.parts(handlers));
    let client = Arc::new(fleet.client());
    const TASKS: usize = 600;
    let producer = tokio::spawn({
        let client = Arc::clone(&client);
        async move {
            for number in 0..TASKS {
                client.enqueue(task(&number.to_string())).await.unwrap();
            }
        }
    });
    for part in 1..=3 {
        until("some to run", async || (runs.load(Ordering::SeqCst) >= part * TASKS / 5).then_some(())).await;
        let AnyQueue::Redis(server) = fleet.queue_mut() else { unreachable!("it is one") };
        server.kill();
        worker.seen.until("the broker to be missed", |noted| *noted == Noted::BrokerFailed).await;
        server.restart();
    }
    producer.await.unwrap();
    until("all to be completed", async || {
        let stats = fleet.broker().stats(&mail()).await.ok()?;
        (stats.completed == TASKS as u64).then_some(())
    })
    .await;
    let tally = worker.stop().await;
    assert_eq!((runs.load(Ordering::SeqCst), tally.refused_total()), (TASKS, 0), "{tally:?}");
    assert!(tally.broker_failures > 0);
}
