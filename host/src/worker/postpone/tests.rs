use taskseal_core::{Audience, Issuer, TaskId, TaskType};

use super::*;

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(600) };
const DAY: u64 = 86_400;
const NOW: u64 = 1_800_000_000;

fn policy() -> Policy<'static> {
    Policy::for_tasks(Audience::new("test/mail").unwrap())
}

/// Claims of a task that was sealed at [`NOW`] for a day.
fn claims() -> Claims<'static> {
    let audience = Audience::new("test/mail").unwrap();
    let (issuer, task_type) = (Issuer::new("shop").unwrap(), TaskType::new("email:send").unwrap());
    Claims::new(issuer, task_type, audience, TaskId::from_bytes([7; 16])).issued_at(NOW).expires_at(NOW + DAY)
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis::from_secs(i64::try_from(seconds).unwrap())
}

fn delay(claims: &Claims<'_>, reason: Reason, now: u64) -> Option<Duration> {
    retry_at(BACKOFF, &policy(), claims, reason, at(now)).map(|retry_at| retry_at.since(at(now)))
}

/// Returns how often a task is delivered until it is refused.
fn deliveries(claims: &Claims<'_>, reason: Reason) -> u32 {
    let (mut now, mut count) = (at(NOW), 1);
    while let Some(next) = retry_at(BACKOFF, &policy(), claims, reason, now) {
        assert!(next > now);
        (now, count) = (next, count + 1);
    }
    assert!(now < at(NOW + DAY + 3700), "kept after its expiry: {now:?}");
    count
}

#[test]
fn unverified_expiry_that_no_acceptable_task_could_have_is_not_believed() {
    let longest = NOW + DAY + 60;
    for (claims, kept) in [
        (claims(), true),
        (claims().expires_at(longest + 1), false),
        (claims().issued_at(NOW + 30 * DAY).expires_at(NOW + 31 * DAY), false),
        (claims().not_before(NOW + 30 * DAY).expires_at(NOW + 31 * DAY), false),
        (claims().issued_at(NOW - 2 * DAY), false),
        (claims().expires_at(NOW - 60), false),
    ] {
        assert_eq!(delay(&claims, Reason::UNVERIFIED, NOW).is_some(), kept, "{claims:?}");
    }
}

#[test]
fn unverified_task_for_another_queue_is_not_kept() {
    let mut other = claims();
    other.audience = Audience::new("test/bulk").unwrap();
    assert_eq!(delay(&other, Reason::UNVERIFIED, NOW), None);
}

#[test]
fn task_without_times_is_kept_only_if_its_issuer_is_verified_and_needs_no_clock() {
    let mut claims = claims();
    (claims.issued_at, claims.expires_at) = (None, None);
    let kept = |policy: &Policy<'_>, reason| retry_at(BACKOFF, policy, &claims, reason, at(NOW)).is_some();
    let mut clockless = policy();
    clockless.accept_clockless = true;
    assert!(!kept(&policy(), Reason::DEPLOYMENT));
    assert!(!kept(&clockless, Reason::UNVERIFIED));
    assert!(kept(&clockless, Reason::DEPLOYMENT));
}

#[test]
fn verified_task_that_lives_too_long_is_not_kept() {
    let claims = claims().expires_at(NOW + DAY + 1);
    assert_eq!(delay(&claims, Reason::DEPLOYMENT, NOW), None);
}

#[test]
fn message_of_an_unknown_key_is_delivered_fewer_times_each_hour_it_is_kept() {
    let count = deliveries(&claims(), Reason::UNVERIFIED);
    assert!((20..=60).contains(&count), "{count} deliveries in a day");
    assert!(delay(&claims(), Reason::UNVERIFIED, NOW + DAY / 2) >= Some(Duration::from_secs(1800)));
}

#[test]
fn delay_of_a_verified_task_grows_with_its_age() {
    for (age, step) in [(0, 5), (400, 200), (DAY / 2, 600)] {
        let delay = delay(&claims(), Reason::DEPLOYMENT, NOW + age).unwrap();
        let step = Duration::from_secs(step);
        assert!(step / 2 <= delay && delay <= step, "{age} s old: {delay:?}");
    }
}

#[test]
fn task_from_the_future_is_tried_again_when_its_time_comes_and_at_most_a_longest_delay_later() {
    let due = |seconds| delay(&claims(), Reason::until(seconds), NOW);
    assert_eq!(due(NOW + 100), Some(Duration::from_secs(100)));
    assert_eq!(due(NOW + 100_000), Some(Duration::from_secs(600)));
    assert_eq!(due(NOW), Some(Duration::from_secs(5)));
}
