//! Results: the client opens the result of its request and refuses every other.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use taskseal::client::ClientError;
use taskseal::config::PolicySettings;
use taskseal::result::{Request, open_result};
use taskseal::{QueueName, Task, Worker};
use taskseal_core::name::Reference;
use taskseal_core::{OpenError, Refusal};
use taskseal_tests::fleet::{Fleet, PRODUCER, mail, nothing_to_do, unix_now};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    result_of_another_task_is_refused_by_the_client,
    result_of_a_task_that_the_queue_knows_by_its_reference_is_opened,
    forged_and_stripped_results_are_refused_by_the_client,
}

fn task(body: &str) -> Task {
    Task::new("email:send", &body).unwrap()
}

async fn result_of_another_task_is_refused_by_the_client(fleet: Fleet) {
    let client = fleet.client();
    let receipts = client.enqueue_all(vec![task("1"), task("2")]).await.unwrap();
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!(tally.succeeded, 2);
    let [one, other] = &receipts[..] else { panic!("two receipts") };
    // What the client compares is what it sent, so an exchanged receipt does as well as exchanged results.
    let changed = |change: &dyn Fn(&mut taskseal::Receipt)| {
        let mut receipt = one.clone();
        change(&mut receipt);
        receipt
    };
    for wrong in [
        changed(&|receipt| receipt.digest = other.digest),
        changed(&|receipt| receipt.task_type = "email:other".into()),
    ] {
        let refused = client.result(&wrong).await.unwrap_err();
        assert!(
            matches!(refused, ClientError::Result(OpenError::Refused(Refusal::WrongRequest))),
            "{refused}"
        );
    }
    let swapped = client.result(&changed(&|receipt| receipt.id = other.id)).await.unwrap_err();
    assert!(matches!(swapped, ClientError::Result(OpenError::Refused(Refusal::WrongRequest))), "{swapped}");
    let elsewhere = changed(&|receipt| receipt.queue = QueueName::parse("bulk").unwrap());
    assert!(client.result(&elsewhere).await.unwrap().is_none());
}

async fn result_of_a_task_that_the_queue_knows_by_its_reference_is_opened(fleet: Fleet) {
    let client = fleet.client();
    let named = fleet.seal(&fleet.sealing_key(PRODUCER), |claims| {
        claims.reference(Reference::new("order-7").unwrap()).retention(3600)
    });
    let receipt = client.enqueue_sealed(&mail(), named.envelope).await.unwrap();
    assert!(client.result(&receipt).await.unwrap().is_none());
    let tally = Worker::new(fleet.worker_settings(), fleet.parts(nothing_to_do())).run_once().await;
    assert_eq!(tally.succeeded, 1);
    assert!(client.result(&receipt).await.unwrap().is_some());
}

async fn forged_and_stripped_results_are_refused_by_the_client(fleet: Fleet) {
    let client = fleet.client();
    let broker = fleet.broker();
    let mut wrong: Vec<(Vec<u8>, Refusal)> = vec![
        (b"{\"paid\":true}".to_vec(), Refusal::Unsealed),
        (Vec::new(), Refusal::Unsealed),
        (fleet.seal_result(|claims| claims.request([0; 32])).envelope, Refusal::WrongRequest),
        (fleet.seal(&fleet.sealing_key("producer"), |claims| claims).envelope, Refusal::WrongKind),
    ];
    let mut cut = fleet.seal_result(|claims| claims.request([0; 32])).envelope;
    let last = cut.len() - 1;
    cut[last] ^= 1;
    wrong.push((cut, Refusal::Rejected));
    for (result, expected) in wrong {
        let receipt = client.enqueue(task("x")).await.unwrap();
        let leased = broker.dequeue(&mail(), 1, Duration::from_secs(60)).await.unwrap().tasks.remove(0);
        let end = taskseal::broker::Settlement::Complete { result, retention: Duration::from_secs(60) };
        broker.settle(&mail(), &[(leased.lease, end)]).await.unwrap();
        match client.result(&receipt).await {
            Err(ClientError::Result(OpenError::Refused(refusal))) => assert_eq!(refusal, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn result_by_a_clock_that_is_ahead_is_opened_within_the_skew_that_was_set() {
    let fleet = Fleet::embedded().await;
    let digest = [7; 32];
    let ahead = fleet.seal_result(|claims| {
        let now = unix_now();
        claims.issued_at(now + 200).expires_at(now + 3600).request(digest)
    });
    let request =
        Request { task_type: "email:send", audience: "test/mail", id: ahead.claims.task_id, digest };
    let open = |skew| {
        let mut policy = PolicySettings::default();
        (policy.max_body, policy.skew) = (100, Duration::from_secs(skew));
        open_result(&ahead.envelope, &request, &policy, &fleet.keyring()).map(|result| result.id)
    };

    assert_eq!(open(60), Err(OpenError::Refused(Refusal::IssuedInFuture)));
    assert_eq!(open(300), Ok(ahead.claims.task_id));
}
