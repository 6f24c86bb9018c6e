//! Tokens that hang, are slow, or calculate wrongly, and processes that fork.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use support::{Fixture, eventually, on_every_token, sign, wait_for};
use taskseal_hsm::{EcKey, Error, KeySelector, SelfCheck, Settings, State, Token, Usage};

fn quick() -> Settings {
    Settings::new().timeout(Duration::from_millis(500))
}

/// Holds up one signature until [`release`].
fn hang(fixture: &Fixture, key: &EcKey) {
    fixture.fault("hang", "");
    let refused = sign(key, "hangs");
    assert!(matches!(refused, Err(Error::Timeout)), "{refused:?}");
    assert!(fixture.has("hanging"));
}

fn a_call_that_hangs_is_left_behind_and_the_others_go_on(fixture: &Fixture) {
    let token = fixture.open(quick());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    hang(fixture, &key);
    // The thread is still inside; a new session does.
    assert!(fixture.has("hanging"));
    eventually(|| sign(&key, "after"));
    let health = token.health();
    assert_eq!((health.abandoned, health.state, health.library_recoveries), (1, State::Up, 0));

    fixture.mend("hanging");
    wait_for("the thread comes back", || token.health().abandoned == 0);
    sign(&key, "later").unwrap();
}

fn everybody_who_waits_behind_a_hanging_call_is_answered_in_time(fixture: &Fixture) {
    let token = fixture.open(quick().max_sessions(1));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("hang", "");

    let began = Instant::now();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| sign(&key, "waits"))).collect();
        let answers: Vec<_> = waiting.into_iter().map(|one| one.join().unwrap()).collect();
        // Whoever came so late that a new session was there already may even have got a signature.
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(refused.iter().any(|error| matches!(error, Error::Timeout)), "{refused:?}");
        assert!(refused.iter().all(Error::is_transient), "{refused:?}");
    });
    // Twice the time a call may take, and not the 30 s that the token would take.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    eventually(|| sign(&key, "after"));
    fixture.mend("hanging");
}

fn no_more_threads_are_left_behind_than_allowed(fixture: &Fixture) {
    let token = fixture.open(quick().max_abandoned(1).max_sessions(1));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    hang(fixture, &key);
    wait_for("recovery is over", || token.health().state == State::Up);
    for _ in 0..3 {
        let refused = sign(&key, "no thread is left");
        assert!(matches!(refused, Err(Error::Transient { .. })), "{refused:?}");
    }
    assert_eq!(token.health().abandoned, 1);
    fixture.mend("hanging");
    eventually(|| sign(&key, "after"));
    assert_eq!(token.health().abandoned, 0);
}

fn nobody_waits_for_a_recovery_that_hangs(fixture: &Fixture) {
    let token = fixture.open(quick());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    // The signature that hangs is that of the test after the login.
    fixture.fault("hang", "");
    fixture.fault("logout", "");
    assert!(sign(&key, "waits").is_err_and(|error| error.is_transient()));
    wait_for("callers are sent away", || matches!(sign(&key, "waits"), Err(Error::Transient { .. })));
    assert_eq!(token.health().state, State::Down);
    fixture.mend("hanging");
    eventually(|| sign(&key, "after"));
}

/// Each does what it is told: it comes back when that is worth it.
fn whoever_comes_back_when_told_does_not_go_in_a_circle_while_recovery_hangs(fixture: &Fixture) {
    let token = fixture.open(quick());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    fixture.fault("hang_login", "");
    fixture.fault("rv.C_SignInit", "0x30");
    assert!(sign(&key, "lost").is_err_and(|error| error.is_transient()));
    wait_for("the login hangs", || fixture.has("hanging_login"));
    let (mut calls, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_millis(2500) {
        let Err(Error::Transient { retry_after }) = sign(&key, "again") else { panic!("it is away") };
        assert!(retry_after <= Duration::from_secs(1), "nobody is to miss that it is back: {retry_after:?}");
        thread::sleep(retry_after);
        calls += 1;
    }
    assert!(calls < 20, "{calls} calls");
    fixture.mend("hanging_login");
    eventually(|| sign(&key, "after"));
}

/// `C_Finalize` beside a call that is not back would be undefined.
fn a_library_is_not_restarted_around_a_hanging_call(fixture: &Fixture) {
    let token = fixture.open(quick());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    hang(fixture, &key);
    eventually(|| sign(&key, "after"));

    fixture.fault("rv.C_SignInit", "0x30");
    wait_for("the device is lost", || sign(&key, "lost").is_err());
    wait_for("the token is down", || token.health().state == State::Down);
    wait_for("it was tried in vain", || token.health().library_recoveries >= 1);
    assert_eq!(fixture.calls("C_Initialize").len(), 1, "nobody restarts it");
    fixture.mend("hanging");
    eventually(|| sign(&key, "back"));
    assert_eq!(fixture.calls("C_Initialize").len(), 2);
}

fn a_wrong_signature_is_never_handed_out(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "before").unwrap();

    fixture.fault("garbage", "");
    let refused = sign(&key, "garbage");
    assert!(matches!(refused, Err(Error::FaultyAnswer)), "{refused:?}");
    wait_for("the test of recovery fails too", || token.health().faulty_answers >= 2);
    for _ in 0..3 {
        assert!(sign(&key, "garbage").is_err_and(|error| error.is_transient()));
    }
    assert_eq!(token.health().state, State::Down);
    let other = EcKey::load(&token, &KeySelector::kid(key.kid()), Usage::Sign);
    assert!(other.is_err_and(|error| error.is_transient()));
    fixture.mend("garbage");
    eventually(|| sign(&key, "after"));
}

fn with_the_first_only_a_wrong_signature_is_found_by_the_test_after_a_login(fixture: &Fixture) {
    let token = fixture.open(Settings::new().self_check(SelfCheck::First));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("garbage", "");
    key.sign_digest(&[1; 32]).unwrap();

    fixture.fault("logout", "");
    let refused = key.sign_digest(&[1; 32]);
    assert!(refused.is_err_and(|error| error.is_transient()));
    wait_for("the token is down", || token.health().state == State::Down);
    fixture.mend("garbage");
    eventually(|| key.sign_digest(&[1; 32]));
}

/// Each comes back at about the time at which it is given up.
fn threads_that_come_back_as_they_are_left_behind_are_counted_right(fixture: &Fixture) {
    let made = EcKey::generate(&fixture.open(Settings::new()), Usage::Sign, "orders").unwrap();
    let settings = Settings::new().timeout(Duration::from_millis(60)).max_sessions(2);
    let token = Token::open(&fixture.uri(), settings).unwrap();
    let key = eventually(|| EcKey::load(&token, &KeySelector::kid(made.kid()), Usage::Sign));
    fixture.fault("delay", "58");
    for round in 0..40 {
        let _ = sign(&key, &format!("{round}"));
    }
    fixture.mend("delay");

    wait_for("nobody is left behind", || token.health().abandoned == 0);
    eventually(|| sign(&key, "after"));
    let health = token.health();
    assert!(health.pool_size <= 2 && health.pool_in_use <= health.pool_size, "{health:?}");
}

fn an_observer_that_panics_does_not_end_recovery(fixture: &Fixture) {
    let token = fixture.open(Settings::new().observer(|event| panic!("of the observer: {event}")));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for _ in 0..2 {
        fixture.fault("rv.C_SignInit", "0x30");
        assert!(sign(&key, "lost").is_err());
        eventually(|| sign(&key, "back"));
    }
    assert_eq!(token.health().library_recoveries, 2);
}

/// The one session has a queue, at whose end the token would be kept awake: not before the recovery that all wait for.
fn whoever_keeps_a_token_awake_does_not_wait_for_recovery(fixture: &Fixture) {
    let settings = Settings::new().max_sessions(1).timeout(Duration::from_secs(120));
    let token = fixture.open(settings.keep_alive(Some(Duration::from_millis(1))));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let (ended, key) = (AtomicBool::new(false), &key);

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let _ = sign(key, "always");
                }
            });
        }
        for number in 1..=5 {
            // A thread that meets the second loss right after the first one has the library restarted.
            let recoveries = || token.health().login_recoveries + token.health().library_recoveries;
            let before = recoveries();
            fixture.fault("logout", "");
            let over = || recoveries() > before && token.health().is_up();
            let deadline = Instant::now() + Duration::from_secs(30);
            while !over() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
            let in_time = over();
            ended.store(!in_time || number == 5, Ordering::Relaxed);
            assert!(in_time, "recovery {number} did not come");
        }
    });
}

/// About 13 signatures a second, as small devices make.
fn a_slow_token_is_slow_and_nothing_else(fixture: &Fixture) {
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
    assert_eq!((health.signing.count, health.abandoned, health.state), (8, 0, State::Up));
    assert!(health.signing.sum >= Duration::from_millis(600), "{:?}", health.signing);
    assert_eq!(health.signing.buckets[7], 0, "none within 25 ms: {:?}", health.signing);
}

fn an_idle_token_is_kept_awake_and_its_loss_is_noticed(fixture: &Fixture) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let settings = Settings::new()
        .keep_alive(Some(Duration::from_millis(20)))
        .observer(move |event| seen.lock().unwrap().push(event.to_string()));
    let token = fixture.open(settings);
    wait_for("random bytes are asked for", || fixture.calls("C_GenerateRandom").len() > 3);
    assert!(events.lock().unwrap().is_empty());

    fixture.fault("rv.C_GenerateRandom", "0x30");
    wait_for("it is recovered without a caller", || events.lock().unwrap().len() == 2);
    let events = events.lock().unwrap().clone();
    assert_eq!(events[0], "token down: C_GenerateRandom: CKR_DEVICE_ERROR");
    assert!(
        events[1].starts_with("token up after ") && events[1].ends_with(" ms: library restarted"),
        "{events:?}"
    );
    assert!(token.health().is_up());
}

fn a_fork_is_told_that_it_has_no_token(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let (pkcs11, _) = fixture.raw();
    let parent = std::process::id();

    fixture.fault("fork", "");
    // The shim forks in here and returns twice; in the parent when the child has ended, with an error if it failed.
    let returned = pkcs11.get_library_info();
    if std::process::id() != parent {
        let refused = matches!(sign(&key, "fork"), Err(Error::Forked))
            && matches!(Token::open(&fixture.uri(), Settings::new()), Err(Error::Forked))
            && matches!(token.keys(), Err(Error::Forked));
        std::process::exit(i32::from(!refused));
    }
    returned.unwrap();
    sign(&key, "parent").unwrap();
}

fn a_closed_token_gives_its_sessions_back(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "text").unwrap();
    drop(token);
    sign(&key, "a key keeps its token open").unwrap();
    drop(key);

    // Without sessions there is no login: the next one has to be made.
    let (pkcs11, slot) = fixture.raw();
    wait_for("the login has ended", || {
        let session = pkcs11.open_ro_session(slot).unwrap();
        let state = session.get_session_info().unwrap().session_state();
        matches!(state, cryptoki::session::SessionState::RoPublic)
    });
}

on_every_token! {
    a_call_that_hangs_is_left_behind_and_the_others_go_on,
    everybody_who_waits_behind_a_hanging_call_is_answered_in_time,
    no_more_threads_are_left_behind_than_allowed,
    nobody_waits_for_a_recovery_that_hangs,
    whoever_comes_back_when_told_does_not_go_in_a_circle_while_recovery_hangs,
    a_library_is_not_restarted_around_a_hanging_call,
    a_wrong_signature_is_never_handed_out,
    with_the_first_only_a_wrong_signature_is_found_by_the_test_after_a_login,
    threads_that_come_back_as_they_are_left_behind_are_counted_right,
    an_observer_that_panics_does_not_end_recovery,
    whoever_keeps_a_token_awake_does_not_wait_for_recovery,
    a_slow_token_is_slow_and_nothing_else,
    an_idle_token_is_kept_awake_and_its_loss_is_noticed,
    a_fork_is_told_that_it_has_no_token,
    a_closed_token_gives_its_sessions_back,
}
