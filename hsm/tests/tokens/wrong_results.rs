//! Tokens that return wrong results, which are discarded.

use taskseal_core::Secret;
use taskseal_hsm::{EcKey, Error, KeySelector, MacKey, SelfCheck, Settings, TokenState, Usage, WrappingKey};

use crate::support::{Fixture, eventually, on_every_token, sign, wait_for};

fn a_wrong_signature_is_never_returned(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "before").unwrap();

    fixture.fault("garbage", "");
    let refused = sign(&key, "garbage");
    assert!(matches!(refused, Err(Error::FaultyAnswer)), "{refused:?}");
    wait_for("the self-test of recovery fails too", || token.health().faulty_answers >= 2);
    for _ in 0..3 {
        assert!(sign(&key, "garbage").is_err_and(|error| error.is_transient()));
    }
    assert_eq!(token.health().state, TokenState::Down);
    let other = EcKey::load(&token, &KeySelector::kid(key.kid()), Usage::Sign);
    assert!(other.is_err_and(|error| error.is_transient()));
    fixture.mend("garbage");
    eventually(|| sign(&key, "after"));
}

fn with_self_check_at_login_a_wrong_signature_is_detected_after_a_login(fixture: &Fixture) {
    let token = fixture.open(Settings::new().self_check(SelfCheck::AtLogin));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("garbage", "");
    key.sign_digest(&[1; 32]).unwrap();

    fixture.fault("logout", "");
    let refused = key.sign_digest(&[1; 32]);
    assert!(refused.is_err_and(|error| error.is_transient()));
    wait_for("the token is down", || token.health().state == TokenState::Down);
    fixture.mend("garbage");
    eventually(|| key.sign_digest(&[1; 32]));
}

fn a_tag_that_differs_when_computed_twice_is_not_returned(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = MacKey::generate(&token, "shared").unwrap();
    let tag = key.mac(b"text").unwrap();

    fixture.fault("garbage_once", "");
    let refused = key.mac(b"text");
    assert!(matches!(refused, Err(Error::FaultyAnswer)), "{refused:?}");
    assert_eq!(eventually(|| key.mac(b"text")), tag);
    assert_eq!(token.health().faulty_answers, 1);
}

fn a_wrapped_key_that_unwraps_to_another_key_is_not_returned(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let kek = WrappingKey::generate(&token, "files").unwrap();
    let key = Secret::copy_from(&[0x5c; 32]);
    let wrapped = kek.wrap(&key).unwrap();

    fixture.fault("garbage_wrap", "");
    let refused = kek.wrap(&key);
    assert!(matches!(refused, Err(Error::FaultyAnswer)), "{refused:?}");
    assert_eq!(eventually(|| kek.wrap(&key)), wrapped);
    for fault in ["rv.C_WrapKey", "rv.C_UnwrapKey"] {
        fixture.fault(fault, "0xb3");
        assert_eq!(kek.wrap(&key).unwrap(), wrapped, "{fault}");
        assert!(!fixture.has(fault), "the fault did not occur");
    }
}

fn a_new_key_that_fails_its_self_test_is_destroyed(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    fixture.fault("garbage", "");

    let refused = EcKey::generate(&token, Usage::Sign, "orders");
    assert!(matches!(refused, Err(Error::FaultyAnswer)), "{refused:?}");
    fixture.mend("garbage");
    let left = eventually(|| token.keys());
    assert!(left.is_empty(), "{left:?}");
    eventually(|| EcKey::generate(&token, Usage::Sign, "orders"));
}

on_every_token! {
    a_wrong_signature_is_never_returned,
    with_self_check_at_login_a_wrong_signature_is_detected_after_a_login,
    a_tag_that_differs_when_computed_twice_is_not_returned,
    a_wrapped_key_that_unwraps_to_another_key_is_not_returned,
    a_new_key_that_fails_its_self_test_is_destroyed,
}
