//! Key agreements that hang, wait for each other, or return a wrong result.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use taskseal_core::Secret;
use taskseal_core::keys::{AgreementKey, AgreementPublicKey};
use taskseal_hsm::{EcKey, Error, KeySelector, Settings, Token, TokenState, Usage, WrappingKey};

use crate::support::{Fixture, eventually, on_every_token, wait_for};

fn quick() -> Settings {
    Settings::new().timeout(Duration::from_millis(500))
}

fn peer() -> AgreementPublicKey {
    AgreementKey::from_scalar(&Secret::copy_from(&[7; 32])).unwrap().public_key()
}

fn an_agreement_that_hangs_is_abandoned_and_other_calls_continue(fixture: &Fixture) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let token = fixture.open(quick().observer(move |event| seen.lock().unwrap().push(event.to_string())));
    let other = Token::open(&fixture.uri(), Settings::new()).unwrap();
    let key = EcKey::generate(&token, Usage::Agree, "orders").unwrap();
    let kek = WrappingKey::generate(&token, "files").unwrap();
    let same = EcKey::load(&other, &KeySelector::kid(key.kid()), Usage::Agree).unwrap();

    fixture.fault("hang_derive", "");
    let refused = key.agree(&peer());
    assert!(matches!(refused, Err(Error::Timeout)), "{refused:?}");
    eventually(|| key.agree(&peer()));
    eventually(|| same.agree(&peer()));
    let wrapped = eventually(|| kek.wrap(&Secret::copy_from(&[9; 32])));
    eventually(|| kek.unwrap(&wrapped));
    // A label per attempt, because one that timed out may have generated the key.
    let mut labels = (0..).map(|attempt| format!("generated meanwhile {attempt}"));
    eventually(|| EcKey::generate(&token, Usage::Sign, &labels.next().unwrap()));

    assert!(fixture.has("hanging_derive"), "the agreement ended too early");
    assert_eq!((token.health().abandoned, token.health().state), (1, TokenState::Up));
    let events = events.lock().unwrap().clone();
    assert!(!events.iter().any(|event| event.contains("lost")), "{events:?}");
    fixture.mend("hanging_derive");
    wait_for("the thread returns", || token.health().abandoned == 0);
}

/// Each agreement takes less than the timeout, but eight of them in sequence take longer.
fn a_thread_that_waits_for_another_agreement_is_not_abandoned(fixture: &Fixture) {
    let token = fixture.open(Settings::new().timeout(Duration::from_millis(1500)).max_sessions(8));
    let key = EcKey::generate(&token, Usage::Agree, "orders").unwrap();
    fixture.fault("delay_derive", "500");

    thread::scope(|scope| {
        let agreeing: Vec<_> = (0..8).map(|_| scope.spawn(|| key.agree(&peer()))).collect();
        let answers: Vec<_> = agreeing.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(answers.iter().any(Result::is_ok), "{answers:?}");
        assert!(answers.iter().all(|answer| !matches!(answer, Err(Error::Transient { .. }))), "{answers:?}");
    });
    let health = token.health();
    assert_eq!((health.abandoned, health.state, health.login_recoveries), (0, TokenState::Up, 0));
}

fn the_self_test_detects_wrong_shared_secrets(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Agree, "orders").unwrap();
    let right = key.agree(&peer()).unwrap();
    key.self_test().unwrap();

    fixture.fault("garbage_derive", "");
    assert_ne!(key.agree(&peer()).unwrap().as_bytes(), right.as_bytes(), "the fault did not occur");
    let tested = key.self_test();
    assert!(matches!(tested, Err(Error::FaultyAnswer)), "{tested:?}");
    wait_for("the token is down", || token.health().state == TokenState::Down);
    assert!(token.health().faulty_answers >= 1);
    fixture.mend("garbage_derive");
    eventually(|| key.self_test());
    assert_eq!(key.agree(&peer()).unwrap().as_bytes(), right.as_bytes());
}

on_every_token! {
    an_agreement_that_hangs_is_abandoned_and_other_calls_continue,
    a_thread_that_waits_for_another_agreement_is_not_abandoned,
    the_self_test_detects_wrong_shared_secrets,
}
