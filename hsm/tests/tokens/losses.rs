//! Lost sessions, logins, handles, libraries and slots, which are recovered.

use std::{fs, thread};

use taskseal_core::Secret;
use taskseal_core::keys::AgreementKey;
use taskseal_hsm::{EcKey, Error, KeySelector, MacKey, Settings, TokenState, Usage, WrappingKey};

use crate::support::{Fixture, Kind, eventually, on_every_token, on_softhsm, sign, wait_for};

fn a_lost_session_is_replaced_without_a_login(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for code in ["0xb3", "0xb0", "0x90", "0x91"] {
        fixture.fault("rv.C_SignInit", code);
        sign(&key, code).unwrap();
        assert!(!fixture.has("rv.C_SignInit"), "{code} did not happen");
    }

    let health = token.health();
    assert_eq!((health.session_recoveries, health.login_recoveries, health.library_recoveries), (4, 0, 0));
    assert_eq!(fixture.logins(), 1);
}

fn a_lost_session_leaves_no_other_sessions_open(fixture: &Fixture) {
    let token = fixture.open(Settings::new().max_sessions(4));
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let open = || fixture.calls("C_OpenSession").len() - fixture.calls("C_CloseSession").len();
    let all_at_once = || {
        fixture.fault("delay", "20");
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| eventually(|| sign(&key, "text")));
            }
        });
        fixture.mend("delay");
    };
    all_at_once();

    for lost in 1..=4 {
        // The session is reported as lost, and is not closed.
        fixture.fault("rv.C_SignInit", "0xb3");
        sign(&key, "lost").unwrap();
        all_at_once();
        // Recovery logs in with the session of the connection.
        fixture.fault("logout", "");
        sign(&key, "logged out").unwrap();
        all_at_once();
        let limit = token.health().pool_size + 1 + lost;
        wait_for("sessions are closed", || open() <= limit);
    }
}

fn a_login_is_repeated_and_handles_are_found_again(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "before").unwrap();

    for (loss, logins) in [("close_all", 2), ("logout", 3), ("close_all", 4)] {
        let before = *fixture.calls("C_SignInit").last().unwrap();
        fixture.fault(loss, "");
        sign(&key, "after").unwrap();
        assert!(!fixture.has(loss), "the fault did not occur");
        let after = *fixture.calls("C_SignInit").last().unwrap();
        if fixture.kind == Kind::SoftHsm {
            assert_ne!(before, after, "the handle did not change with {loss}");
        }
        assert_eq!(fixture.logins(), logins);
    }
    let health = token.health();
    assert_eq!((health.login_recoveries, health.library_recoveries), (3, 0), "{health:?}");
    assert_eq!(health.state, TokenState::Up);
}

fn key_agreement_works_after_a_loss(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Agree, "orders").unwrap();
    let host = AgreementKey::from_scalar(&Secret::copy_from(&[7; 32])).unwrap();
    let before = key.agree(&host.public_key()).unwrap();

    for (fault, content) in
        [("close_all", ""), ("logout", ""), ("rv.C_DeriveKey", "0xb3"), ("rv.C_DeriveKey", "0x30")]
    {
        fixture.fault(fault, content);
        let after = eventually(|| key.agree(&host.public_key()));
        assert!(!fixture.has(fault), "the fault did not occur");
        assert_eq!(before.as_bytes(), after.as_bytes());
    }
}

fn symmetric_keys_work_after_a_loss(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let signing = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let mac = MacKey::generate(&token, "shared").unwrap();
    let kek = WrappingKey::generate(&token, "files").unwrap();
    let (tag, wrapped) = (mac.mac(b"text").unwrap(), kek.wrap(&Secret::copy_from(&[9; 32])).unwrap());

    for (fault, content) in [("close_all", ""), ("logout", ""), ("rv.C_SignInit", "0x30")] {
        fixture.fault(fault, content);
        eventually(|| sign(&signing, "text"));
        assert!(!fixture.has(fault), "the fault did not occur");
        assert_eq!(eventually(|| mac.mac(b"text")), tag);
        assert_eq!(eventually(|| kek.unwrap(&wrapped)).as_bytes(), &[9; 32]);
    }
}

fn a_library_that_lost_its_device_is_initialised_again(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    for (number, code) in ["0x30", "0x32", "0xe0", "0x190", "0x6", "0x31", "0xb1"].into_iter().enumerate() {
        fixture.fault("rv.C_SignInit", code);
        let first = sign(&key, code);
        assert!(matches!(first, Err(Error::Transient { .. })), "{code}: {first:?}");
        eventually(|| sign(&key, code));
        assert_eq!(fixture.calls("C_Initialize").len(), number + 2, "{code}");
    }
    assert_eq!(token.health().library_recoveries, 7);
    assert_eq!(fixture.logins(), 8);
}

fn an_error_of_the_call_itself_causes_no_recovery(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    // CKR_GENERAL_ERROR while the session answers, CKR_MECHANISM_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_DATA_INVALID.
    for code in ["0x5", "0x70", "0x68", "0x20"] {
        fixture.fault("rv.C_SignInit", code);
        let refused = sign(&key, code);
        assert!(
            matches!(refused, Err(Error::Token(_) | Error::Unsupported("CKM_ECDSA"))),
            "{code}: {refused:?}"
        );
        sign(&key, code).unwrap();
    }
    let health = token.health();
    assert_eq!((health.session_recoveries, health.login_recoveries, health.library_recoveries), (0, 0, 0));
}

fn a_token_whose_slot_number_changed_is_found(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    // Every stored slot number is invalid now, which shows when a session is opened.
    fixture.fault("slot_offset", "1000");
    fixture.fault("close_all", "");
    eventually(|| sign(&key, "moved"));
    fixture.fault("slot_offset", "2000");
    fixture.fault("rv.C_SignInit", "0x32");
    eventually(|| sign(&key, "moved again"));
    assert_eq!(token.health().state, TokenState::Up);
}

/// SoftHSM stores a token in a folder, which can be moved. Kryoptic keeps its file open.
fn a_token_that_was_missing_is_used_again(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let (folder, moved) = (fixture.folder.join("tokens"), fixture.folder.join("moved"));

    for _ in 0..3 {
        fs::rename(&folder, &moved).unwrap();
        fs::create_dir(&folder).unwrap();
        wait_for("the loss is detected", || sign(&key, "away").is_err());
        wait_for("the token is down", || token.health().state == TokenState::Down);
        let refused = sign(&key, "away");
        assert!(matches!(refused, Err(Error::Transient { .. })), "{refused:?}");
        fs::remove_dir(&folder).unwrap();
        fs::rename(&moved, &folder).unwrap();
        eventually(|| sign(&key, "back"));
    }
    assert_eq!(fixture.logins(), 4);
}

fn a_key_can_be_loaded_after_a_loss(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    EcKey::generate(&token, Usage::Sign, "orders").unwrap();

    fixture.fault("close_all", "");
    let key = EcKey::load(&token, &KeySelector::label("orders"), Usage::Sign).unwrap();
    sign(&key, "text").unwrap();
}

on_every_token! {
    a_lost_session_is_replaced_without_a_login,
    a_lost_session_leaves_no_other_sessions_open,
    a_login_is_repeated_and_handles_are_found_again,
    key_agreement_works_after_a_loss,
    symmetric_keys_work_after_a_loss,
    a_library_that_lost_its_device_is_initialised_again,
    an_error_of_the_call_itself_causes_no_recovery,
    a_token_whose_slot_number_changed_is_found,
    a_key_can_be_loaded_after_a_loss,
}

on_softhsm! {
    a_token_that_was_missing_is_used_again,
}
