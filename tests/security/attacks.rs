//! An attacker who writes to the queue, and a worker that trusts nothing in it: no task of the attacker runs, each is
//! quarantined, and the next good task runs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal::broker::redis::asynq::Message;
use taskseal::broker::{TaskRecord, TaskState};
use taskseal::quarantine::{Disposition, Entry, Filter};
use taskseal::replay::{Ledger, ReplayQuery};
use taskseal::time::UnixMillis;
use taskseal::worker::Tally;
use taskseal::{Task, Worker, WorkerSettings};
use taskseal_core::claims::ClockSource;
use taskseal_core::name::Reference;
use taskseal_core::{Audience, Issuer, Refusal, TaskId, TaskType};
use taskseal_tests::fleet::{
    AnyQueue, Fleet, NARROW, OUTDATED, PRODUCER, REVOKED, Ran, Sealed, mail, unix_now,
};
use taskseal_tests::on_both_brokers;

on_both_brokers! {
    unsealed_task_is_refused,
    truncated_envelope_is_refused_at_every_length,
    envelope_that_is_not_canonical_is_refused,
    undecodable_message_is_refused,
    message_longer_than_any_task_is_refused_as_too_large,
    refusal_of_changed_metadata_names_the_word_that_differs,
    body_over_the_limit_is_refused,
    result_in_the_place_of_a_task_is_refused,
    changed_envelope_is_refused,
    revoked_and_outdated_keys_are_refused,
    key_that_may_not_speak_for_the_issuer_is_refused,
    key_that_may_not_seal_the_type_is_refused,
    key_that_may_not_seal_for_the_queue_is_refused,
    task_of_another_queue_or_deployment_is_refused,
    issuer_without_a_clock_is_refused,
    task_that_lives_too_long_is_refused,
    expired_task_is_refused,
    expired_task_that_had_ended_is_settled_and_not_refused,
    time_to_live_of_an_issuer_without_a_clock_ends_redelivery,
    task_pulled_forward_is_put_back_for_its_time,
    words_of_the_queue_that_differ_from_the_seal_are_refused,
    message_of_another_queue_is_refused,
    swapped_payloads_are_refused,
    task_under_the_key_of_another_is_refused,
    replayed_task_is_refused,
    second_envelope_under_one_id_is_refused,
    attempts_beyond_the_sealed_number_are_refused,
    task_that_took_workers_down_is_refused,
}

/// Runs what is in the queue and one good task behind it; returns the tally. Only the good one may run.
async fn run_with_a_good_one_behind(fleet: &Fleet, settings: WorkerSettings) -> Tally {
    let ran = Ran::default();
    let good = fleet.client().enqueue(Task::new("email:send", &"good").unwrap()).await.unwrap();
    let mut tally = Worker::new(settings, fleet.parts(ran.handlers())).run_once().await;
    assert_eq!(ran.all(), [good.id]);
    assert_eq!((tally.started, tally.succeeded), (1, 1));
    fleet.until_in(&good.id.to_string(), TaskState::Completed).await;
    (tally.started, tally.succeeded) = (0, 0);
    tally
}

/// Pushes these records, lets a worker refuse them, and checks what is left of each.
async fn refused_as(fleet: &Fleet, refusal: Refusal, records: &[TaskRecord]) -> Vec<Entry> {
    for record in records {
        fleet.push(record.clone()).await;
    }
    let tally = run_with_a_good_one_behind(fleet, fleet.worker_settings()).await;
    assert_eq!(tally.refused, [(refusal, records.len() as u64)].into());
    kept_as(fleet, refusal, records).await
}

async fn kept_as(fleet: &Fleet, refusal: Refusal, records: &[TaskRecord]) -> Vec<Entry> {
    let filter = Filter { code: Some(refusal.code().into()), ..Filter::default() };
    let quarantine = fleet.quarantine();
    let entries = quarantine.list(&filter, 0, 1000).unwrap();
    assert_eq!(entries.len(), records.len());
    for (entry, record) in entries.iter().zip(records) {
        let (_, payload) = quarantine.find(entry.id).unwrap().unwrap();
        assert_eq!(payload, record.envelope);
        assert_eq!((&entry.task_id, entry.queue.as_str()), (&record.id, "mail"));
        assert_eq!(entry.unverified_type.as_ref(), Some(&record.task_type));
        if refusal == Refusal::MetadataMismatch {
            // What the queue said is the evidence.
            let said = format!("id {}, queue {}, type {}", record.id, record.queue, record.task_type);
            assert!(entry.detail.ends_with(&said), "{}", entry.detail);
        }
        assert_eq!((entry.disposition, entry.count), (Disposition::Archived, 1));
        assert_eq!(entry.digest, <[u8; 32]>::from(Sha256::digest(&record.envelope)));
        let archived = fleet.find(&record.id).await.unwrap();
        assert_eq!(archived.state, TaskState::Archived);
        assert_eq!(archived.last_error, Some(format!("taskseal: refused: {}", refusal.code())));
        assert_eq!(archived.record.as_ref(), Some(record));
    }
    entries
}

async fn unsealed_task_is_refused(fleet: Fleet) {
    let plain = |id: &str, payload: &[u8]| TaskRecord {
        id: id.into(),
        envelope: payload.to_vec().into(),
        ..fleet.good().record()
    };
    let records = [plain("a", b"{\"to\":\"ada\"}"), plain("b", b""), plain("c", &[0xff; 300])];
    refused_as(&fleet, Refusal::Unsealed, &records).await;
}

async fn truncated_envelope_is_refused_at_every_length(fleet: Fleet) {
    let whole = fleet.good();
    let mut records = Vec::new();
    for length in (1..whole.envelope.len()).step_by(7) {
        let mut record = whole.record();
        record.id = format!("cut-{length:04}");
        record.envelope.truncate(length);
        records.push(record);
    }
    for record in &records {
        fleet.push(record.clone()).await;
    }
    let tally = run_with_a_good_one_behind(&fleet, fleet.worker_settings()).await;
    assert_eq!(tally.refused_total(), records.len() as u64);
    let known = [Refusal::Unsealed, Refusal::Malformed];
    assert!(tally.refused.keys().all(|refusal| known.contains(refusal)), "{:?}", tally.refused);
    assert!(tally.refused[&Refusal::Malformed] > 10);
}

async fn envelope_that_is_not_canonical_is_refused(fleet: Fleet) {
    let mut longer = fleet.good().record();
    longer.envelope = [&*longer.envelope, &[0]].concat().into();
    let mut wider = fleet.good().record();
    // The length of the protected header in one byte more than it needs.
    let mut envelope = wider.envelope.to_vec();
    let at = envelope.iter().position(|byte| *byte == 0x58 || *byte == 0x59).unwrap();
    let length = match envelope[at] {
        0x58 => vec![0x59, 0, envelope[at + 1]],
        _ => vec![0x5a, 0, 0, envelope[at + 1], envelope[at + 2]],
    };
    let old = length.len() - 1;
    envelope.splice(at..at + old, length);
    wider.envelope = envelope.into();
    refused_as(&fleet, Refusal::Malformed, &[longer, wider]).await;
}

async fn undecodable_message_is_refused(fleet: Fleet) {
    let bad = fleet.good();
    fleet.push(bad.record()).await;
    fleet.queue().store().damage(&mail(), &bad.id(), b"\xff\xff\xffno message").await;
    let tally = run_with_a_good_one_behind(&fleet, fleet.worker_settings()).await;
    assert_eq!(tally.refused, [(Refusal::Malformed, 1)].into());
    let entries = fleet.quarantine().list(&Filter::default(), 0, 10).unwrap();
    assert_eq!((entries.len(), entries[0].task_id.as_str()), (1, bad.id().as_str()));
    let (_, whole) = fleet.quarantine().find(entries[0].id).unwrap().unwrap();
    assert!(whole.ends_with(b"no message"));
    assert_eq!(fleet.find(&bad.id()).await.unwrap().state, TaskState::Archived);
}

async fn message_longer_than_any_task_is_refused_as_too_large(fleet: Fleet) {
    let bad = fleet.good();
    fleet.push(bad.record()).await;
    fleet.queue().store().damage(&mail(), &bad.id(), &vec![b'x'; 2 << 20]).await;
    let tally = run_with_a_good_one_behind(&fleet, fleet.worker_settings()).await;
    assert_eq!(tally.refused, [(Refusal::TooLarge, 1)].into());
    let entries = fleet.quarantine().list(&Filter::default(), 0, 10).unwrap();
    assert_eq!(
        (entries.len(), entries[0].code.as_str(), entries[0].task_id.as_str()),
        (1, "too-large", bad.id().as_str())
    );
    assert!(entries[0].detail.contains("1048576 bytes at most"), "{}", entries[0].detail);
    assert_eq!(fleet.find(&bad.id()).await.unwrap().state, TaskState::Archived);
}

async fn body_over_the_limit_is_refused(fleet: Fleet) {
    let key = fleet.sealing_key(PRODUCER);
    let claims = taskseal_tests::fleet::claims();
    let envelope = key.seal(&claims, taskseal_core::ContentType::JSON, &vec![b' '; (1 << 20) + 1]).unwrap();
    refused_as(&fleet, Refusal::TooLarge, &[Sealed { claims, envelope }.record()]).await;
}

async fn result_in_the_place_of_a_task_is_refused(fleet: Fleet) {
    refused_as(&fleet, Refusal::WrongKind, &[fleet.seal_result(|claims| claims.request([1; 32])).record()])
        .await;
}

async fn changed_envelope_is_refused(fleet: Fleet) {
    let mut records = Vec::new();
    for back in [1, 20, 63, 64] {
        let mut record = fleet.good().record();
        let mut envelope = record.envelope.to_vec();
        let at = envelope.len() - back;
        envelope[at] ^= 0x10;
        record.envelope = envelope.into();
        records.push(record);
    }
    let entries = refused_as(&fleet, Refusal::Rejected, &records).await;
    assert!(entries.iter().all(|entry| entry.kid_known));
}

async fn revoked_and_outdated_keys_are_refused(fleet: Fleet) {
    let by = |key| fleet.seal(&fleet.sealing_key(key), |claims| claims).record();
    refused_as(&fleet, Refusal::KeyNotValid, &[by(REVOKED), by(OUTDATED)]).await;
}

async fn key_that_may_not_speak_for_the_issuer_is_refused(fleet: Fleet) {
    let bad = fleet.seal(&fleet.sealing_key(PRODUCER), |mut claims| {
        claims.issuer = Issuer::new("bank").unwrap();
        claims
    });
    refused_as(&fleet, Refusal::IssuerNotAllowed, &[bad.record()]).await;
}

async fn key_that_may_not_seal_the_type_is_refused(fleet: Fleet) {
    let bad = fleet.seal(&fleet.sealing_key(NARROW), |mut claims| {
        claims.task_type = TaskType::new("invoice:pay").unwrap();
        claims
    });
    refused_as(&fleet, Refusal::TypeNotAllowed, &[bad.record()]).await;
}

/// Sealed by this key for this deployment and queue, and pushed into `mail` of `test`.
fn for_audience(fleet: &Fleet, key: &str, audience: &'static str) -> TaskRecord {
    let sealed = fleet.seal(&fleet.sealing_key(key), |mut claims| {
        claims.audience = Audience::new(audience).unwrap();
        claims
    });
    sealed.record()
}

async fn key_that_may_not_seal_for_the_queue_is_refused(fleet: Fleet) {
    let records = [for_audience(&fleet, NARROW, "test/bulk"), for_audience(&fleet, PRODUCER, "prod/mail")];
    refused_as(&fleet, Refusal::AudienceNotAllowed, &records).await;
}

async fn task_of_another_queue_or_deployment_is_refused(fleet: Fleet) {
    // As a worker of `prod` that trusts the same keys would see a task of `test`.
    refused_as(&fleet, Refusal::WrongAudience, &[for_audience(&fleet, PRODUCER, "test/bulk")]).await;
    fleet.push(fleet.good().record()).await;
    let mut settings = fleet.worker_settings();
    settings.deployment = "prod".into();
    let ran = Ran::default();
    let tally = Worker::new(settings, fleet.parts(ran.handlers())).run_once().await;
    assert_eq!((tally.refused, ran.all()), ([(Refusal::WrongAudience, 1)].into(), vec![]));
}

async fn issuer_without_a_clock_is_refused(fleet: Fleet) {
    let bad = fleet.seal(&fleet.sealing_key(PRODUCER), |mut claims| {
        (claims.issued_at, claims.expires_at) = (None, None);
        claims.clock(ClockSource::None).sequence(1, 1)
    });
    refused_as(&fleet, Refusal::ClockNotAllowed, &[bad.record()]).await;
}

async fn task_that_lives_too_long_is_refused(fleet: Fleet) {
    let key = fleet.sealing_key(PRODUCER);
    let bad = fleet.seal(&key, |claims| claims.expires_at(unix_now() + 2 * 86_400));
    let forever = fleet.seal(&key, |claims| claims.expires_at(u64::from(u32::MAX)));
    refused_as(&fleet, Refusal::LifetimeTooLong, &[bad.record(), forever.record()]).await;
}

async fn expired_task_is_refused(fleet: Fleet) {
    let key = fleet.sealing_key(PRODUCER);
    let bad = fleet.seal(&key, |claims| claims.issued_at(unix_now() - 900).expires_at(unix_now() - 120));
    refused_as(&fleet, Refusal::Expired, &[bad.record()]).await;
}

async fn expired_task_that_had_ended_is_settled_and_not_refused(fleet: Fleet) {
    let past = unix_now() - 7200;
    let key = fleet.sealing_key(PRODUCER);
    let late =
        |attempts| fleet.seal(&key, |claims| claims.issued_at(past).expires_at(past + 60).attempts(attempts));
    let (ended, failed) = (late(5), late(6));
    let ledger = fleet.ledger();
    for task in [&ended, &failed] {
        started_before(&*ledger, task, 1, false);
    }
    let seen = query(&ended, Sha256::digest(&ended.envelope).into());
    ledger.acquire("lost", UnixMillis(100), UnixMillis(200), std::slice::from_ref(&seen)).unwrap();
    assert_eq!(ledger.finish("lost", &[(seen.key(), Vec::new())]).unwrap(), [true]);
    for task in [&ended, &failed] {
        fleet.push(task.record()).await;
    }
    let tally = run_with_a_good_one_behind(&fleet, fleet.worker_settings()).await;
    assert_eq!((tally.settled_again, tally.refused), (1, [(Refusal::Expired, 1)].into()));
    kept_as(&fleet, Refusal::Expired, &[failed.record()]).await;
    assert!(fleet.done().contains(&ended.id()));
    fleet.until_gone(&ended.id()).await;
}

async fn time_to_live_of_an_issuer_without_a_clock_ends_redelivery(fleet: Fleet) {
    let mut counter = 0;
    let mut clockless = |ttl| {
        counter += 1;
        fleet.seal(&fleet.sealing_key(PRODUCER), |mut claims| {
            (claims.issued_at, claims.expires_at) = (None, None);
            claims.clock(ClockSource::None).sequence(1, counter).ttl(ttl)
        })
    };
    // Both were first seen long ago and failed; the third is new here.
    let (over, in_time, new) = (clockless(60), clockless(u32::MAX), clockless(60));
    for task in [&over, &in_time] {
        started_before(&*fleet.ledger(), task, 1, false);
    }
    for task in [&over, &in_time, &new] {
        fleet.push(task.record()).await;
    }
    let mut settings = fleet.worker_settings();
    settings.policy.clockless = true;
    let ran = Ran::default();
    let tally = Worker::new(settings, fleet.parts(ran.handlers())).run_once().await;
    assert_eq!(tally.refused, [(Refusal::Expired, 1)].into());
    // They run side by side, in any order.
    let mut ran = ran.all();
    ran.sort();
    assert_eq!(ran, [in_time.claims.task_id, new.claims.task_id]);
    kept_as(&fleet, Refusal::Expired, &[over.record()]).await;
}

async fn task_pulled_forward_is_put_back_for_its_time(fleet: Fleet) {
    let from = unix_now() + 1000;
    let key = fleet.sealing_key(PRODUCER);
    let early = fleet.seal(&key, |claims| claims.not_before(from).expires_at(from + 600));
    for count in 1..=2 {
        // Pending at once, as if it had been pulled out of the scheduled ones.
        let broker = fleet.broker();
        if count == 1 {
            fleet.push(early.record()).await;
        } else {
            fleet.queue().pull_forward(&early.id());
            assert_eq!(broker.forward(&mail(), 10).await.unwrap(), 1);
        }
        let tally = run_with_a_good_one_behind(&fleet, fleet.worker_settings()).await;
        assert_eq!(tally.refused, [(Refusal::NotYetValid, 1)].into());
        let info = fleet.find(&early.id()).await.unwrap();
        // The broker adds the delay to its own clock, a moment after the worker has looked at the time.
        let early_by = UnixMillis::from_secs(i64::try_from(from).unwrap()).since(info.at.unwrap());
        let late_by = info.at.unwrap().since(UnixMillis::from_secs(i64::try_from(from).unwrap()));
        assert_eq!((info.state, early_by), (TaskState::Retry, Duration::ZERO));
        assert!(late_by < Duration::from_secs(60), "{late_by:?}");
        assert_eq!(info.record.unwrap(), early.record());
        let entries = fleet.quarantine().list(&Filter::default(), 0, 10).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].disposition, entries[0].count), (Disposition::Rescheduled, count));
        assert_eq!(broker.stats(&mail()).await.unwrap().failed, 0);
    }
}

async fn words_of_the_queue_that_differ_from_the_seal_are_refused(fleet: Fleet) {
    let change = |change: fn(&mut TaskRecord)| {
        let mut record = fleet.good().record();
        change(&mut record);
        record
    };
    let key = fleet.sealing_key(PRODUCER);
    let named = fleet.seal(&key, |claims| claims.reference(Reference::new("order-7").unwrap()));
    let records = [
        change(|record| record.id = "another".into()),
        change(|record| record.id.make_ascii_uppercase()),
        change(|record| record.task_type = "invoice:pay".into()),
        change(|record| record.task_type = "email:send\n".into()),
        change(|record| record.task_type.clear()),
        // A task with a reference goes by it.
        named.record(),
    ];
    refused_as(&fleet, Refusal::MetadataMismatch, &records).await;
}

async fn refusal_of_changed_metadata_names_the_word_that_differs(fleet: Fleet) {
    let (renamed, retyped) = (fleet.good().record(), fleet.good().record());
    let (id, sealed_type) = (renamed.id.clone(), retyped.task_type.clone());
    let records = [
        TaskRecord { id: "another".into(), ..renamed },
        TaskRecord { task_type: "invoice:pay\n".into(), ..retyped },
    ];
    let entries = refused_as(&fleet, Refusal::MetadataMismatch, &records).await;
    let expected = [
        format!("the queue states id \"another\", the seal \"{id}\""),
        format!("the queue states type \"invoice:pay\\n\", the seal \"{sealed_type}\""),
    ];
    for (entry, expected) in entries.iter().zip(expected) {
        assert!(entry.detail.contains(&expected), "{}", entry.detail);
    }
}

async fn message_of_another_queue_is_refused(fleet: Fleet) {
    let AnyQueue::Redis(_) = fleet.queue() else { return };
    let task = fleet.good();
    fleet.push(task.record()).await;
    let moved = TaskRecord { queue: "bulk".into(), ..task.record() };
    fleet.queue().store().damage(&mail(), &task.id(), &Message::from(&moved).encode()).await;
    let tally = run_with_a_good_one_behind(&fleet, fleet.worker_settings()).await;
    assert_eq!(tally.refused, [(Refusal::MetadataMismatch, 1)].into());
    let entries = kept_as(&fleet, Refusal::MetadataMismatch, &[moved]).await;
    let detail = &entries[0].detail;
    assert!(detail.contains("the queue states queue \"bulk\", the seal \"mail\""), "{detail}");
}

async fn swapped_payloads_are_refused(fleet: Fleet) {
    let (one, other) = (fleet.good().record(), fleet.good().record());
    let swapped = [
        TaskRecord { envelope: other.envelope.clone(), ..one.clone() },
        TaskRecord { envelope: one.envelope.clone(), ..other.clone() },
    ];
    refused_as(&fleet, Refusal::MetadataMismatch, &swapped).await;
}

async fn task_under_the_key_of_another_is_refused(fleet: Fleet) {
    let task = fleet.good();
    fleet.push(task.record()).await;
    fleet.queue().rename(&task.id(), "other");
    let tally = run_with_a_good_one_behind(&fleet, fleet.worker_settings()).await;
    assert_eq!(tally.refused, [(Refusal::MetadataMismatch, 1)].into());
    assert_eq!(fleet.find("other").await.unwrap().state, TaskState::Archived);
}

/// Runs one task to its end and returns the copy that an intruder has kept.
async fn run_and_keep_a_copy(fleet: &Fleet) -> TaskRecord {
    let task = fleet.good();
    fleet.push(task.record()).await;
    let ran = Ran::default();
    Worker::new(fleet.worker_settings(), fleet.parts(ran.handlers())).run_once().await;
    assert_eq!(ran.all(), [task.claims.task_id]);
    task.record()
}

async fn replayed_task_is_refused(fleet: Fleet) {
    let copy = run_and_keep_a_copy(&fleet).await;
    refused_as(&fleet, Refusal::Replayed, std::slice::from_ref(&copy)).await;
}

async fn second_envelope_under_one_id_is_refused(fleet: Fleet) {
    let copy = run_and_keep_a_copy(&fleet).await;
    let id = TaskId::parse(&copy.id).unwrap();
    let again = fleet.seal(&fleet.sealing_key(PRODUCER), |mut claims| {
        claims.task_id = id;
        claims
    });
    refused_as(&fleet, Refusal::Conflict, &[again.record()]).await;
}

fn query(task: &Sealed, fleet_digest: [u8; 32]) -> ReplayQuery {
    ReplayQuery {
        issuer: "shop".into(),
        task_id: *task.claims.task_id.as_bytes(),
        digest: fleet_digest,
        expires_at: UnixMillis::now().plus(Duration::from_secs(7200)),
        max_attempts: 5,
        issued_at: None,
        ttl: None,
    }
}

/// Lets workers that never settle start the task this number of times.
fn started_before(ledger: &dyn Ledger, task: &Sealed, times: u32, crashed: bool) {
    let query = query(task, Sha256::digest(&task.envelope).into());
    for number in 0..times {
        let owner = format!("lost-{number}");
        let start = UnixMillis(i64::from(number) * 10 + 1);
        ledger.acquire(&owner, start, UnixMillis(start.0 + 5), std::slice::from_ref(&query)).unwrap();
        assert_eq!(ledger.begin(&owner, &[query.key()]).unwrap(), [true]);
        if !crashed {
            ledger.release(&owner, &[query.key()]).unwrap();
        }
    }
}

async fn attempts_beyond_the_sealed_number_are_refused(fleet: Fleet) {
    let task = fleet.good();
    started_before(&*fleet.ledger(), &task, 5, false);
    // The number of attempts that the queue shows does not count. This is the largest one that both brokers store.
    let record = TaskRecord { max_retries: Some(32_767), ..task.record() };
    refused_as(&fleet, Refusal::AttemptsExhausted, &[record]).await;
}

async fn task_that_took_workers_down_is_refused(fleet: Fleet) {
    let task = fleet.good();
    started_before(&*fleet.ledger(), &task, 3, true);
    refused_as(&fleet, Refusal::Poisonous, &[task.record()]).await;
}
