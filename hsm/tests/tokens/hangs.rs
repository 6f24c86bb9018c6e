//! Tokens that hang or are slow.

use std::thread;
use std::time::{Duration, Instant};

use taskseal_hsm::{EcKey, Error, KeySelector, Settings, Token, TokenState, Usage};

use crate::support::{Fixture, eventually, on_every_token, sign, wait_for};

fn quick() -> Settings {
    Settings::new().timeout(Duration::from_millis(500))
}

/// Makes one signature hang until the fault `hanging` is removed.
fn hang(fixture: &Fixture, key: &EcKey) {
    fixture.fault("hang", "");
    let refused = sign(key, "hangs");
    assert!(matches!(refused, Err(Error::Timeout)), "{refused:?}");
    assert!(fixture.has("hanging"));
}

fn a_call_that_hangs_is_abandoned_and_other_calls_continue(fixture: &Fixture) {
    let token = fixture.open(quick());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    hang(fixture, &key);
    // The thread is still inside the library; a new session is used.
    assert!(fixture.has("hanging"));
    eventually(|| sign(&key, "after"));
    let health = token.health();
    assert_eq!((health.abandoned, health.state, health.library_recoveries), (1, TokenState::Up, 0));

    fixture.mend("hanging");
    wait_for("the thread returns", || token.health().abandoned == 0);
    sign(&key, "later").unwrap();
}

fn calls_queued_behind_a_hanging_call_are_answered_in_time(fixture: &Fixture) {
    let token = fixture.open(quick().max_sessions(1));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("hang", "");

    let began = Instant::now();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| sign(&key, "waits"))).collect();
        let answers: Vec<_> = waiting.into_iter().map(|one| one.join().unwrap()).collect();
        // A late call may have used a new session and succeeded.
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(refused.iter().any(|error| matches!(error, Error::Timeout)), "{refused:?}");
        assert!(refused.iter().all(Error::is_transient), "{refused:?}");
    });
    // Well above the timeout of a call, and below the 30 s for which the token hangs.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    eventually(|| sign(&key, "after"));
    fixture.mend("hanging");
}

fn no_more_threads_are_abandoned_than_allowed(fixture: &Fixture) {
    let token = fixture.open(quick().max_abandoned(1).max_sessions(1));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    hang(fixture, &key);
    wait_for("recovery is over", || token.health().state == TokenState::Up);
    for _ in 0..3 {
        let refused = sign(&key, "no thread");
        assert!(matches!(refused, Err(Error::Transient { .. })), "{refused:?}");
    }
    assert_eq!(token.health().abandoned, 1);
    fixture.mend("hanging");
    eventually(|| sign(&key, "after"));
    assert_eq!(token.health().abandoned, 0);
}

fn callers_do_not_wait_for_a_recovery_that_hangs(fixture: &Fixture) {
    let token = fixture.open(quick());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    // The self-test after the login hangs.
    fixture.fault("hang", "");
    fixture.fault("logout", "");
    assert!(sign(&key, "waits").is_err_and(|error| error.is_transient()));
    wait_for("callers are refused", || matches!(sign(&key, "waits"), Err(Error::Transient { .. })));
    assert_eq!(token.health().state, TokenState::Down);
    fixture.mend("hanging");
    eventually(|| sign(&key, "after"));
}

fn callers_that_retry_when_asked_do_not_spin_while_recovery_hangs(fixture: &Fixture) {
    let token = fixture.open(quick());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    fixture.fault("hang_login", "");
    fixture.fault("rv.C_SignInit", "0x30");
    assert!(sign(&key, "lost").is_err_and(|error| error.is_transient()));
    wait_for("the login hangs", || fixture.has("hanging_login"));
    let (mut calls, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_millis(2500) {
        let Err(Error::Transient { retry_after }) = sign(&key, "again") else { panic!("the token is up") };
        assert!(retry_after <= Duration::from_secs(1), "the pause is too long: {retry_after:?}");
        thread::sleep(retry_after);
        calls += 1;
    }
    assert!(calls < 20, "{calls} calls");
    fixture.mend("hanging_login");
    eventually(|| sign(&key, "after"));
}

/// `C_Finalize` concurrent with another call is undefined behaviour.
fn a_library_is_not_restarted_while_a_call_hangs(fixture: &Fixture) {
    let token = fixture.open(quick());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    hang(fixture, &key);
    eventually(|| sign(&key, "after"));

    fixture.fault("rv.C_SignInit", "0x30");
    wait_for("the device is lost", || sign(&key, "lost").is_err());
    wait_for("the token is down", || token.health().state == TokenState::Down);
    wait_for("a restart was tried", || token.health().library_recoveries >= 1);
    assert_eq!(fixture.calls("C_Initialize").len(), 1, "the library was restarted");
    fixture.mend("hanging");
    eventually(|| sign(&key, "back"));
    assert_eq!(fixture.calls("C_Initialize").len(), 2);
}

/// Each signature returns at about its timeout.
fn threads_that_return_at_the_timeout_are_counted_correctly(fixture: &Fixture) {
    let made = EcKey::generate(&fixture.open(Settings::new()), Usage::Sign, "orders").unwrap();
    let settings = Settings::new().timeout(Duration::from_millis(60)).max_sessions(2);
    let token = Token::open(&fixture.uri(), settings).unwrap();
    let key = eventually(|| EcKey::load(&token, &KeySelector::kid(made.kid()), Usage::Sign));
    fixture.fault("delay", "58");
    for round in 0..40 {
        let _ = sign(&key, &format!("{round}"));
    }
    fixture.mend("delay");

    wait_for("no thread is abandoned", || token.health().abandoned == 0);
    eventually(|| sign(&key, "after"));
    let health = token.health();
    assert!(health.pool_size <= 2 && health.pool_in_use <= health.pool_size, "{health:?}");
}

/// About 13 signatures per second, as with small devices.
fn a_slow_token_stays_up(fixture: &Fixture) {
    let token = fixture.open(Settings::new().max_sessions(1));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("delay", "75");

    thread::scope(|scope| {
        let signing: Vec<_> = (0..8).map(|_| scope.spawn(|| sign(&key, "slow"))).collect();
        for one in signing {
            one.join().unwrap().unwrap();
        }
    });
    let health = token.health();
    assert_eq!((health.signing.count, health.abandoned, health.state), (8, 0, TokenState::Up));
    assert!(health.signing.sum >= Duration::from_millis(600), "{:?}", health.signing);
    assert_eq!(health.signing.buckets[7], 0, "a signature took less than 25 ms: {:?}", health.signing);
}

on_every_token! {
    a_call_that_hangs_is_abandoned_and_other_calls_continue,
    calls_queued_behind_a_hanging_call_are_answered_in_time,
    no_more_threads_are_abandoned_than_allowed,
    callers_do_not_wait_for_a_recovery_that_hangs,
    callers_that_retry_when_asked_do_not_spin_while_recovery_hangs,
    a_library_is_not_restarted_while_a_call_hangs,
    threads_that_return_at_the_timeout_are_counted_correctly,
    a_slow_token_stays_up,
}
