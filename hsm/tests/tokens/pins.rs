//! Where PINs are read, and what happens while they cannot be read.

use std::fs::{self, OpenOptions};
use std::io::{Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use taskseal_hsm::{EcKey, Error, PinError, PinSource, Settings, Token, TokenUri, Usage};

use crate::support::raw::init_second_token;
use crate::support::{Fixture, PIN, did_not_run, eventually, on_every_token, sign, wait_for};

fn a_pin_is_read_from_private_sources_only(fixture: &Fixture) {
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

    for mode in [0o604, 0o444] {
        write(mode, PIN);
        refused(file(), PinError::InsecurePermissions);
    }
    write(0o440, PIN);
    match chown(&path, None, Some(54_321)) {
        Ok(()) => refused(file(), PinError::InsecurePermissions),
        Err(_) => did_not_run("the file of another group", "not running as root"),
    }
    for content in ["", "\n", "12\u{0}34", &"1".repeat(2000)] {
        write(0o600, content);
        refused(file(), PinError::Invalid);
    }
    for (content, expected) in [
        (format!("\u{feff}{PIN}"), PinError::ByteOrderMark),
        (format!("{PIN}\n\n"), PinError::LineBreak),
        (format!("{PIN}\r\n\r\n"), PinError::LineBreak),
        (format!("\n{PIN}"), PinError::LineBreak),
        (format!("{PIN} \n"), PinError::Blank),
        (format!("\t{PIN}"), PinError::Blank),
    ] {
        write(0o600, &content);
        refused(file(), expected);
    }
    fs::write(&path, [0xff, 0xfe, b'1', 0, b'2', 0]).unwrap();
    refused(file(), PinError::Utf16);
    refused(PinSource::File(fixture.folder.clone()), PinError::Unreadable);
    refused(PinSource::File(fixture.folder.join("nothing")), PinError::Unreadable);
    refused(PinSource::Environment("TASKSEAL_NOT_SET".to_owned()), PinError::NotSet);
    refused(PinSource::Credential("pin".to_owned()), PinError::NoCredentials);
    refused(PinSource::Descriptor(999), PinError::Unreadable);
    // Every child process could read it too.
    write(0o600, PIN);
    let opened = fs::File::open(&path).unwrap();
    let descriptor = u32::try_from(opened.as_raw_fd()).unwrap();
    refused(PinSource::Descriptor(descriptor), PinError::InheritedFile);
    // Only root can change the owner of a file.
    match chown(&path, Some(65_534), None) {
        Ok(()) => refused(file(), PinError::WrongOwner),
        Err(_) => did_not_run("the file of another user", "not running as root"),
    }
    assert_eq!(fixture.logins(), 0);

    for (mode, content) in
        [(0o400, format!("{PIN}\n")), (0o440, PIN.to_owned()), (0o640, format!("{PIN}\r\n"))]
    {
        if mode & 0o040 != 0 && !rustix::process::geteuid().is_root() {
            write(mode, &content);
            refused(file(), PinError::InsecurePermissions);
            continue;
        }
        write(mode, &content);
        let token = open(file()).unwrap();
        assert!(!format!("{token:?} {:?}", fixture.uri()).contains(PIN));
    }
    drop(open(PinSource::Environment("TASKSEAL_TEST_PIN".to_owned())).unwrap());
}

/// A pipe can be read once, and recovery needs the PIN again.
fn a_pin_from_a_descriptor_is_kept_for_recovery(fixture: &Fixture) {
    let (reader, mut writer) = pipe().unwrap();
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

fn waiting_for_a_pin_does_not_block_other_tokens(fixture: &Fixture) {
    // Shorter than the time for which a login excludes other threads.
    let token = fixture.open(Settings::new().timeout(Duration::from_millis(1500)));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    init_second_token(fixture, "other");
    let other = TokenUri::parse("pkcs11:token=other").unwrap().with_module_path(&fixture.module);
    let (reader, mut writer) = pipe().unwrap();
    let source = PinSource::Descriptor(u32::try_from(reader.as_raw_fd()).unwrap());
    let uri = other.clone().with_pin_source(source);

    let sessions = fixture.calls("C_OpenSession").len();
    thread::scope(|scope| {
        let opening = scope.spawn(|| Token::open(&uri, Settings::new()));
        wait_for("the session is open", || fixture.calls("C_OpenSession").len() > sessions);
        // Long enough for the other thread to reach the login.
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            sign(&key, "meanwhile").unwrap();
        }
        assert!(!opening.is_finished());
        writer.write_all(b"99999999").unwrap();
        drop(writer);
        drop(opening.join().unwrap().unwrap());
    });

    // Opening a FIFO does not wait for a writer.
    let fifo = fixture.folder.join("fifo");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&fifo).status().unwrap().success());
    let refused = Token::open(&other.with_pin_source(PinSource::File(fifo)), Settings::new());
    assert!(matches!(refused, Err(Error::Pin(PinError::Unreadable))), "{refused:?}");
}

/// The file of the PIN is missing for a while. A restart would not help, and would affect other tokens.
fn an_unreadable_pin_is_read_again_without_a_restart_of_the_library(fixture: &Fixture) {
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
        wait_for("the token is lost", || sign(&key, "lost").is_err());
        let before = token.health().login_recoveries;
        wait_for("several attempts were made", || token.health().login_recoveries >= before + 2);
        let health = token.health();
        assert!(matches!(health.reason, Some(Error::Pin(PinError::Unreadable))), "{health:?}");
        // The second loss is that of the device, which needs one restart.
        assert_eq!(fixture.calls("C_Initialize").len(), 1 + number);
        assert_eq!(fixture.logins(), 1 + number, "a login was attempted without a PIN");
        write();
        eventually(|| sign(&key, "back"));
        assert!(!fixture.has(loss.0), "the fault did not occur");
    }
    let events = events.lock().unwrap();
    let down = events.iter().filter(|event| event.starts_with("token down: ")).count();
    assert_eq!(down, 2, "{events:?}");
}

on_every_token! {
    a_pin_is_read_from_private_sources_only,
    a_pin_from_a_descriptor_is_kept_for_recovery,
    waiting_for_a_pin_does_not_block_other_tokens,
    an_unreadable_pin_is_read_again_without_a_restart_of_the_library,
}
