//! Sequences of issuers without a clock: replays, reordering, epochs, several sources, and eviction from the window.

use super::*;

fn request(epoch: u32, counter: u64) -> AdmissionRequest<'static> {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&epoch.to_be_bytes());
    id[8..].copy_from_slice(&counter.to_be_bytes());
    AdmissionRequest {
        issuer: Issuer::new("sensor-17").expect("a name"),
        task_id: TaskId::from_bytes(id),
        kid: KeyId::from_bytes([1; 8]),
        digest: [7; 32],
        sequence: Some(Sequence { epoch, counter }),
        attempts: None,
        ttl: None,
        forget_after: None,
        seen_at: 1000,
    }
}

const FIRST: Result<Admission, NotAdmitted> = Ok(Admission::FirstRun);
const AGAIN: Result<Admission, NotAdmitted> = Ok(Admission::Redelivery);

fn refused(refusal: Refusal) -> Result<Admission, NotAdmitted> {
    Err(NotAdmitted::Refused(refusal))
}

/// A later time, at which the window has forgotten the task.
fn later(request: AdmissionRequest<'_>) -> AdmissionRequest<'_> {
    AdmissionRequest { seen_at: request.seen_at + 1_000_000, ..request }
}

#[test]
fn a_copy_is_refused_even_when_the_task_is_forgotten() {
    let mut guard = SequenceWindow::<2, 2>::new(60);
    assert_eq!(guard.admit(&request(1, 5)), FIRST);
    guard.finish(request(1, 5).issuer, request(1, 5).task_id);
    // Two later tasks evict it from a window of two.
    assert_eq!(guard.admit(&later(request(1, 6))), FIRST);
    assert_eq!(guard.admit(&later(request(1, 7))), FIRST);
    assert!(!guard.window.with(|slots| slots.knows(&request(1, 5))));
    assert_eq!(guard.admit(&later(request(1, 5))), refused(Refusal::Replayed));
}

#[test]
fn a_second_task_with_a_used_sequence_is_refused() {
    let mut guard = SequenceWindow::<2, 8>::new(60);
    assert_eq!(guard.admit(&request(1, 5)), FIRST);
    let other = AdmissionRequest { task_id: TaskId::from_bytes([9; 16]), ..request(1, 5) };
    assert_eq!(guard.admit(&other), refused(Refusal::Replayed));
}

#[test]
fn what_is_64_behind_or_of_an_earlier_epoch_is_out_of_sequence() {
    let mut guard = SequenceWindow::<2, 8>::new(60);
    assert_eq!(guard.admit(&request(2, 100)), FIRST);
    assert_eq!(guard.admit(&request(2, 37)), FIRST);
    assert_eq!(guard.admit(&request(2, 36)), refused(Refusal::OutOfSequence));
    assert_eq!(guard.admit(&request(1, 5_000)), refused(Refusal::OutOfSequence));
}

#[test]
fn a_leap_of_64_or_more_clears_the_counters_before_it() {
    for leap in [63, 64, 65, 1 << 40] {
        let mut guard = SequenceWindow::<2, 8>::new(60);
        assert_eq!(guard.admit(&request(1, 1)), FIRST);
        assert_eq!(guard.admit(&later(request(1, 1 + leap))), FIRST);
        let before = if leap < 64 { Refusal::Replayed } else { Refusal::OutOfSequence };
        let first = later(later(AdmissionRequest { task_id: TaskId::from_bytes([9; 16]), ..request(1, 1) }));
        assert_eq!(guard.admit(&first), refused(before), "{leap}");
        assert_eq!(guard.admit(&later(request(1, leap))), FIRST, "{leap}");
    }
}

#[test]
fn a_refused_task_changes_nothing() {
    let mut guard = SequenceWindow::<2, 8>::new(60);
    assert_eq!(guard.admit(&request(2, 100)), FIRST);
    let exhausted = AdmissionRequest { attempts: Some(0), ..request(2, 200) };
    assert_eq!(guard.admit(&exhausted), refused(Refusal::AttemptsExhausted));
    assert_eq!(guard.admit(&request(2, 99)), FIRST, "the newest is still 100");
}

#[test]
fn a_full_list_of_sources_admits_no_new_one() {
    let mut guard = SequenceWindow::<1, 8>::new(60);
    assert_eq!(guard.admit(&request(1, 1)), FIRST);
    let other = AdmissionRequest { kid: KeyId::from_bytes([2; 8]), ..request(1, 2) };
    assert_eq!(guard.admit(&other), Err(NotAdmitted::Unavailable));
    assert!(!guard.window.with(|slots| slots.knows(&other)));
    assert_eq!(guard.admit(&request(1, 2)), FIRST);
}

#[test]
fn keys_and_issuers_do_not_share_a_sequence() {
    let mut guard = SequenceWindow::<3, 8>::new(60);
    assert_eq!(guard.admit(&request(9, 900)), FIRST);
    let other = AdmissionRequest { kid: KeyId::from_bytes([2; 8]), ..request(1, 1) };
    assert_eq!(guard.admit(&other), FIRST);
    let other = AdmissionRequest { issuer: Issuer::new("sensor-18").unwrap(), ..request(1, 2) };
    assert_eq!(guard.admit(&other), FIRST);
}

#[test]
fn redelivery_is_legal_while_the_task_is_remembered() {
    let mut guard = SequenceWindow::<2, 8>::new(60);
    assert_eq!(guard.admit(&request(1, 5)), FIRST);
    assert_eq!(guard.admit(&request(1, 70)), FIRST);
    assert_eq!(guard.admit(&request(1, 5)), AGAIN, "older than the window of counters, but remembered");
    guard.finish(request(1, 5).issuer, request(1, 5).task_id);
    assert_eq!(guard.admit(&request(1, 5)), refused(Refusal::Replayed));
}

#[test]
fn a_new_epoch_starts_a_new_count() {
    let mut guard = SequenceWindow::<2, 8>::new(60);
    assert_eq!(guard.admit(&request(1, 1_000)), FIRST);
    assert_eq!(guard.admit(&request(2, 0)), FIRST);
    assert_eq!(guard.admit(&request(2, 1)), FIRST);
    assert_eq!(guard.admit(&later(request(1, 1_001))), refused(Refusal::OutOfSequence));
}

#[test]
fn tasks_with_times_are_left_to_the_window() {
    let mut guard = SequenceWindow::<1, 8>::new(60);
    let timed = AdmissionRequest { forget_after: Some(2_000), ..request(1, 5) };
    assert_eq!(guard.admit(&timed), FIRST);
    let other = AdmissionRequest { task_id: TaskId::from_bytes([9; 16]), ..timed };
    assert_eq!(guard.admit(&other), FIRST, "a sequence beside times orders nothing");
    assert_eq!(guard.known, 0);
}

#[test]
fn every_order_within_the_window_is_admitted_once() {
    // A fixed permutation of 64 counters, by a step that is coprime to 64.
    let mut guard = SequenceWindow::<1, 64>::new(60);
    for n in 0..64_u64 {
        assert_eq!(guard.admit(&request(1, n * 37 % 64)), FIRST);
    }
    let mut guard = SequenceWindow { window: ReplayWindow::<64>::new(), ..guard };
    for n in 0..64 {
        assert_eq!(guard.admit(&request(1, n)), refused(Refusal::Replayed));
    }
}

#[test]
fn counters_at_their_end_do_not_overflow() {
    let mut guard = SequenceWindow::<1, 8>::new(60);
    assert_eq!(guard.admit(&request(0, 0)), FIRST);
    assert_eq!(guard.admit(&request(u32::MAX, u64::MAX)), FIRST);
    assert_eq!(guard.admit(&request(u32::MAX, u64::MAX - 63)), FIRST);
    assert_eq!(guard.admit(&request(u32::MAX, u64::MAX - 64)), refused(Refusal::OutOfSequence));
}

#[test]
fn without_a_clock_finished_tasks_free_their_slots_and_their_copies_are_refused() {
    let blind = |counter| AdmissionRequest { seen_at: 0, ..request(1, counter) };
    let mut guard = SequenceWindow::<1, 2>::new(60);
    for task in (0..100).map(blind) {
        assert_eq!(guard.admit(&task), FIRST);
        assert_eq!(guard.admit(&task), AGAIN);
        assert!(guard.finish(task.issuer, task.task_id));
    }
    for counter in 37..100 {
        assert_eq!(guard.admit(&blind(counter)), refused(Refusal::Replayed));
    }
    assert_eq!(guard.admit(&blind(0)), refused(Refusal::OutOfSequence));
}

#[test]
fn without_a_clock_an_unfinished_task_keeps_its_slot() {
    let blind = |counter| AdmissionRequest { seen_at: 0, ..request(1, counter) };
    let mut guard = SequenceWindow::<1, 2>::new(60);
    assert_eq!(guard.admit(&blind(1)), FIRST);
    assert_eq!(guard.admit(&blind(2)), FIRST);
    assert_eq!(guard.admit(&blind(3)), Err(NotAdmitted::Unavailable));
    assert!(guard.finish(blind(2).issuer, blind(2).task_id));
    assert_eq!(guard.admit(&blind(3)), FIRST, "the finished one makes room");
    assert_eq!(guard.admit(&blind(1)), AGAIN, "the other is still known");
    assert_eq!(guard.admit(&blind(4)), Err(NotAdmitted::Unavailable));
}
