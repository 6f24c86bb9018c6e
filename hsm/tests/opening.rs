//! Which token is opened, and with which PIN: by name, once, or not at all.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, chown};

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use support::{Fixture, Kind, LABEL, PIN, SO_PIN, eventually, on_every_token, second, sign, wait_for};
use taskseal_hsm::{EcKey, Error, Module, Pin, PinError, PinSource, Settings, State, Token, TokenUri, Usage};

fn pin(text: &str) -> Pin {
    Pin::new(text).unwrap()
}

fn two_tokens_with_one_label_are_not_guessed_between(fixture: &Fixture) {
    fixture.init();
    let module = Module::load(&fixture.module).unwrap();
    let refused = module.init_token(LABEL, &pin(SO_PIN), &pin(PIN));
    assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    let serial = module.tokens().unwrap().into_iter().find(|token| token.label == LABEL).unwrap().serial;
    second(fixture, LABEL);

    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::Ambiguous { what: "tokens", count: 2 })), "{refused:?}");
    assert_eq!(fixture.logins(), 0, "no token is logged in to that was not meant");

    let text = format!("pkcs11:token={LABEL};serial={serial}?pin-source=env:TASKSEAL_TEST_PIN");
    let uri = TokenUri::parse(&text).unwrap().with_module_path(&fixture.module);
    let token = Token::open(&uri, Settings::new()).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("rv.C_SignInit", "0x30");
    eventually(|| sign(&key, "after"));
}

fn a_token_that_cannot_describe_itself_is_no_hindrance_to_others(fixture: &Fixture) {
    fixture.init();
    second(fixture, "another");
    fixture.fault("broken", "another");

    let token = Token::open(&fixture.uri(), Settings::new()).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("rv.C_SignInit", "0x30");
    eventually(|| sign(&key, "after"));
}

fn a_token_of_another_name_is_not_opened(fixture: &Fixture) {
    fixture.init();
    for name in
        ["token=other", "token=plant;serial=1", "token=plant;manufacturer=nobody", "token=plant;model=none"]
    {
        let uri = TokenUri::parse(&format!("pkcs11:{name}?pin-source=env:TASKSEAL_TEST_PIN")).unwrap();
        let refused = Token::open(&uri.with_module_path(&fixture.module), Settings::new());
        assert!(matches!(refused, Err(Error::NoSuchToken)), "{name}: {refused:?}");
    }
    assert_eq!(fixture.logins(), 0);
}

fn a_wrong_pin_is_tried_once(fixture: &Fixture) {
    fixture.init();

    let refused = Token::open(&fixture.uri(), Settings::new().pin(pin("00000000")));
    assert!(matches!(refused, Err(Error::AuthFailed { .. })), "{refused:?}");
    assert_eq!(fixture.logins(), 1);
    // Not even the right one: an operator has to look first.
    for _ in 0..3 {
        let refused = Token::open(&fixture.uri(), Settings::new());
        assert!(matches!(refused, Err(Error::LockedOut)), "{refused:?}");
    }
    assert_eq!(fixture.logins(), 1);
    let counted = Module::load(&fixture.module).unwrap().tokens().unwrap();
    if fixture.kind == Kind::SoftHsm {
        assert!(counted.iter().any(|token| token.label == LABEL && token.pin_count_low));
    }
}

/// "Already logged in" answers before the PIN is looked at.
fn a_wrong_pin_that_was_never_asked_for_is_tried_once_at_the_next_login(fixture: &Fixture) {
    fixture.init();
    let held = fixture.raw_session();
    let token = Token::open(&fixture.uri(), Settings::new().pin(pin("00000000"))).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "before").unwrap();
    let logins = fixture.logins();
    assert_eq!(logins, 1, "that of the other component");

    held.logout().unwrap();
    wait_for("the login is missed", || sign(&key, "after").is_err());
    wait_for("it is given up", || token.health().state == State::Failed);
    for _ in 0..5 {
        let refused = sign(&key, "later");
        assert!(matches!(refused, Err(Error::LockedOut)), "{refused:?}");
    }
    assert_eq!(fixture.logins(), logins + 1);
}

fn a_changed_pin_is_tried_once_by_recovery(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let (old, new) = (AuthPin::from(PIN.to_owned()), AuthPin::from("16180339".to_owned()));
    fixture.raw_session().set_pin(&old, &new).unwrap();
    sign(&key, "the login still holds").unwrap();
    let logins = fixture.logins();

    fixture.fault("rv.C_SignInit", "0x30");
    wait_for("it is given up", || {
        let _ = sign(&key, "after");
        token.health().state == State::Failed
    });
    assert!(matches!(sign(&key, "after"), Err(Error::LockedOut)));
    assert_eq!(fixture.logins(), logins + 1);
}

fn the_last_attempt_is_left_to_a_human(fixture: &Fixture) {
    fixture.init();
    for (flag, locked) in [("0x20000", false), ("0x40000", true)] {
        fixture.fault("flags", flag);
        let refused = Token::open(&fixture.uri(), Settings::new());
        let expected = match &refused {
            Err(Error::PinLocked) => locked,
            Err(Error::FinalTry) => !locked,
            _ => false,
        };
        assert!(expected, "{flag}: {refused:?}");
    }
    assert_eq!(fixture.logins(), 0);
    // CKF_USER_PIN_COUNT_LOW is no reason to stop, but one to look.
    fixture.fault("flags", "0x10000");
    let token = Token::open(&fixture.uri(), Settings::new()).unwrap();
    assert!(token.health().pin_count_low);
}

fn recovery_does_not_make_the_last_attempt_either(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("flags", "0x20000");

    fixture.fault("logout", "");
    let refused = sign(&key, "after");
    assert!(matches!(refused, Err(Error::FinalTry)), "{refused:?}");
    assert_eq!((fixture.logins(), token.health().state), (1, State::Failed));
}

fn pins_come_from_private_places_only(fixture: &Fixture) {
    fixture.init();
    let path = fixture.folder.join("pin");
    let write = |mode: u32, content: &str| {
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).unwrap();
        file.write_all(content.as_bytes()).unwrap();
    };
    let open = |source: PinSource| Token::open(&fixture.uri().with_pin_source(source), Settings::new());
    let refused = |source: PinSource, expected: PinError| {
        let refused = open(source);
        assert!(matches!(&refused, Err(Error::Pin(why)) if *why == expected), "{expected:?}: {refused:?}");
    };
    let file = || PinSource::File(path.clone());

    for mode in [0o640, 0o604, 0o660] {
        write(mode, PIN);
        refused(file(), PinError::OpenToOthers);
    }
    for content in ["", "\n", "1234\n5678\n", "12\u{0}34", &"1".repeat(2000)] {
        write(0o600, content);
        refused(file(), PinError::NotAPin);
    }
    refused(PinSource::File(fixture.folder.clone()), PinError::Unreadable);
    refused(PinSource::File(fixture.folder.join("nothing")), PinError::Unreadable);
    refused(PinSource::Environment("TASKSEAL_NOT_SET".to_owned()), PinError::NotSet);
    refused(PinSource::Credential("pin".to_owned()), PinError::NoCredentials);
    refused(PinSource::Descriptor(999), PinError::Unreadable);
    // Every program that is started from here could read it too.
    write(0o600, PIN);
    let opened = fs::File::open(&path).unwrap();
    let descriptor = u32::try_from(opened.as_raw_fd()).unwrap();
    refused(PinSource::Descriptor(descriptor), PinError::StaysOpen);
    // Who owns it opens it whenever they like. Only root can give a file away.
    match chown(&path, Some(65_534), None) {
        Ok(()) => refused(file(), PinError::OfAnotherUser),
        Err(_) => support::did_not_run("the file of another user", "this is not root"),
    }
    assert_eq!(fixture.logins(), 0);

    for content in [format!("{PIN}\n"), PIN.to_owned(), format!("{PIN}\r\n")] {
        write(0o400, &content);
        let token = open(file()).unwrap();
        assert!(!format!("{token:?} {:?}", fixture.uri()).contains(PIN));
    }
    drop(open(PinSource::Environment("TASKSEAL_TEST_PIN".to_owned())).unwrap());
}

/// The descriptor is a pipe that gives its content once; recovery needs the PIN a second time.
fn a_pin_from_a_descriptor_is_kept_for_recovery(fixture: &Fixture) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(PIN.as_bytes()).unwrap();
    drop(writer);
    fixture.init();
    let source = PinSource::Descriptor(u32::try_from(reader.as_raw_fd()).unwrap());

    let token = Token::open(&fixture.uri().with_pin_source(source), Settings::new()).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    for fault in ["logout", "close_all"] {
        fixture.fault(fault, "");
        sign(&key, fault).unwrap();
    }
    assert_eq!(fixture.logins(), 3);
}

/// Documents the trap that the tests above are about.
fn while_logged_in_a_token_does_not_look_at_a_pin(fixture: &Fixture) {
    fixture.init();
    let session = fixture.raw_session();
    let wrong = session.login(UserType::User, Some(&AuthPin::from("00000000".to_owned())));
    assert!(matches!(wrong, Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _))), "{wrong:?}");
}

on_every_token! {
    two_tokens_with_one_label_are_not_guessed_between,
    a_token_that_cannot_describe_itself_is_no_hindrance_to_others,
    a_token_of_another_name_is_not_opened,
    a_wrong_pin_is_tried_once,
    a_wrong_pin_that_was_never_asked_for_is_tried_once_at_the_next_login,
    a_changed_pin_is_tried_once_by_recovery,
    the_last_attempt_is_left_to_a_human,
    recovery_does_not_make_the_last_attempt_either,
    pins_come_from_private_places_only,
    a_pin_from_a_descriptor_is_kept_for_recovery,
    while_logged_in_a_token_does_not_look_at_a_pin,
}
