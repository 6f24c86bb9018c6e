//! The life of a token: keep-alive, observer, fork, close.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use taskseal_hsm::{EcKey, Error, Settings, Token, Usage};

use crate::support::{Fixture, eventually, on_every_token, sign, wait_for};

fn an_observer_that_panics_does_not_end_recovery(fixture: &Fixture) {
    let token = fixture.open(Settings::new().observer(|event| panic!("panic of the observer: {event}")));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for _ in 0..2 {
        fixture.fault("rv.C_SignInit", "0x30");
        assert!(sign(&key, "lost").is_err());
        eventually(|| sign(&key, "back"));
    }
    assert_eq!(token.health().library_recoveries, 2);
}

fn an_idle_token_is_kept_active_and_its_loss_is_detected(fixture: &Fixture) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let settings = Settings::new()
        .keep_alive(Some(Duration::from_millis(20)))
        .observer(move |event| seen.lock().unwrap().push(event.to_string()));
    let token = fixture.open(settings);
    wait_for("random bytes are requested", || fixture.calls("C_GenerateRandom").len() > 3);
    assert!(events.lock().unwrap().is_empty());

    fixture.fault("rv.C_GenerateRandom", "0x30");
    wait_for("the token recovers without a caller", || events.lock().unwrap().len() == 2);
    let events = events.lock().unwrap().clone();
    assert_eq!(events[0], "token down: C_GenerateRandom: CKR_DEVICE_ERROR");
    assert!(
        events[1].starts_with("token up after ") && events[1].ends_with(" ms: library restarted"),
        "{events:?}"
    );
    assert!(token.health().is_up());
}

/// The only session has a queue. A keep-alive at its end would wait for the recovery that it must not delay.
fn keep_alive_does_not_wait_for_recovery(fixture: &Fixture) {
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
            // A second loss right after the first one leads to a restart of the library.
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
            assert!(in_time, "recovery {number} did not happen");
        }
    });
}

fn a_fork_cannot_use_the_token(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let (pkcs11, _) = fixture.raw();
    let parent = std::process::id();

    fixture.fault("fork", "");
    // The shim forks in this call. In the parent it returns after the child has ended, with an error if that failed.
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

fn a_closed_token_closes_its_sessions(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "text").unwrap();
    drop(token);
    sign(&key, "a key keeps its token open").unwrap();
    drop(key);

    // The login ends with the last session.
    let (pkcs11, slot) = fixture.raw();
    wait_for("the login has ended", || {
        let session = pkcs11.open_ro_session(slot).unwrap();
        let state = session.get_session_info().unwrap().session_state();
        matches!(state, cryptoki::session::SessionState::RoPublic)
    });
}

on_every_token! {
    an_observer_that_panics_does_not_end_recovery,
    an_idle_token_is_kept_active_and_its_loss_is_detected,
    keep_alive_does_not_wait_for_recovery,
    a_fork_cannot_use_the_token,
    a_closed_token_closes_its_sessions,
}
