//! The checks of a policy at their boundaries, with exact clocks and with wide windows.

use super::*;
use crate::keyset::RecordKey;
use crate::testing::{NOW, claims, mac_key, record};

const SKEW: u64 = 60;
const EXP: u64 = NOW + 3600;

fn policy() -> Policy<'static> {
    Policy::for_tasks(claims().audience)
}

fn check(policy: &Policy<'_>, claims: &Claims<'_>, now: TimeWindow) -> Result<(), Refusal> {
    let key = mac_key(1);
    policy.check(&record(RecordKey::Hmac256(&key)), claims, now)
}

fn at(claims: &Claims<'_>, now: u64) -> Result<(), Refusal> {
    check(&policy(), claims, TimeWindow::exact(now))
}

fn between(claims: &Claims<'_>, earliest: u64, latest: u64) -> Result<(), Refusal> {
    check(&policy(), claims, TimeWindow { earliest, latest })
}

#[test]
fn expiry_is_exclusive_and_tolerates_the_skew() {
    assert_eq!(at(&claims(), EXP + SKEW), Err(Refusal::Expired));
    assert_eq!(at(&claims(), EXP + SKEW - 1), Ok(()));
    assert_eq!(at(&claims(), u64::MAX - 1), Err(Refusal::Expired));
}

#[test]
fn issue_in_the_future_tolerates_the_skew() {
    assert_eq!(at(&claims(), NOW - SKEW - 1), Err(Refusal::IssuedInFuture));
    assert_eq!(at(&claims(), NOW - SKEW), Ok(()));
    assert_eq!(at(&claims(), 0), Err(Refusal::IssuedInFuture));
}

#[test]
fn not_before_tolerates_the_skew() {
    let claims = claims().not_before(NOW + 1000);
    assert_eq!(at(&claims, NOW + 1000 - SKEW - 1), Err(Refusal::NotYetValid));
    assert_eq!(at(&claims, NOW + 1000 - SKEW), Ok(()));
}

#[test]
fn the_lifetime_counts_from_the_later_of_issue_and_not_before() {
    let mut policy = policy();
    policy.max_lifetime = 3600;
    let now = TimeWindow::exact(NOW);
    assert_eq!(check(&policy, &claims(), now), Ok(()));
    assert_eq!(check(&policy, &claims().expires_at(EXP + 1), now), Err(Refusal::LifetimeTooLong));
    assert_eq!(check(&policy, &claims().expires_at(EXP + 60).not_before(NOW + 60), now), Ok(()));
    assert_eq!(
        check(&policy, &claims().expires_at(EXP + 1).not_before(NOW - 60), now),
        Err(Refusal::LifetimeTooLong)
    );
    assert_eq!(
        check(&policy, &claims().expires_at(EXP + 1).not_before(0), now),
        Err(Refusal::LifetimeTooLong)
    );
    assert_eq!(check(&policy, &claims().not_before(NOW - 60), now), Ok(()));
}

#[test]
fn the_skew_is_capped() {
    let mut policy = policy();
    policy.skew = u32::MAX;
    assert_eq!(check(&policy, &claims(), TimeWindow::exact(EXP + 299)), Ok(()));
    assert_eq!(check(&policy, &claims(), TimeWindow::exact(EXP + 300)), Err(Refusal::Expired));
    assert_eq!(check(&policy, &claims(), TimeWindow::exact(NOW - 301)), Err(Refusal::IssuedInFuture));
}

#[test]
fn a_wide_clock_refuses_what_any_time_in_it_would_refuse() {
    let later = claims().not_before(NOW + 1000);
    assert_eq!(between(&claims(), NOW - SKEW, EXP + SKEW - 1), Ok(()));
    assert_eq!(between(&claims(), NOW, EXP + SKEW), Err(Refusal::Expired));
    assert_eq!(between(&claims(), NOW - SKEW - 1, NOW), Err(Refusal::IssuedInFuture));
    assert_eq!(between(&later, NOW + 1000 - SKEW - 1, NOW + 2000), Err(Refusal::NotYetValid));
    assert_eq!(between(&claims(), 0, u64::MAX - 1), Err(Refusal::IssuedInFuture));
}

#[test]
fn exchanged_ends_of_a_window_are_put_in_order() {
    let window = TimeWindow { earliest: 9, latest: 3 }.ordered();
    assert_eq!(window, TimeWindow { earliest: 3, latest: 9 });
    assert_eq!(TimeWindow::exact(5).ordered(), TimeWindow::exact(5));
}

#[test]
fn clocks_other_than_synchronised_are_refused_unless_accepted() {
    let beacon = claims().clock(ClockSource::Beacon).beacon([1; 8]);
    let mut none = claims().clock(ClockSource::None).sequence(1, 1);
    (none.expires_at, none.issued_at) = (None, None);
    assert_eq!(at(&beacon, NOW), Err(Refusal::ClockNotAllowed));
    assert_eq!(at(&none, NOW), Err(Refusal::ClockNotAllowed));

    let now = TimeWindow::exact(NOW);
    let mut policy = policy();
    policy.accept_beacon = true;
    assert_eq!(check(&policy, &beacon, now), Ok(()));
    assert_eq!(check(&policy, &none, now), Err(Refusal::ClockNotAllowed));
    (policy.accept_beacon, policy.accept_clockless) = (false, true);
    assert_eq!(check(&policy, &beacon, now), Err(Refusal::ClockNotAllowed));
    assert_eq!(check(&policy, &none, now), Ok(()));
}

#[test]
fn rights_and_destination_are_checked_in_order() {
    let (key, now) = (mac_key(1), TimeWindow::exact(EXP + SKEW));
    let all_wrong = Policy { types: NameSet::NONE, ..Policy::for_result(claims().audience, [0; 32]) };
    let other = Audience::new("elsewhere/ingest").unwrap();
    let mut record = KeyRecord::new(RecordKey::Hmac256(&key));
    record.enabled = false;
    let mut policy = Policy { audience: other, ..all_wrong };

    assert_eq!(policy.check(&record, &claims(), now), Err(Refusal::KeyNotValid));
    record.enabled = true;
    assert_eq!(policy.check(&record, &claims(), now), Err(Refusal::IssuerNotAllowed));
    record = record.issuers(NameSet::new("sensor-17"));
    assert_eq!(policy.check(&record, &claims(), now), Err(Refusal::TypeNotAllowed));
    record = record.types(NameSet::new("reading:*"));
    assert_eq!(policy.check(&record, &claims(), now), Err(Refusal::AudienceNotAllowed));
    record = record.audiences(NameSet::new("plant/*"));
    assert_eq!(policy.check(&record, &claims(), now), Err(Refusal::WrongAudience));
    policy.audience = claims().audience;
    assert_eq!(policy.check(&record, &claims(), now), Err(Refusal::TypeNotHandled));
    policy.types = NameSet::new("reading:store");
    assert_eq!(policy.check(&record, &claims(), now), Err(Refusal::WrongRequest));
    policy.request = None;
    assert_eq!(policy.check(&record, &claims(), now), Err(Refusal::Expired));
    assert_eq!(policy.check(&record, &claims(), TimeWindow::exact(NOW)), Ok(()));
}

#[test]
fn a_guard_may_forget_only_what_every_policy_refuses_as_expired() {
    let mut policy = policy();
    policy.skew = u32::MAX;
    let forget_after = policy.forget_after(&claims()).unwrap();
    assert_eq!(check(&policy, &claims(), TimeWindow::exact(forget_after)), Err(Refusal::Expired));
    assert_eq!(forget_after, EXP + 600);
    let mut endless = claims();
    endless.expires_at = None;
    assert_eq!(policy.forget_after(&endless), None);
}

#[test]
fn the_greatest_times_do_not_overflow() {
    let last = crate::claims::MAX_TIME - 1;
    let claims = claims().issued_at(last).expires_at(last).not_before(last);
    assert_eq!(at(&claims, last), Ok(()));
    assert_eq!(at(&claims, u64::MAX - 1), Err(Refusal::Expired));
    assert_eq!(at(&claims, 0), Err(Refusal::IssuedInFuture));
}

#[test]
fn results_may_be_read_for_a_year() {
    let request = [7; 32];
    let policy = Policy::for_result(claims().audience, request);
    let lasting = |days: u64| claims().request(request).expires_at(NOW + days * 86_400);
    assert_eq!(check(&policy, &lasting(366), TimeWindow::exact(NOW)), Ok(()));
    assert_eq!(check(&policy, &lasting(367), TimeWindow::exact(NOW)), Err(Refusal::LifetimeTooLong));
    assert_eq!(
        check(&policy, &lasting(366).expires_at(NOW + 366 * 86_400 + 1), TimeWindow::exact(NOW)),
        Err(Refusal::LifetimeTooLong)
    );
}
