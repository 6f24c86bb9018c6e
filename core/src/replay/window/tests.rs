//! First runs, redeliveries, replays, conflicts, attempts, full windows, and clocks that step back.

use super::*;
use crate::kid::KeyId;
use crate::refusal::Refusal;

fn request(id: u8, forget_after: u64, seen_at: u64) -> AdmissionRequest<'static> {
    AdmissionRequest {
        issuer: Issuer::new("sensor-17").expect("a name"),
        task_id: TaskId::from_bytes([id; 16]),
        kid: KeyId::from_bytes([1; 8]),
        digest: [id; 32],
        sequence: None,
        attempts: None,
        ttl: None,
        forget_after: Some(forget_after),
        seen_at,
    }
}

const FIRST: Result<Admission, NotAdmitted> = Ok(Admission::FirstRun);
const AGAIN: Result<Admission, NotAdmitted> = Ok(Admission::Redelivery);

fn refused(refusal: Refusal) -> Result<Admission, NotAdmitted> {
    Err(NotAdmitted::Refused(refusal))
}

#[test]
fn a_finished_task_is_a_replay() {
    let mut window = ReplayWindow::<4>::new();
    let seen = request(1, 100, 0);

    assert_eq!(window.admit(&seen), FIRST);
    assert_eq!(window.admit(&seen), AGAIN);
    assert!(window.finish(seen.issuer, seen.task_id));
    assert_eq!(window.admit(&seen), refused(Refusal::Replayed));
    assert_eq!(window.admit(&seen), refused(Refusal::Replayed));
}

#[test]
fn another_envelope_with_the_same_id_is_a_conflict_before_and_after_the_run() {
    let mut window = ReplayWindow::<4>::new();
    let seen = request(1, 100, 0);
    let other = AdmissionRequest { digest: [9; 32], ..seen };

    assert_eq!(window.admit(&seen), FIRST);
    assert_eq!(window.admit(&other), refused(Refusal::Conflict));
    window.finish(seen.issuer, seen.task_id);
    assert_eq!(window.admit(&other), refused(Refusal::Conflict));
    assert_eq!(window.admit(&seen), refused(Refusal::Replayed));
}

#[test]
fn issuers_do_not_share_ids() {
    let mut window = ReplayWindow::<4>::new();
    let seen = request(1, 100, 0);
    let other = AdmissionRequest { issuer: Issuer::new("sensor-1").unwrap(), digest: [9; 32], ..seen };

    assert_eq!(window.admit(&seen), FIRST);
    assert_eq!(window.admit(&other), FIRST);
    assert!(!window.finish(Issuer::new("sensor").unwrap(), seen.task_id));
}

#[test]
fn attempts_are_counted_from_the_first_run() {
    let mut window = ReplayWindow::<4>::new();
    let with = |id, attempts| AdmissionRequest { attempts: Some(attempts), ..request(id, 100, 0) };

    assert_eq!(window.admit(&with(0, 0)), refused(Refusal::AttemptsExhausted));
    assert_eq!(window.admit(&with(1, 1)), FIRST);
    assert_eq!(window.admit(&with(1, 1)), refused(Refusal::AttemptsExhausted));
    assert_eq!(
        [0; 4].map(|_| window.admit(&with(3, 3))),
        [FIRST, AGAIN, AGAIN, refused(Refusal::AttemptsExhausted)]
    );
}

#[test]
#[cfg_attr(miri, ignore = "hashes 65,536 times, which takes minutes under Miri")]
fn attempts_do_not_wrap() {
    let mut window = ReplayWindow::<1>::new();
    let seen = AdmissionRequest { attempts: None, ..request(1, 100, 0) };
    for _ in 0..=u32::from(u16::MAX) + 1 {
        assert!(window.admit(&seen).is_ok());
    }
    assert_eq!(
        window.admit(&AdmissionRequest { attempts: Some(u16::MAX), ..seen }),
        refused(Refusal::AttemptsExhausted)
    );
}

#[test]
fn a_full_window_admits_no_new_task_until_one_has_expired() {
    let mut window = ReplayWindow::<2>::new();
    assert_eq!(window.admit(&request(1, 100, 10)), FIRST);
    assert_eq!(window.admit(&request(2, 200, 10)), FIRST);

    assert_eq!(window.admit(&request(3, 300, 100)), Err(NotAdmitted::Unavailable));
    assert_eq!(window.admit(&request(1, 100, 100)), AGAIN);
    assert_eq!(window.admit(&request(3, 300, 101)), FIRST);
    assert_eq!(window.admit(&request(2, 200, 101)), AGAIN);
}

#[test]
fn a_clock_that_steps_back_does_not_readmit_forgotten_tasks() {
    let mut window = ReplayWindow::<2>::new();
    let finished = request(1, 100, 10);
    assert_eq!(window.admit(&finished), FIRST);
    window.finish(finished.issuer, finished.task_id);
    assert_eq!(window.admit(&request(2, 500, 10)), FIRST);
    assert_eq!(window.admit(&request(3, 120, 110)), FIRST, "takes the place of the first");

    assert_eq!(window.admit(&request(9, 600, 400)), FIRST, "takes the place of the third");
    for step in [finished, request(3, 120, 10), request(4, 399, 10)] {
        assert_eq!(window.admit(&AdmissionRequest { seen_at: 10, ..step }), refused(Refusal::Expired));
    }
    assert_eq!(window.admit(&request(2, 500, 10)), AGAIN);
}

#[test]
fn a_task_that_never_expires_is_never_forgotten() {
    let mut window = ReplayWindow::<1>::new();
    let endless = AdmissionRequest { forget_after: None, ..request(1, 0, 0) };
    assert_eq!(window.admit(&endless), FIRST);
    assert_eq!(window.admit(&request(2, u64::MAX, u64::MAX)), Err(NotAdmitted::Unavailable));
    assert_eq!(window.admit(&endless), AGAIN);
}

#[test]
fn an_entry_takes_88_bytes() {
    assert_eq!(size_of::<ReplaySlot>(), 88);
}

#[test]
fn a_time_to_live_counts_from_the_first_admission() {
    let mut window = ReplayWindow::<4>::new();
    let seen = AdmissionRequest { ttl: Some(60), ..request(1, 10_000, 100) };

    assert_eq!(window.admit(&seen), FIRST);
    assert_eq!(window.admit(&AdmissionRequest { seen_at: 159, ..seen }), AGAIN);
    assert_eq!(window.admit(&AdmissionRequest { seen_at: 160, ..seen }), refused(Refusal::Expired));
    assert_eq!(
        window.admit(&AdmissionRequest { seen_at: 159, ..seen }),
        refused(Refusal::Expired),
        "the clock steps back"
    );
    window.finish(seen.issuer, seen.task_id);
    assert_eq!(window.admit(&AdmissionRequest { seen_at: 160, ..seen }), refused(Refusal::Replayed));
}
