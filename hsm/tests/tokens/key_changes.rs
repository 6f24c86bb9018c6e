//! Keys that disappear or are replaced while they are in use.

use std::fs;
use std::sync::{Arc, Mutex};

use cryptoki::object::{Attribute, ObjectClass};
use taskseal_core::KeyId;
use taskseal_hsm::{EcKey, Error, KeyDefect, KeySelector, MacKey, Settings, TokenState, Usage, WrappingKey};

use crate::support::raw::make_pair;
use crate::support::{Fixture, assert_defect, eventually, on_every_token, on_softhsm, sign, wait_for};

fn a_key_that_another_process_destroys_is_reported_as_lost(fixture: &Fixture) {
    if let Some(kid) = fixture.role() {
        let session = fixture.raw_session();
        let id = KeyId::parse_hex(&kid).unwrap().as_bytes().to_vec();
        for object in session.find_objects(&[Attribute::Id(id)]).unwrap() {
            session.destroy_object(object).unwrap();
        }
        return;
    }
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let token =
        fixture.open(Settings::new().observer(move |event| seen.lock().unwrap().push(event.to_string())));
    let destroyed = EcKey::generate(&token, Usage::Sign, "destroyed").unwrap();
    let other = EcKey::generate(&token, Usage::Sign, "other").unwrap();
    sign(&destroyed, "before").unwrap();

    fixture.run_child(&destroyed.kid().to_string());
    let mut last = None;
    wait_for("the loss is detected", || {
        last = sign(&destroyed, "after").err();
        last.is_some()
    });
    assert!(matches!(last, Some(Error::NoSuchKey)), "{last:?}");
    // Other keys are not affected.
    eventually(|| sign(&other, "after"));
    assert_eq!(token.health().state, TokenState::Up);
    assert!(matches!(sign(&destroyed, "later"), Err(Error::NoSuchKey)));
    let line = format!("key {} lost: no such key in the token", destroyed.kid());
    assert_eq!(events.lock().unwrap().iter().filter(|event| **event == line).count(), 1, "{events:?}");
}

/// The agreement key fails with CKR_KEY_FUNCTION_NOT_PERMITTED.
fn a_key_that_its_token_refuses_to_use_does_not_affect_other_keys(fixture: &Fixture) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let token =
        fixture.open(Settings::new().observer(move |event| seen.lock().unwrap().push(event.to_string())));
    let refused = EcKey::generate(&token, Usage::Agree, "refused").unwrap();
    let other = EcKey::generate(&token, Usage::Sign, "other").unwrap();
    let agree = || refused.agree(&refused.agreement_key().unwrap());
    fixture.fault("every.C_DeriveKey", "0x68");

    fixture.fault("logout", "");
    eventually(|| sign(&other, "after"));
    assert!(!fixture.has("logout"), "the fault did not occur");
    assert!(matches!(agree(), Err(Error::Token(_))), "{:?}", agree());
    let health = token.health();
    assert_eq!((health.state, health.login_recoveries, health.library_recoveries), (TokenState::Up, 1, 0));
    assert_eq!(fixture.calls("C_Initialize").len(), 1);
    fixture.mend("every.C_DeriveKey");
    wait_for("the key is found", || agree().is_ok());
    let kid = refused.kid();
    let lost = format!("key {kid} lost: C_DeriveKey: CKR_KEY_FUNCTION_NOT_PERMITTED");
    let events = events.lock().unwrap();
    assert_eq!(events.iter().filter(|event| **event == lost).count(), 1, "{events:?}");
    assert!(events.contains(&format!("key {kid} found again")), "{events:?}");
}

/// SoftHSM stores every object in a file, which can be moved.
fn a_key_that_was_missing_is_found_again(fixture: &Fixture) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let token =
        fixture.open(Settings::new().observer(move |event| seen.lock().unwrap().push(event.to_string())));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let away = fixture.folder.join("away");
    fs::create_dir(&away).unwrap();
    let here = fs::read_dir(fixture.folder.join("tokens")).unwrap().next().unwrap().unwrap().path();
    for entry in fs::read_dir(&here).unwrap() {
        let name = entry.unwrap().file_name();
        if name != "token.object" && name.to_str().unwrap().ends_with(".object") {
            fs::rename(here.join(&name), away.join(&name)).unwrap();
        }
    }

    wait_for("the loss is detected", || matches!(sign(&key, "away"), Err(Error::NoSuchKey)));
    assert_eq!(token.health().state, TokenState::Up);
    for entry in fs::read_dir(&away).unwrap() {
        let name = entry.unwrap().file_name();
        fs::rename(away.join(&name), here.join(&name)).unwrap();
    }
    // A restart makes the library read its files again.
    fixture.fault("rv.C_OpenSession", "0x32");
    drop(EcKey::generate(&token, Usage::Sign, "triggers the restart"));
    wait_for("the key is found", || sign(&key, "back").is_ok());
    let events = events.lock().unwrap();
    assert!(events.contains(&format!("key {} found again", key.kid())), "{events:?}");
}

fn a_different_key_with_the_same_name_is_rejected(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "before").unwrap();

    let session = fixture.raw_session();
    let id = key.kid().as_bytes().to_vec();
    for object in session.find_objects(&[Attribute::Id(id.clone())]).unwrap() {
        session.destroy_object(object).unwrap();
    }
    make_pair(&session, &id, "orders", &[]);
    fixture.fault("close_all", "");

    let refused = sign(&key, "after");
    assert!(matches!(refused, Err(Error::KeyChanged)), "{refused:?}");
    assert_defect(EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign), KeyDefect::Id);
}

fn a_different_private_key_with_the_same_public_key_fails_the_self_test(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "before").unwrap();

    let session = fixture.raw_session();
    let id = key.kid().as_bytes().to_vec();
    let [public, _] = make_pair(&session, b"other", "other", &[]);
    session.destroy_object(public).unwrap();
    let private = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id.clone())];
    for object in session.find_objects(&private).unwrap() {
        session.destroy_object(object).unwrap();
    }
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(b"other".to_vec())];
    let other = session.find_objects(&template).unwrap()[0];
    session.update_attributes(other, &[Attribute::Id(id)]).unwrap();
    // This session bypasses the library lock and must not be in use during the restart that follows.
    drop(session);
    fixture.fault("close_all", "");

    let refused = sign(&key, "after");
    assert!(refused.is_err_and(|error| error.is_transient()), "the wrong key signed");
    wait_for("the wrong result is detected", || token.health().faulty_answers > 0);
    assert_ne!(token.health().state, TokenState::Up);
}

fn different_symmetric_keys_with_the_same_name_are_rejected(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let signing = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let mac = MacKey::generate(&token, "mac").unwrap();
    let kek = WrappingKey::generate(&token, "kek").unwrap();
    let others =
        (MacKey::generate(&token, "mac 2").unwrap(), WrappingKey::generate(&token, "kek 2").unwrap());

    let session = fixture.raw_session();
    for (kid, other) in [(mac.kid(), others.0.kid()), (kek.kid(), others.1.kid())] {
        let find = |kid: KeyId| session.find_objects(&[Attribute::Id(kid.as_bytes().to_vec())]).unwrap()[0];
        session.destroy_object(find(kid)).unwrap();
        session.update_attributes(find(other), &[Attribute::Id(kid.as_bytes().to_vec())]).unwrap();
    }
    fixture.fault("close_all", "");
    eventually(|| sign(&signing, "after"));

    assert!(matches!(mac.mac(b"text"), Err(Error::KeyChanged)));
    assert!(matches!(kek.wrap(&taskseal_core::Secret::zeroed()), Err(Error::KeyChanged)));
}

on_every_token! {
    a_key_that_another_process_destroys_is_reported_as_lost,
    a_key_that_its_token_refuses_to_use_does_not_affect_other_keys,
    a_different_key_with_the_same_name_is_rejected,
    a_different_private_key_with_the_same_public_key_fails_the_self_test,
    different_symmetric_keys_with_the_same_name_are_rejected,
}

on_softhsm! {
    a_key_that_was_missing_is_found_again,
}
