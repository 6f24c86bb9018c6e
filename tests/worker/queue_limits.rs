//! Limits of single queues: one producer with slow tasks does not occupy all handlers of a worker.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskseal::handler::Output;
use taskseal::worker::{WorkerParts, WorkerQueue};
use taskseal::{QueueName, Task};
use taskseal_tests::faulty::FaultyBroker;
use taskseal_tests::fleet::{Fleet, Running, every_type, mail, until};
use taskseal_tests::on_both_brokers;
use tokio::sync::Notify;

on_both_brokers! {
    queue_with_a_limit_does_not_occupy_more_handlers_and_all_its_tasks_run,
    queue_that_is_full_is_not_waited_for_although_it_has_tasks,
}

const SLOW_TASKS: usize = 6;

async fn queue_with_a_limit_does_not_occupy_more_handlers_and_all_its_tasks_run(fleet: Fleet) {
    let bulk = QueueName::parse("bulk").unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let go_on = Arc::new(Notify::new());
    let handlers = {
        let (bulk, running, most, go_on) = (bulk.clone(), running.clone(), most.clone(), go_on.clone());
        every_type(move |task| {
            let (running, most, go_on) = (running.clone(), most.clone(), go_on.clone());
            let is_slow = task.queue == bulk;
            async move {
                if is_slow {
                    let gate = go_on.notified();
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    gate.await;
                    running.fetch_sub(1, Ordering::SeqCst);
                }
                Ok(Output::empty())
            }
        })
    };
    let mut settings = fleet.worker_settings();
    settings.concurrency = 4;
    // Longer than the test: only the end of a task makes the worker ask the full queue again.
    settings.poll = Duration::from_secs(3600);
    let mut limited = WorkerQueue::new(bulk.clone(), 1000);
    limited.concurrency = Some(1);
    settings.queues = vec![limited, WorkerQueue::new(mail(), 1)];

    let tasks = |queue: &QueueName, count: usize| {
        (0..count).map(|number| Task::new("email:send", &number).unwrap().queue(queue.clone())).collect()
    };
    let client = fleet.client();
    client.enqueue_all(tasks(&bulk, SLOW_TASKS)).await.unwrap();
    client.enqueue_all(tasks(&mail(), 20)).await.unwrap();
    let worker = Running::start(settings, fleet.parts(handlers));
    until("the other queue to be done", async || {
        (fleet.broker().stats(&mail()).await.unwrap().completed == 20).then_some(())
    })
    .await;
    until("a slow task", async || (running.load(Ordering::SeqCst) == 1).then_some(())).await;
    assert_eq!(fleet.broker().stats(&bulk).await.unwrap().completed, 0);
    until("the slow tasks to be done", async || {
        go_on.notify_waiters();
        (fleet.broker().stats(&bulk).await.unwrap().completed == u64::try_from(SLOW_TASKS).unwrap())
            .then_some(())
    })
    .await;
    assert_eq!(worker.stop().await.succeeded, 20 + u64::try_from(SLOW_TASKS).unwrap());
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

async fn queue_that_is_full_is_not_waited_for_although_it_has_tasks(fleet: Fleet) {
    let bulk = QueueName::parse("bulk").unwrap();
    let go_on = Arc::new(Notify::new());
    let handlers = {
        let (bulk, go_on) = (bulk.clone(), go_on.clone());
        every_type(move |task| {
            let (go_on, is_slow) = (go_on.clone(), task.queue == bulk);
            async move {
                if is_slow {
                    go_on.notified().await;
                }
                Ok(Output::empty())
            }
        })
    };
    let mut settings = fleet.worker_settings();
    settings.concurrency = 4;
    settings.poll = Duration::from_secs(3600);
    let mut limited = WorkerQueue::new(bulk.clone(), 1);
    limited.concurrency = Some(1);
    settings.queues = vec![limited, WorkerQueue::new(mail(), 1)];
    let task =
        |number: usize, queue: &QueueName| Task::new("email:send", &number).unwrap().queue(queue.clone());
    let client = fleet.client();
    client.enqueue_all((0..2).map(|number| task(number, &bulk)).collect()).await.unwrap();
    let broker = FaultyBroker::new(fleet.broker());
    let completed = async |queue: &QueueName, count: usize| {
        until("tasks to be done", async || {
            let done = fleet.broker().stats(queue).await.unwrap().completed;
            (done == u64::try_from(count).unwrap()).then_some(())
        })
        .await;
    };

    let worker = Running::start(settings, WorkerParts { broker: broker.clone(), ..fleet.parts(handlers) });

    // With the full one, every wait would end at once, as long as the handler runs.
    until("a wait for the other queue alone", async || {
        broker.waits().last().is_some_and(|queues| *queues == [mail()]).then_some(())
    })
    .await;
    let before = broker.waits().len();
    for number in 0..20 {
        client.enqueue(task(number, &mail())).await.unwrap();
        completed(&mail(), number + 1).await;
    }
    let waits = broker.waits().len() - before;
    assert!(waits <= 120, "{waits} waits for 20 tasks");
    for count in 1..=2 {
        go_on.notify_one();
        completed(&bulk, count).await;
    }
    assert_eq!(worker.stop().await.succeeded, 22);
}
