//! Results that clients would refuse, because of the keyset: their tasks do not run, and what has run waits.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use taskseal::handler::{OpenedTask, Output};
use taskseal_core::ContentType;
use taskseal_tests::fleet::until;
use taskseal_tests::site::{Site, replace, task};
use tokio::sync::Notify;

const RETIRING: &str = "state = \"retiring\"\naccept_until = \"2100-01-01T00:00:00Z\"";

/// Writes the keyset with one change to the entry of the worker.
fn write_worker_entry(site: &Site, from: &str, to: &str) {
    let worker = site.keyset(&[("worker", "")]);
    assert!(worker.contains(from), "{worker}");
    let text = format!("{}{}", site.keyset(&[("producer", "")]), worker.replace(from, to));
    replace(&site.path("keyset.toml"), &text);
}

#[tokio::test]
async fn task_is_put_off_while_the_result_key_has_no_right_for_its_result() {
    let site = Site::new();
    let client = site.client();
    for (from, to, missing) in [
        ("issuers = [\"*\"]", "issuers = [\"worker-2\"]", "no right for issuer worker-1"),
        ("types = [\"*\"]", "types = [\"report:*\"]", "no right for type email:send"),
        ("audiences = [\"site/*\"]", "audiences = [\"site/bulk\"]", "no right for queue site/mail"),
    ] {
        write_worker_entry(&site, from, to);
        let worker = site.start_worker();
        let receipt = client.enqueue(task(1)).await.unwrap();
        worker.log.until(1, &format!("put off, among them {}", receipt.id)).await;
        assert!(worker.log.count(missing) > 0, "{:?}", worker.log.all());
        assert_eq!(worker.log.count("started"), 0);
        // Without a restart.
        site.write_keyset(&[("producer", ""), ("worker", "")]);
        worker.log.until(1, &format!("succeeded {}", receipt.id)).await;
        assert!(client.result(&receipt).await.unwrap().is_some());
        let tally = worker.stop().await;
        assert_eq!((tally.started, tally.succeeded, tally.refused_total()), (1, 1, 0));
    }
}

#[tokio::test]
async fn task_is_put_off_while_the_result_key_does_not_seal() {
    let site = Site::new();
    let (client, worker) = (site.client(), site.start_worker());
    site.write_keyset(&[("producer", ""), ("worker", RETIRING)]);
    worker.log.until(1, "primary -> retiring").await;
    let receipt = client.enqueue(task(2)).await.unwrap();
    worker.log.until(1, &format!("put off, among them {}", receipt.id)).await;
    assert_eq!(worker.log.count("started"), 0);
    // No client reads a result of this task.
    let unread = client.enqueue(task(3).retention(Duration::ZERO)).await.unwrap();
    worker.log.until(1, &format!("succeeded {}", unread.id)).await;
    site.write_keyset(&[("producer", ""), ("worker", "")]);
    worker.log.until(1, &format!("succeeded {}", receipt.id)).await;
    assert!(client.result(&receipt).await.unwrap().is_some());
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.succeeded, tally.archived), (2, 2, 0));
}

#[tokio::test]
async fn result_whose_key_retires_while_its_handler_runs_waits_until_the_keyset_allows_the_key() {
    let site = Site::new();
    let client = site.client();
    let (running, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_running, handler_end) = (Arc::clone(&running), Arc::clone(&end));
    let worker = site.start_worker_with(site.config(), |builder| {
        builder.handle("email:send", move |task: OpenedTask| {
            let (running, end) = (Arc::clone(&handler_running), Arc::clone(&handler_end));
            async move {
                running.notify_one();
                end.notified().await;
                Ok(Output::new(ContentType::OCTETS, task.body.to_vec()))
            }
        })
    });
    let receipt = client.enqueue(task(1)).await.unwrap();
    running.notified().await;
    site.write_keyset(&[("producer", ""), ("worker", RETIRING)]);
    worker.log.until(1, "primary -> retiring").await;
    end.notify_one();
    worker.log.until(1, &format!("clients would refuse the result of {}, which waits", receipt.id)).await;
    assert!(client.result(&receipt).await.unwrap().is_none());
    site.write_keyset(&[("producer", ""), ("worker", "")]);
    until("the result", async || client.result(&receipt).await.unwrap()).await;
    let tally = worker.stop().await;
    assert_eq!((tally.started, tally.succeeded, tally.archived), (1, 1, 0));
}
