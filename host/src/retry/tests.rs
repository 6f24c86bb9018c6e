use std::cell::Cell;

use super::*;

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };

/// Fails with its number until `successful`, the number of the attempt that succeeds.
async fn failing_until(successful: u32, deadline: impl Deadline, retry: Retry) -> Result<u32, u32> {
    let attempts = Cell::new(0);
    let attempt = || {
        attempts.set(attempts.get() + 1);
        let number = attempts.get();
        async move { if number == successful { Ok(number) } else { Err(number) } }
    };
    retry_until(deadline, attempt, |_| retry).await
}

/// Allows a number of failures.
struct MaxFailures(u32);

impl Deadline for MaxFailures {
    fn allows(&self, failures: u32, _delay: Duration) -> bool {
        failures < self.0
    }
}

#[test]
fn delay_doubles_with_each_failure_up_to_the_longest() {
    for (failures, step) in [(0, 100), (1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (u32::MAX, 1000)] {
        let delay = BACKOFF.delay(failures);
        let step = Duration::from_millis(step);
        assert!(step / 2 <= delay && delay <= step, "{failures} failures: {delay:?}");
    }
}

#[test]
fn default_attempts_outlast_an_outage_of_hours() {
    let shortest = |failures: u32| Backoff::default().delay(failures).min(Duration::from_secs(1800));
    let total: Duration = (1..25).map(shortest).sum();
    assert!(total > Duration::from_secs(6 * 3600), "{total:?}");
}

#[test]
fn delays_start_again_after_a_reset() {
    let mut delays = BACKOFF.delays();
    let sixth = (0..6).map(|_| delays.after_failure()).last().unwrap();
    assert!(sixth >= Duration::from_millis(500));
    delays.reset();
    assert!(delays.after_failure() <= Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn attempts_are_repeated_until_one_succeeds() {
    let deadline = Instant::now() + Duration::from_secs(60);
    assert_eq!(failing_until(4, deadline, Retry::BackOff).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn error_that_is_not_worth_a_retry_is_returned_at_once() {
    let deadline = Instant::now() + Duration::from_secs(60);
    assert_eq!(failing_until(2, deadline, Retry::Never).await, Err(1));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_made_after_the_deadline() {
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(1);
    let after = Retry::After(Duration::from_millis(400));
    assert_eq!(failing_until(u32::MAX, deadline, after).await, Err(3));
    assert_eq!(begun.elapsed(), Duration::from_millis(800));
}

#[tokio::test(start_paused = true)]
async fn deadline_may_count_failures() {
    assert_eq!(failing_until(u32::MAX, MaxFailures(5), Retry::BackOff).await, Err(5));
}

#[tokio::test(start_paused = true)]
async fn immediate_retry_waits_for_the_minimum_delay() {
    let begun = Instant::now();
    assert_eq!(failing_until(3, MaxFailures(9), Retry::After(Duration::ZERO)).await, Ok(3));
    assert_eq!(begun.elapsed(), MIN_DELAY * 2);
}
