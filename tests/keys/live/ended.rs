//! A key that the keyset does not allow now: its owner seals nothing that others would refuse.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use taskseal::client::ClientError;
use taskseal::keys::{KeyErrorKind, KeyringError};
use taskseal::time::{UnixMillis, rfc3339};
use taskseal::{Client, WaitOutcome};
use taskseal_tests::fleet::until;
use taskseal_tests::site::{Site, task};

/// Returns a time in seconds from now, as a keyset writes it.
fn in_seconds(seconds: i64) -> String {
    rfc3339::format(UnixMillis((UnixMillis::now().0 / 1000 + seconds) * 1000)).unwrap()
}

fn not_allowed(error: &ClientError) -> String {
    match error {
        ClientError::Key(KeyringError::Key(key)) if key.kind == KeyErrorKind::NotAllowed => {
            assert!(key.hint.is_some(), "{error}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn client_without_a_key_that_may_seal_seals_nothing_and_reads_results() {
    let site = Site::new();
    let receipt = site.client().enqueue(task(1)).await.unwrap();
    site.write_keyset(&[
        ("producer", "state = \"retiring\"\naccept_until = \"2100-01-01T00:00:00Z\""),
        ("worker", ""),
    ]);
    let client = site.client();
    let message = not_allowed(&client.check_sealing_key().unwrap_err());
    assert!(message.contains(&site.kid("producer").to_string()) && message.contains("retiring"), "{message}");
    not_allowed(&client.enqueue(task(2)).await.unwrap_err());
    for sealed in client.seal_all(vec![task(3), task(4)]).await {
        not_allowed(&sealed.unwrap_err());
    }

    let worker = site.start_worker();
    let outcome = client.wait(&receipt, Duration::from_secs(60)).await.unwrap();
    assert!(matches!(outcome, WaitOutcome::Done(_)), "{outcome:?}");
    assert_eq!(worker.stop().await.succeeded, 1);
}

#[tokio::test]
async fn client_whose_key_file_is_missing_opens_and_reports_the_file_when_it_seals() {
    let site = Site::new();
    std::fs::remove_file(site.path("keys/producer.key")).unwrap();
    let error = site.client().enqueue(task(1)).await.unwrap_err();
    assert!(error.to_string().contains("producer.key: client.key: cannot be read: no such file"), "{error}");
}

#[tokio::test]
async fn client_stops_sealing_when_the_time_of_its_key_ends() {
    let site = Site::new();
    let until_then = format!("sign_until = \"{}\"", in_seconds(2));
    site.write_keyset(&[("producer", &until_then), ("worker", "")]);
    let client = Client::open(&site.config()).unwrap();
    client.check_sealing_key().unwrap();
    let error = until("the end of the key", async || client.check_sealing_key().err()).await;
    assert!(not_allowed(&error).contains("expired"));
    not_allowed(&client.enqueue(task(1)).await.unwrap_err());
}
