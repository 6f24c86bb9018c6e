//! Keys that are not what they were, or never were what they should be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::sync::{Arc, Mutex};

use cryptoki::object::{Attribute, ObjectClass};
use support::{Fixture, eventually, make_pair, name_by_kid, on_every_token, sign, wait_for};
use taskseal_core::KeyId;
use taskseal_hsm::{
    EcKey, Error, KeyDefect, KeySelector, MacKey, Settings, State, Token, Usage, WrappingKey,
};

fn defect<R: std::fmt::Debug>(result: Result<R, Error>, expected: KeyDefect) {
    assert!(
        matches!(&result, Err(Error::WrongKey(defect)) if *defect == expected),
        "{expected:?}: {result:?}"
    );
}

fn a_key_that_another_process_deletes_is_missed_at_once(fixture: &Fixture) {
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
    let doomed = EcKey::generate(&token, Usage::Sign, "doomed").unwrap();
    let other = EcKey::generate(&token, Usage::Sign, "other").unwrap();
    sign(&doomed, "before").unwrap();

    fixture.elsewhere(&doomed.kid().to_string());
    let mut last = None;
    wait_for("it is missed", || {
        last = sign(&doomed, "after").err();
        last.is_some()
    });
    assert!(matches!(last, Some(Error::NoSuchKey)), "{last:?}");
    // The others are as they were.
    eventually(|| sign(&other, "after"));
    assert_eq!(token.health().state, State::Up);
    assert!(matches!(sign(&doomed, "later"), Err(Error::NoSuchKey)));
    let line = format!("key {} lost: no such key in the token", doomed.kid());
    assert_eq!(events.lock().unwrap().iter().filter(|event| **event == line).count(), 1, "{events:?}");
}

/// CKR_KEY_FUNCTION_NOT_PERMITTED, of the one key that agrees.
fn a_key_that_its_token_refuses_to_use_is_lost_alone_and_found_again(fixture: &Fixture) {
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
    assert!(!fixture.has("logout"), "it did not happen");
    assert!(matches!(agree(), Err(Error::Token(_))), "{:?}", agree());
    let health = token.health();
    assert_eq!((health.state, health.login_recoveries, health.library_recoveries), (State::Up, 1, 0));
    assert_eq!(fixture.calls("C_Initialize").len(), 1);
    fixture.mend("every.C_DeriveKey");
    wait_for("it is found", || agree().is_ok());
    let kid = refused.kid();
    let lost = format!("key {kid} lost: C_DeriveKey: CKR_KEY_FUNCTION_NOT_PERMITTED");
    let events = events.lock().unwrap();
    assert_eq!(events.iter().filter(|event| **event == lost).count(), 1, "{events:?}");
    assert!(events.contains(&format!("key {kid} found again")), "{events:?}");
}

/// SoftHSM keeps every object in a file.
fn a_key_that_was_away_is_found_again(fixture: &Fixture) {
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

    wait_for("it is missed", || matches!(sign(&key, "away"), Err(Error::NoSuchKey)));
    assert_eq!(token.health().state, State::Up);
    for entry in fs::read_dir(&away).unwrap() {
        let name = entry.unwrap().file_name();
        fs::rename(away.join(&name), here.join(&name)).unwrap();
    }
    // The library is told to look: nothing else would make it.
    fixture.fault("rv.C_OpenSession", "0x32");
    drop(EcKey::generate(&token, Usage::Sign, "wakes it up"));
    wait_for("it is found", || sign(&key, "back").is_ok());
    let events = events.lock().unwrap();
    assert!(events.contains(&format!("key {} found again", key.kid())), "{events:?}");
}

fn another_key_under_the_same_name_is_refused(fixture: &Fixture) {
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
    defect(EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign), KeyDefect::Id);
}

fn another_private_key_with_the_old_public_one_fails_the_test(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "before").unwrap();

    let session = fixture.raw_session();
    let id = key.kid().as_bytes().to_vec();
    let [public, _] = make_pair(&session, b"thief", "thief", &[]);
    session.destroy_object(public).unwrap();
    let private = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id.clone())];
    for object in session.find_objects(&private).unwrap() {
        session.destroy_object(object).unwrap();
    }
    let thief = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(b"thief".to_vec())];
    let thief = session.find_objects(&thief).unwrap()[0];
    session.update_attributes(thief, &[Attribute::Id(id)]).unwrap();
    // A call past the gate of the module must not meet the restart of the library that follows.
    drop(session);
    fixture.fault("close_all", "");

    let refused = sign(&key, "after");
    assert!(refused.is_err_and(|error| error.is_transient()), "it must not sign");
    wait_for("the token is not trusted", || token.health().faulty_answers > 0);
    assert_ne!(token.health().state, State::Up);
}

fn other_symmetric_keys_under_the_same_name_are_refused(fixture: &Fixture) {
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

fn keys_that_are_not_as_they_should_be_are_refused(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let session = fixture.raw_session();
    let cases = [
        ("extractable", KeyDefect::Extractable, vec![Attribute::Extractable(true)]),
        ("plain", KeyDefect::NotSensitive, vec![Attribute::Sensitive(false)]),
        ("both uses", KeyDefect::Usage, vec![Attribute::Derive(true)]),
        ("no use", KeyDefect::Usage, vec![Attribute::Sign(false)]),
        ("decrypts", KeyDefect::Usage, vec![Attribute::Decrypt(true)]),
        ("unwraps", KeyDefect::Usage, vec![Attribute::Unwrap(true)]),
        ("recovers", KeyDefect::Usage, vec![Attribute::SignRecover(true)]),
        ("open to all", KeyDefect::NotPrivate, vec![Attribute::Private(false)]),
        ("asks always", KeyDefect::AlwaysAuthenticate, vec![Attribute::AlwaysAuthenticate(true)]),
        // secp384r1
        ("curve", KeyDefect::Type, vec![Attribute::EcParams(vec![6, 5, 0x2b, 0x81, 4, 0, 0x22])]),
    ];
    for (label, expected, attributes) in cases {
        let pair = make_pair(&session, b"12345678", label, &attributes);
        if expected != KeyDefect::Type {
            name_by_kid(&session, pair);
        }
        defect(EcKey::load(&token, &KeySelector::label(label), Usage::Sign), expected);
    }
    make_pair(&session, b"87654321", "id", &[]);
    defect(EcKey::load(&token, &KeySelector::label("id"), Usage::Sign), KeyDefect::Id);
    let [public, _] = make_pair(&session, b"lonelykey", "no public half", &[]);
    session.destroy_object(public).unwrap();
    let refused = EcKey::load(&token, &KeySelector::label("no public half"), Usage::Sign);
    assert!(matches!(refused, Err(Error::WrongKey(KeyDefect::PublicKey | KeyDefect::Id))), "{refused:?}");

    let twins = [make_pair(&session, b"a", "twins", &[]), make_pair(&session, b"b", "twins", &[])];
    let refused = EcKey::load(&token, &KeySelector::label("twins"), Usage::Sign);
    assert!(matches!(refused, Err(Error::Ambiguous { what: "keys", count: 2 })), "{refused:?}");
    let kid = name_by_kid(&session, twins[0]);
    EcKey::load(&token, &KeySelector::kid(kid), Usage::Sign).unwrap();

    let listed = token.keys().unwrap();
    assert_eq!(listed.len(), 14);
    assert_eq!(listed.iter().filter(|key| key.defect.is_none()).count(), 1, "{listed:?}");
}

/// CKA_DECRYPT, CKA_UNWRAP, CKA_PRIVATE.
fn a_key_whose_token_hides_what_it_may_do_is_refused(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    EcKey::generate(&token, Usage::Sign, "sign").unwrap();
    EcKey::generate(&token, Usage::Agree, "agree").unwrap();
    WrappingKey::generate(&token, "kek").unwrap();
    MacKey::generate(&token, "mac").unwrap();
    let label = KeySelector::label;

    for (hidden, expected) in
        [("0x105", KeyDefect::Usage), ("0x107", KeyDefect::Usage), ("0x2", KeyDefect::NotPrivate)]
    {
        fixture.fault("hidden", hidden);
        defect(EcKey::load(&token, &label("sign"), Usage::Sign), expected);
        defect(EcKey::load(&token, &label("agree"), Usage::Agree), expected);
        defect(WrappingKey::load(&token, &label("kek")), expected);
        defect(MacKey::load(&token, &label("mac")), expected);
    }
    fixture.mend("hidden");
    WrappingKey::load(&token, &label("kek")).unwrap();
}

fn a_new_key_that_fails_its_test_is_not_left_behind(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    fixture.fault("garbage", "");

    let refused = EcKey::generate(&token, Usage::Sign, "orders");
    assert!(matches!(refused, Err(Error::FaultyAnswer)), "{refused:?}");
    fixture.mend("garbage");
    let left = eventually(|| token.keys());
    assert!(left.is_empty(), "{left:?}");
    eventually(|| EcKey::generate(&token, Usage::Sign, "orders"));
}

fn an_extractable_key_is_accepted_only_where_that_is_allowed(fixture: &Fixture) {
    let token = fixture.open(Settings::new().allow_extractable(true));
    let session = fixture.raw_session();
    let pair = make_pair(&session, b"12345678", "old", &[Attribute::Extractable(true)]);
    name_by_kid(&session, pair);

    let key = EcKey::load(&token, &KeySelector::label("old"), Usage::Sign).unwrap();
    sign(&key, "text").unwrap();
    fixture.fault("close_all", "");
    sign(&key, "after").unwrap();
}

fn a_token_with_ids_of_its_own_is_used_only_where_that_is_allowed(fixture: &Fixture) {
    fixture.init();
    fixture.fault("read_only", "");
    let strict = Token::open(&fixture.uri(), Settings::new()).unwrap();
    let refused = EcKey::generate(&strict, Usage::Sign, "orders");
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    assert!(strict.keys().unwrap().is_empty(), "what cannot be used is not left there");

    let token = Token::open(&fixture.uri(), Settings::new().allow_other_ids(true)).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let same = EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign).unwrap();
    assert_eq!(key.kid(), same.kid());
    let listed = token.keys().unwrap();
    assert!(
        listed.len() == 1 && listed[0].defect.is_none() && listed[0].kid() != Some(key.kid()),
        "{listed:?}"
    );
    fixture.fault("close_all", "");
    sign(&key, "after").unwrap();
    defect(EcKey::load(&strict, &KeySelector::label("orders"), Usage::Sign), KeyDefect::Id);
}

fn a_destroyed_key_is_gone_with_both_halves(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    EcKey::generate(&token, Usage::Sign, "one").unwrap();
    let two = EcKey::generate(&token, Usage::Sign, "two").unwrap();

    token.destroy_key(&KeySelector::label("one")).unwrap();
    let gone = token.destroy_key(&KeySelector::label("one"));
    assert!(matches!(gone, Err(Error::NoSuchKey)), "{gone:?}");
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        assert_eq!(
            fixture.raw_session().find_objects(&[Attribute::Class(class)]).unwrap().len(),
            1,
            "{class}"
        );
    }
    sign(&two, "text").unwrap();
}

on_every_token! {
    a_key_that_another_process_deletes_is_missed_at_once,
    a_key_that_its_token_refuses_to_use_is_lost_alone_and_found_again,
    another_key_under_the_same_name_is_refused,
    another_private_key_with_the_old_public_one_fails_the_test,
    other_symmetric_keys_under_the_same_name_are_refused,
    keys_that_are_not_as_they_should_be_are_refused,
    a_key_whose_token_hides_what_it_may_do_is_refused,
    a_new_key_that_fails_its_test_is_not_left_behind,
    an_extractable_key_is_accepted_only_where_that_is_allowed,
    a_token_with_ids_of_its_own_is_used_only_where_that_is_allowed,
    a_destroyed_key_is_gone_with_both_halves,
}

#[test]
fn softhsm_a_key_that_was_away_is_found_again() {
    let name = "softhsm_a_key_that_was_away_is_found_again";
    support::on(support::Kind::SoftHsm, name, a_key_that_was_away_is_found_again);
}
