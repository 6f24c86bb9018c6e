//! Logins that fail in unclear ways, at the same time, or never end: no attempt too many, and nobody shut out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::{Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use support::{Fixture, PIN, eventually, on_every_token, second, sign, wait_for};
use taskseal_hsm::{EcKey, Error, Pin, PinError, PinSource, Settings, State, Token, TokenUri, Usage};

fn wrong() -> Settings {
    Settings::new().pin(Pin::new("00000000").unwrap())
}

/// CKR_DEVICE_ERROR: the PIN may have been compared or not.
fn a_login_that_fails_in_an_unclear_way_is_tried_twice_and_no_more(fixture: &Fixture) {
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
    assert_eq!(fixture.logins(), 2, "an operator has to look first");
}

fn recovery_tries_a_login_that_fails_in_an_unclear_way_twice_and_no_more(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    // CKR_GENERAL_ERROR.
    fixture.fault("every.C_Login", "0x5");
    fixture.fault("logout", "");

    wait_for("it is given up", || {
        let _ = sign(&key, "after");
        token.health().state == State::Failed
    });
    assert!(matches!(sign(&key, "after"), Err(Error::LoginFailed(_))));
    assert_eq!(fixture.logins(), 1 + 2);
}

/// One failure is nothing to give up for, and a login makes up for it.
fn a_login_that_fails_now_and_then_is_made_up_for(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for _ in 0..3 {
        fixture.fault("rv.C_Login", "0x30");
        fixture.fault("logout", "");
        eventually(|| sign(&key, "after"));
        assert!(!fixture.has("rv.C_Login"), "it did not happen");
    }
    assert_eq!(fixture.logins(), 1 + 3 * 2);
}

/// CKR_PIN_LEN_RANGE. Whether the token counts that is its own affair.
fn a_pin_of_a_length_that_is_refused_is_tried_once(fixture: &Fixture) {
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

fn a_failure_that_the_token_has_counted_is_a_refused_pin_whatever_its_code(fixture: &Fixture) {
    fixture.init();
    fixture.fault("every.C_Login", "0x30");
    fixture.fault("counted", "0x10000");

    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::AuthFailed { count_low: true })), "{refused:?}");
    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::LockedOut)), "{refused:?}");
    assert_eq!(fixture.logins(), 1);
}

/// CKF_USER_PIN_COUNT_LOW was set before, so that nobody can see whether this one was counted.
fn an_unclear_failure_after_wrong_pins_is_the_last_one(fixture: &Fixture) {
    fixture.init();
    fixture.fault("flags", "0x10000");
    fixture.fault("every.C_Login", "0x30");

    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::LoginFailed(_))), "{refused:?}");
    assert_eq!(fixture.logins(), 1);
}

/// Both have looked whether they may before either has tried, and neither gets the library to itself.
fn two_tokens_of_one_device_make_one_attempt_between_them(fixture: &Fixture) {
    let token = fixture.open(Settings::new().timeout(Duration::from_secs(60)));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("hang", "");
    thread::scope(|scope| {
        let hanging = scope.spawn(|| sign(&key, "hangs"));
        wait_for("somebody is inside", || fixture.has("hanging"));
        fixture.raw_session().logout().unwrap();
        let before = fixture.logins();
        fixture.fault("delay_login", "1000");

        let opening = [(); 2].map(|()| scope.spawn(|| Token::open(&fixture.uri(), wrong())));
        let refused = opening.map(|one| one.join().unwrap().err().unwrap());

        assert_eq!(fixture.logins(), before + 1, "{refused:?}");
        assert!(refused.iter().any(|error| matches!(error, Error::AuthFailed { .. })), "{refused:?}");
        fixture.mend("hanging");
        drop(hanging.join());
    });
}

fn a_login_that_hangs_keeps_nobody_out_of_another_token(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    second(fixture, "other");
    let other = TokenUri::parse("pkcs11:token=other").unwrap().with_module_path(&fixture.module);
    let settings = || Settings::new().pin(Pin::new("99999999").unwrap());
    fixture.fault("hang_login", "");

    thread::scope(|scope| {
        let opening = scope.spawn(|| Token::open(&other, settings()));
        wait_for("the login hangs", || fixture.has("hanging_login"));
        for _ in 0..20 {
            sign(&key, "beside").unwrap();
        }
        assert!(fixture.has("hanging_login"));
        // Nor does it let anybody show the PIN a second time.
        let logins = fixture.logins();
        assert!(Token::open(&other, settings()).is_err());
        assert_eq!(fixture.logins(), logins);
        fixture.mend("hanging_login");
        drop(opening.join().unwrap());
    });
    sign(&key, "after").unwrap();
}

fn a_pin_that_is_waited_for_keeps_nobody_out(fixture: &Fixture) {
    // Less than a login would keep others out.
    let token = fixture.open(Settings::new().timeout(Duration::from_millis(1500)));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    second(fixture, "other");
    let other = TokenUri::parse("pkcs11:token=other").unwrap().with_module_path(&fixture.module);
    let (reader, mut writer) = pipe().unwrap();
    let source = PinSource::Descriptor(u32::try_from(reader.as_raw_fd()).unwrap());
    let uri = other.clone().with_pin_source(source);

    let sessions = fixture.calls("C_OpenSession").len();
    thread::scope(|scope| {
        let opening = scope.spawn(|| Token::open(&uri, Settings::new()));
        wait_for("it has a session", || fixture.calls("C_OpenSession").len() > sessions);
        // Long enough to get from there to the login.
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            sign(&key, "beside").unwrap();
        }
        assert!(!opening.is_finished());
        writer.write_all(b"99999999").unwrap();
        drop(writer);
        drop(opening.join().unwrap().unwrap());
    });

    // A file that is none has no PIN, and nobody waits for somebody who writes into it.
    let fifo = fixture.folder.join("fifo");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&fifo).status().unwrap().success());
    let refused = Token::open(&other.with_pin_source(PinSource::File(fifo)), Settings::new());
    assert!(matches!(refused, Err(Error::Pin(PinError::Unreadable))), "{refused:?}");
}

/// Its file is away for a while. No library brings it back, and others are at work with this one.
fn a_pin_that_cannot_be_read_is_looked_for_again_and_the_library_is_left_alone(fixture: &Fixture) {
    let pin = fixture.folder.join("pin");
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&pin).unwrap();
        file.write_all(PIN.as_bytes()).unwrap();
    };
    write();
    fixture.init();
    let uri = fixture.uri().with_pin_source(PinSource::File(pin.clone()));
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let settings = Settings::new().observer(move |event| seen.lock().unwrap().push(event.to_string()));
    let token = Token::open(&uri, settings).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for (number, loss) in [("logout", ""), ("rv.C_SignInit", "0x30")].into_iter().enumerate() {
        fs::remove_file(&pin).unwrap();
        fixture.fault(loss.0, loss.1);
        wait_for("it is lost", || sign(&key, "lost").is_err());
        let before = token.health().login_recoveries;
        wait_for("it is tried several times", || token.health().login_recoveries >= before + 2);
        let health = token.health();
        assert!(matches!(health.reason, Some(Error::Pin(PinError::Unreadable))), "{health:?}");
        // Once for the device that was lost, in the second round.
        assert_eq!(fixture.calls("C_Initialize").len(), 1 + number);
        assert_eq!(fixture.logins(), 1 + number, "nothing is shown to it");
        write();
        eventually(|| sign(&key, "back"));
        assert!(!fixture.has(loss.0), "it did not happen");
    }
    let events = events.lock().unwrap();
    let down = events.iter().filter(|event| event.starts_with("token down: ")).count();
    assert_eq!(down, 2, "{events:?}");
}

fn a_token_in_the_place_of_another_is_not_shown_its_pin(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("serial", "4711");

    fixture.fault("logout", "");
    wait_for("it is not used", || {
        assert!(sign(&key, "lost").is_err());
        matches!(token.health().reason, Some(Error::TokenChanged))
    });
    assert_eq!((fixture.logins(), token.health().state), (1, State::Down));
    fixture.mend("serial");
    eventually(|| sign(&key, "back"));
}

/// A number that meant one key before a login may mean another one after it. Both have to log in again; it is the
/// other one's login.
fn a_handle_of_before_a_login_is_not_used_after_it(fixture: &Fixture) {
    let one = fixture.open(Settings::new());
    let two = Token::open(&fixture.uri(), Settings::new()).unwrap();
    let key = EcKey::generate(&one, Usage::Sign, "orders").unwrap();
    let same = EcKey::load(&two, &taskseal_hsm::KeySelector::kid(key.kid()), Usage::Sign).unwrap();
    sign(&same, "before").unwrap();
    let old = *fixture.calls("C_SignInit").last().unwrap();

    fixture.fault("logout", "");
    sign(&key, "logs in").unwrap();
    let calls = fixture.calls("C_SignInit").len();
    sign(&same, "after").unwrap();

    assert_eq!(fixture.logins(), 2);
    assert_eq!(two.health().login_recoveries, 1, "it did not look for its key");
    if fixture.kind == support::Kind::SoftHsm {
        assert!(!fixture.calls("C_SignInit")[calls..].contains(&old), "it used the handle of before");
    }
}

on_every_token! {
    a_login_that_fails_in_an_unclear_way_is_tried_twice_and_no_more,
    recovery_tries_a_login_that_fails_in_an_unclear_way_twice_and_no_more,
    a_login_that_fails_now_and_then_is_made_up_for,
    a_pin_of_a_length_that_is_refused_is_tried_once,
    a_failure_that_the_token_has_counted_is_a_refused_pin_whatever_its_code,
    an_unclear_failure_after_wrong_pins_is_the_last_one,
    two_tokens_of_one_device_make_one_attempt_between_them,
    a_login_that_hangs_keeps_nobody_out_of_another_token,
    a_pin_that_is_waited_for_keeps_nobody_out,
    a_pin_that_cannot_be_read_is_looked_for_again_and_the_library_is_left_alone,
    a_token_in_the_place_of_another_is_not_shown_its_pin,
    a_handle_of_before_a_login_is_not_used_after_it,
}
