//! Logins with an unknown outcome, at the same time, or without an end.

use std::thread;
use std::time::Duration;

use taskseal_hsm::{EcKey, Error, KeySelector, Pin, Settings, Token, TokenState, TokenUri, Usage};

use crate::support::raw::init_second_token;
use crate::support::{Fixture, Kind, eventually, on_every_token, sign, wait_for};

fn wrong_pin() -> Settings {
    Settings::new().pin(Pin::new("00000000").unwrap())
}

/// The code is CKR_DEVICE_ERROR: the token may have compared the PIN.
fn a_login_with_an_unknown_outcome_is_tried_at_most_twice(fixture: &Fixture) {
    fixture.init();
    fixture.fault("every.C_Login", "0x30");

    for _ in 0..4 {
        let refused = Token::open(&fixture.uri(), Settings::new());
        assert!(matches!(refused, Err(Error::LoginFailed(_))), "{refused:?}");
    }
    assert_eq!(fixture.logins(), 2);
    fixture.mend("every.C_Login");
    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(&refused, Err(error @ Error::LoginFailed(_)) if error.is_locked()), "{refused:?}");
    assert_eq!(fixture.logins(), 2, "an attempt was made before a restart");
}

fn recovery_tries_a_login_with_an_unknown_outcome_at_most_twice(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    // CKR_GENERAL_ERROR
    fixture.fault("every.C_Login", "0x5");
    fixture.fault("logout", "");

    wait_for("recovery has failed", || {
        let _ = sign(&key, "after");
        token.health().state == TokenState::Failed
    });
    assert!(matches!(sign(&key, "after"), Err(Error::LoginFailed(_))));
    assert_eq!(fixture.logins(), 1 + 2);
}

fn a_successful_login_resets_the_attempts_with_an_unknown_outcome(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for _ in 0..3 {
        fixture.fault("rv.C_Login", "0x30");
        fixture.fault("logout", "");
        eventually(|| sign(&key, "after"));
        assert!(!fixture.has("rv.C_Login"), "the fault did not occur");
    }
    assert_eq!(fixture.logins(), 1 + 3 * 2);
}

/// The code is CKR_PIN_LEN_RANGE, which the token may count.
fn a_pin_of_a_rejected_length_is_tried_once(fixture: &Fixture) {
    fixture.init();
    fixture.fault("every.C_Login", "0xa2");

    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::AuthFailed { .. })), "{refused:?}");
    for _ in 0..3 {
        let refused = Token::open(&fixture.uri(), Settings::new());
        assert!(matches!(refused, Err(Error::LockedOut)), "{refused:?}");
    }
    assert_eq!(fixture.logins(), 1);
}

fn a_failure_that_the_token_counted_is_a_rejected_pin_with_any_code(fixture: &Fixture) {
    fixture.init();
    fixture.fault("every.C_Login", "0x30");
    fixture.fault("counted", "0x10000");

    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::AuthFailed { count_low: true })), "{refused:?}");
    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::LockedOut)), "{refused:?}");
    assert_eq!(fixture.logins(), 1);
}

/// CKF_USER_PIN_COUNT_LOW was set before, so it does not show whether this attempt was counted.
fn a_failure_with_an_unknown_outcome_after_wrong_pins_is_the_last_attempt(fixture: &Fixture) {
    fixture.init();
    fixture.fault("flags", "0x10000");
    fixture.fault("every.C_Login", "0x30");

    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::LoginFailed(_))), "{refused:?}");
    assert_eq!(fixture.logins(), 1);
}

/// Both have checked the flags before either makes its attempt, and neither gets exclusive access to the library.
fn two_tokens_of_one_device_make_one_attempt_together(fixture: &Fixture) {
    let token = fixture.open(Settings::new().timeout(Duration::from_secs(60)));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("hang", "");
    thread::scope(|scope| {
        let hanging = scope.spawn(|| sign(&key, "hangs"));
        wait_for("the signature hangs", || fixture.has("hanging"));
        fixture.raw_session().logout().unwrap();
        let before = fixture.logins();
        fixture.fault("delay_login", "1000");

        let opening = [(); 2].map(|()| scope.spawn(|| Token::open(&fixture.uri(), wrong_pin())));
        let refused = opening.map(|one| one.join().unwrap().err().unwrap());

        assert_eq!(fixture.logins(), before + 1, "{refused:?}");
        assert!(refused.iter().any(|error| matches!(error, Error::AuthFailed { .. })), "{refused:?}");
        fixture.mend("hanging");
        drop(hanging.join());
    });
}

fn a_login_that_hangs_does_not_block_another_token(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    init_second_token(fixture, "other");
    let other = TokenUri::parse("pkcs11:token=other").unwrap().with_module_path(&fixture.module);
    let settings = || Settings::new().pin(Pin::new("99999999").unwrap());
    fixture.fault("hang_login", "");

    thread::scope(|scope| {
        let opening = scope.spawn(|| Token::open(&other, settings()));
        wait_for("the login hangs", || fixture.has("hanging_login"));
        for _ in 0..20 {
            sign(&key, "meanwhile").unwrap();
        }
        assert!(fixture.has("hanging_login"));
        // No second attempt is made meanwhile.
        let logins = fixture.logins();
        assert!(Token::open(&other, settings()).is_err());
        assert_eq!(fixture.logins(), logins);
        fixture.mend("hanging_login");
        drop(opening.join().unwrap());
    });
    sign(&key, "after").unwrap();
}

fn a_token_in_the_place_of_another_does_not_receive_its_pin(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("serial", "4711");

    fixture.fault("logout", "");
    wait_for("the other token is detected", || {
        assert!(sign(&key, "lost").is_err());
        matches!(token.health().reason, Some(Error::TokenChanged))
    });
    assert_eq!((fixture.logins(), token.health().state), (1, TokenState::Down));
    fixture.mend("serial");
    eventually(|| sign(&key, "back"));
}

/// A handle may belong to another key after a login. Here the other `Token` logs in.
fn a_handle_from_before_a_login_is_not_used_after_it(fixture: &Fixture) {
    let one = fixture.open(Settings::new());
    let two = Token::open(&fixture.uri(), Settings::new()).unwrap();
    let key = EcKey::generate(&one, Usage::Sign, "orders").unwrap();
    let same = EcKey::load(&two, &KeySelector::kid(key.kid()), Usage::Sign).unwrap();
    sign(&same, "before").unwrap();
    let old = *fixture.calls("C_SignInit").last().unwrap();

    fixture.fault("logout", "");
    sign(&key, "logs in").unwrap();
    let calls = fixture.calls("C_SignInit").len();
    sign(&same, "after").unwrap();

    assert_eq!(fixture.logins(), 2);
    assert_eq!(two.health().login_recoveries, 1, "the key was not searched again");
    if fixture.kind == Kind::SoftHsm {
        assert!(!fixture.calls("C_SignInit")[calls..].contains(&old), "the old handle was used");
    }
}

on_every_token! {
    a_login_with_an_unknown_outcome_is_tried_at_most_twice,
    recovery_tries_a_login_with_an_unknown_outcome_at_most_twice,
    a_successful_login_resets_the_attempts_with_an_unknown_outcome,
    a_pin_of_a_rejected_length_is_tried_once,
    a_failure_that_the_token_counted_is_a_rejected_pin_with_any_code,
    a_failure_with_an_unknown_outcome_after_wrong_pins_is_the_last_attempt,
    two_tokens_of_one_device_make_one_attempt_together,
    a_login_that_hangs_does_not_block_another_token,
    a_token_in_the_place_of_another_does_not_receive_its_pin,
    a_handle_from_before_a_login_is_not_used_after_it,
}
