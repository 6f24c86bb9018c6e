use super::*;

const LONG: Timeouts = Timeouts::new(Duration::from_secs(3600), Duration::from_secs(3600));

#[test]
fn permanent_fault_is_not_repeated() {
    let mut attempts = 0;

    let result: Result<(), _> = retrying(&LONG, |_| {
        attempts += 1;
        Err(Fault::credentials("expired"))
    });

    assert!(result.is_err());
    assert_eq!(attempts, 1);
}

#[test]
fn delay_that_ends_after_the_deadline_is_not_waited_for() {
    let mut attempts = 0;

    let result: Result<(), _> = retrying(&LONG, |_| {
        attempts += 1;
        Err(Fault::throttled("slow down", Some(Duration::from_secs(7200))))
    });

    assert_eq!(result.unwrap_err().retry_after(), Some(Duration::from_secs(7200)));
    assert_eq!(attempts, 1);
}

#[test]
fn transient_fault_is_repeated_until_the_call_succeeds() {
    let mut attempts = 0;

    let result = retrying(&LONG, |_| {
        attempts += 1;
        if attempts < 3 { Err(Fault::unreachable("connection refused")) } else { Ok(attempts) }
    });

    assert_eq!(result.unwrap(), 3);
}

#[test]
fn jitter_takes_at_most_half_of_a_delay() {
    for _ in 0..100 {
        let delay = jittered(MAX_DELAY);
        assert!((MAX_DELAY / 2..=MAX_DELAY).contains(&delay), "{delay:?}");
    }
}
