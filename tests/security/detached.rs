//! Signed tasks with a clear body: the signature is verified where it is there, and a task without it is an unsealed one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use taskseal::Task;
use taskseal::broker::{BrokerError, TaskRecord, TaskState};
use taskseal::client::{ClientError, SealedTask};
use taskseal::keys::Draft;
use taskseal::rollout::{QueueCounts, TypeReport};
use taskseal_core::{Claims, ContentType, Refusal};
use taskseal_tests::fleet::{Fleet, PRODUCER, REVOKED, STRANGER, claims, unix_now};

use crate::modes::{Bodies, is_refused, rollout, run};

const BODY: &str = "{\"to\":\"ada\"}";
const OBSERVE: &str = "mode = \"observe\"";
const PREFER: &str = "mode = \"prefer\"";
const ACCEPTED: &str = "detached = true";

/// A task that `key` has signed, with the body beside it.
fn signed_by(
    fleet: &Fleet,
    key: &str,
    change: impl FnOnce(Claims<'static>) -> Claims<'static>,
) -> TaskRecord {
    let claims = change(claims());
    let draft = Draft::new(&claims, ContentType::JSON, BODY.as_bytes());
    let envelope = fleet.sealing_key(key).seal_detached(&draft).unwrap().unwrap();
    TaskRecord {
        task_type: claims.task_type.to_string(),
        id: claims.task_id.to_string(),
        queue: "mail".to_owned(),
        envelope: BODY.into(),
        detached: Some(envelope.into()),
        ..TaskRecord::default()
    }
}

fn signed(fleet: &Fleet) -> TaskRecord {
    signed_by(fleet, PRODUCER, |claims| claims)
}

/// What the rollout has counted of the only type.
fn report(fleet: &Fleet) -> TypeReport {
    rollout(fleet).report().unwrap().pop().unwrap_or_default()
}

fn counts(fleet: &Fleet) -> QueueCounts {
    report(fleet).queues.pop().unwrap_or_default()
}

/// Checks that the task runs unsealed in the mode `observe`, with its refusal counted, and is refused where it must be signed.
async fn is_unsealed_at_most(fleet: &Fleet, record: TaskRecord, refusal: Refusal) {
    let (bodies, before) = (Bodies::default(), counts(fleet));
    let body = String::from_utf8(record.envelope.to_vec()).unwrap();
    fleet.push(record.clone()).await;
    let tally = run(fleet, OBSERVE, &bodies).await;
    assert_eq!((tally.unsealed, tally.succeeded, &tally.refused), (1, 1, &[].into()), "{refusal}");
    assert_eq!(bodies.all(), [(body, false)], "{refusal}");
    assert_eq!(counts(fleet).detached, before.detached);
    assert!(report(fleet).refused.iter().any(|refused| refused.code == refusal.code()), "{refusal}");
    fleet.queue().delete(&record.id);
    is_refused(fleet, ACCEPTED, record.clone(), refusal).await;
    fleet.queue().delete(&record.id);
}

macro_rules! fleet {
    () => {
        match Fleet::redis().await {
            Some(fleet) => fleet,
            None => return,
        }
    };
}

#[tokio::test]
async fn clear_body_is_not_accepted_without_a_rule_that_says_so() {
    let fleet = fleet!();
    for rule in ["", "mode = \"enforce\"", "suites = [\"S\"]", "mode = \"observe\"\nuntil = \"2020-12-31\""] {
        let (bodies, record) = (Bodies::default(), signed(&fleet));
        fleet.push(record.clone()).await;
        let tally = run(&fleet, rule, &bodies).await;
        assert_eq!((tally.started, tally.postponed), (0, [(Refusal::SuiteNotAllowed, 1)].into()), "{rule}");
        // Changed, it is not kept for another policy.
        let forged = TaskRecord { envelope: "{}".into(), ..signed(&fleet) };
        is_refused(&fleet, rule, forged, Refusal::SuiteNotAllowed).await;
    }
}

#[tokio::test]
async fn changed_body_type_id_or_envelope_is_not_that_of_the_signer() {
    let fleet = fleet!();
    let flipped = {
        let mut record = signed(&fleet);
        let mut envelope = record.detached.unwrap().to_vec();
        *envelope.last_mut().unwrap() ^= 1;
        record.detached = Some(envelope.into());
        record
    };
    is_unsealed_at_most(&fleet, flipped, Refusal::Rejected).await;
    let changed = TaskRecord { envelope: "{\"to\":\"eve\"}".into(), ..signed(&fleet) };
    is_unsealed_at_most(&fleet, changed, Refusal::Rejected).await;
    let retyped = TaskRecord { task_type: "email:purge".to_owned(), ..signed(&fleet) };
    is_unsealed_at_most(&fleet, retyped, Refusal::MetadataMismatch).await;
    let renamed = TaskRecord { id: "another".to_owned(), ..signed(&fleet) };
    is_unsealed_at_most(&fleet, renamed, Refusal::MetadataMismatch).await;
    let revoked = signed_by(&fleet, REVOKED, |claims| claims);
    is_unsealed_at_most(&fleet, revoked, Refusal::KeyNotValid).await;
}

#[tokio::test]
async fn header_that_is_not_a_detached_envelope_is_malformed() {
    let fleet = fleet!();
    let attached = fleet.good().envelope;
    for header in [&b""[..], b"0oR", b"{}", &attached, &attached[..20]] {
        let record = TaskRecord { detached: Some(header.to_vec().into()), ..signed(&fleet) };
        is_unsealed_at_most(&fleet, record, Refusal::Malformed).await;
    }
    // A sealed payload does not become an unsealed one with a header.
    let sealed = TaskRecord { detached: signed(&fleet).detached, ..fleet.good().record() };
    is_refused(&fleet, OBSERVE, sealed, Refusal::Rejected).await;
}

#[tokio::test]
async fn task_of_an_unknown_key_runs_unsealed_where_such_tasks_do_and_is_put_off_elsewhere() {
    let fleet = fleet!();
    let record = || signed_by(&fleet, STRANGER, |claims| claims);
    fleet.push(record()).await;
    let tally = run(&fleet, ACCEPTED, &Bodies::default()).await;
    assert_eq!((tally.started, tally.postponed), (0, [(Refusal::UnknownKey, 1)].into()));
    fleet.push(record()).await;
    let bodies = Bodies::default();
    let tally = run(&fleet, OBSERVE, &bodies).await;
    assert_eq!((tally.succeeded, tally.unsealed, &tally.postponed), (1, 1, &[].into()));
    assert_eq!(bodies.all(), [(BODY.to_owned(), false)]);
    assert!(report(&fleet).refused.iter().any(|refused| refused.code == "unknown-key"));
}

#[tokio::test]
async fn expired_and_replayed_tasks_with_a_clear_body_do_not_run_in_any_mode() {
    let fleet = fleet!();
    let now = unix_now();
    let old = |claims: Claims<'static>| claims.issued_at(now - 7200).expires_at(now - 3600);
    is_refused(&fleet, OBSERVE, signed_by(&fleet, PRODUCER, old), Refusal::Expired).await;
    let record = signed(&fleet);
    fleet.push(record.clone()).await;
    assert_eq!(run(&fleet, OBSERVE, &Bodies::default()).await.succeeded, 1);
    fleet.queue().delete(&record.id);
    is_refused(&fleet, OBSERVE, record, Refusal::Replayed).await;
}

#[tokio::test]
async fn stripped_signature_makes_an_unsealed_task_that_prefer_refuses_after_a_signed_one() {
    let fleet = fleet!();
    let (bodies, first) = (Bodies::default(), signed(&fleet));
    fleet.push(first).await;
    assert_eq!(run(&fleet, PREFER, &bodies).await.succeeded, 1);
    assert_eq!(bodies.all(), [(BODY.to_owned(), true)]);
    let counted = counts(&fleet);
    assert_eq!((counted.sealed, counted.detached, counted.unsealed), (0, 1, 0));
    let stripped = TaskRecord { detached: None, ..signed(&fleet) };
    is_refused(&fleet, PREFER, stripped, Refusal::Unsealed).await;
    let changed = TaskRecord { envelope: "{}".into(), ..signed(&fleet) };
    is_refused(&fleet, PREFER, changed, Refusal::Rejected).await;
}

#[tokio::test]
async fn task_with_a_clear_body_cannot_be_stored_in_a_queue_file() {
    let fleet = Fleet::embedded().await;
    let task = Task::new("email:send", &1).unwrap().detached();
    let refused = fleet.client().enqueue(task).await;
    assert!(matches!(refused, Err(ClientError::Broker(BrokerError::Refused(_)))), "{refused:?}");
}

#[tokio::test]
async fn clear_body_stays_in_its_place_and_its_result_is_sealed_for_the_client() {
    let fleet = fleet!();
    let (bodies, client) = (Bodies::default(), fleet.client());
    let tasks = [Task::new("email:send", &1).unwrap(), Task::new("email:send", &2).unwrap().detached()];
    let receipts = client.enqueue_all(tasks.into()).await.unwrap();
    let stored = fleet.find(&receipts[1].queue_id).await.unwrap().record.unwrap();
    assert_eq!((&*stored.envelope, stored.detached.is_some()), (&b"2"[..], true));
    let tally = run(&fleet, ACCEPTED, &bodies).await;
    assert_eq!((tally.succeeded, tally.unsealed), (2, 0));
    let mut ran = bodies.all();
    ran.sort();
    assert_eq!(ran, [("1".to_owned(), true), ("2".to_owned(), true)]);
    for receipt in receipts {
        let result = client.result(&receipt).await.unwrap().unwrap();
        assert_eq!(&*result.body, b"sent");
    }
}

#[tokio::test]
async fn detached_envelope_may_be_enqueued_again_but_not_with_another_body() {
    let fleet = fleet!();
    let client = fleet.client();
    let sealed = client.seal(Task::new("email:send", &1).unwrap().detached()).await.unwrap();
    let SealedTask { receipt, envelope, clear_body, .. } = sealed;
    let (queue, body) = (receipt.queue.clone(), clear_body.unwrap());
    assert!(matches!(client.enqueue_sealed(&queue, envelope.clone()).await, Err(ClientError::NotSealed(_))));
    for _ in 0..2 {
        let again = client.enqueue_detached(&queue, envelope.clone(), body.clone()).await.unwrap();
        assert_eq!(again, receipt);
    }
    let other = client.enqueue_detached(&queue, envelope.clone(), b"2".to_vec()).await;
    assert!(matches!(other, Err(ClientError::Conflict(_))), "{other:?}");
    let found = fleet.find(&receipt.queue_id).await.unwrap();
    assert_eq!(found.state, TaskState::Pending);
}
