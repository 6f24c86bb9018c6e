//! Which token is opened, and how often a PIN is tried.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use taskseal_hsm::{EcKey, Error, LoginRule, Module, Pin, Settings, Token, TokenState, TokenUri, Usage};

use crate::support::raw::init_second_token;
use crate::support::{Fixture, Kind, LABEL, PIN, SO_PIN, eventually, on_every_token, sign, wait_for};

fn pin(text: &str) -> Pin {
    Pin::new(text).unwrap()
}

fn two_tokens_with_one_label_are_ambiguous(fixture: &Fixture) {
    fixture.init();
    let module = Module::load(&fixture.module).unwrap();
    let refused = module.init_token(LABEL, &pin(SO_PIN), &pin(PIN));
    assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    let serial = module.tokens().unwrap().into_iter().find(|token| token.label == LABEL).unwrap().serial;
    init_second_token(fixture, LABEL);

    let refused = Token::open(&fixture.uri(), Settings::new());
    assert!(matches!(refused, Err(Error::Ambiguous { what: "tokens", count: 2 })), "{refused:?}");
    assert_eq!(fixture.logins(), 0, "a token was logged in to");

    let text = format!("pkcs11:token={LABEL};serial={serial}?pin-source=env:TASKSEAL_TEST_PIN");
    let uri = TokenUri::parse(&text).unwrap().with_module_path(&fixture.module);
    let token = Token::open(&uri, Settings::new()).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("rv.C_SignInit", "0x30");
    eventually(|| sign(&key, "after"));
}

fn a_token_that_cannot_describe_itself_does_not_affect_others(fixture: &Fixture) {
    fixture.init();
    init_second_token(fixture, "another");
    fixture.fault("broken", "another");

    let token = Token::open(&fixture.uri(), Settings::new()).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("rv.C_SignInit", "0x30");
    eventually(|| sign(&key, "after"));
}

fn a_description_that_fails_once_is_asked_for_again(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    // CKR_GENERAL_ERROR
    fixture.fault("rv.C_GetTokenInfo", "0x5");
    assert_eq!(token.description().unwrap().label, LABEL);
    fixture.fault("rv.C_GetTokenInfo", "0x5");
    drop(Token::open(&fixture.uri(), Settings::new()).unwrap());
}

fn a_token_with_another_name_is_not_opened(fixture: &Fixture) {
    fixture.init();
    for name in
        ["token=other", "token=plant;serial=1", "token=plant;manufacturer=none", "token=plant;model=none"]
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
    for _ in 0..3 {
        let refused = Token::open(&fixture.uri(), Settings::new().pin(pin("00000000")));
        assert!(matches!(refused, Err(Error::LockedOut)), "{refused:?}");
    }
    assert_eq!(fixture.logins(), 1);
    let counted = Module::load(&fixture.module).unwrap().tokens().unwrap();
    if fixture.kind == Kind::SoftHsm {
        assert!(counted.iter().any(|token| token.label == LABEL && token.pin_count_low));
    }
    // Another PIN is tried once.
    Token::open(&fixture.uri(), Settings::new()).unwrap();
    assert_eq!(fixture.logins(), 2);
}

fn a_pin_is_not_sent_where_the_settings_allow_no_login(fixture: &Fixture) {
    fixture.init();
    let refused = Token::open(&fixture.uri(), Settings::new().login_rule(LoginRule::Never));
    assert!(matches!(refused, Err(Error::LoginOmitted)), "{refused:?}");
    let unreadable = fixture.uri().with_pin_source("env:TASKSEAL_TEST_NO_PIN".parse().unwrap());
    let refused = Token::open(&unreadable, Settings::new().login_rule(LoginRule::Never));
    assert!(matches!(refused, Err(Error::Pin(_))), "{refused:?}");
    assert_eq!(fixture.logins(), 0);

    Token::open(&fixture.uri(), Settings::new().login_rule(LoginRule::UnlessCounted)).unwrap();
    assert_eq!(fixture.logins(), 1);
}

fn a_token_that_has_counted_a_wrong_pin_gets_no_pin_where_the_settings_forbid_it(fixture: &Fixture) {
    if fixture.kind != Kind::SoftHsm {
        // The other token reports no wrong PIN.
        return;
    }
    fixture.init();
    let (pkcs11, slot) = fixture.raw();
    let other = pkcs11.open_ro_session(slot).unwrap();
    assert!(other.login(UserType::User, Some(&AuthPin::from("00000000".to_owned()))).is_err());
    drop(other);
    let logins = fixture.logins();

    for rule in [LoginRule::UnlessCounted, LoginRule::Never] {
        let refused = Token::open(&fixture.uri(), Settings::new().login_rule(rule));
        assert!(matches!(refused, Err(Error::PinCounted)), "{rule:?}: {refused:?}");
    }
    assert_eq!(fixture.logins(), logins);

    // A login resets the count.
    Token::open(&fixture.uri(), Settings::new()).unwrap();
    Token::open(&fixture.uri(), Settings::new().login_rule(LoginRule::UnlessCounted)).unwrap();
}

/// CKR_USER_ALREADY_LOGGED_IN is returned before the PIN is compared.
fn a_wrong_pin_that_was_not_compared_is_tried_once_at_the_next_login(fixture: &Fixture) {
    fixture.init();
    let held = fixture.raw_session();
    let token = Token::open(&fixture.uri(), Settings::new().pin(pin("00000000"))).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    sign(&key, "before").unwrap();
    let logins = fixture.logins();
    assert_eq!(logins, 1, "only the other component has logged in");

    held.logout().unwrap();
    wait_for("the lost login is detected", || sign(&key, "after").is_err());
    wait_for("recovery has failed", || token.health().state == TokenState::Failed);
    for _ in 0..5 {
        let refused = sign(&key, "later");
        assert!(matches!(refused, Err(Error::LockedOut)), "{refused:?}");
    }
    assert_eq!(fixture.logins(), logins + 1);
}

fn a_changed_pin_is_tried_once_by_recovery_and_the_corrected_one_is_tried_on_request(fixture: &Fixture) {
    fixture.init();
    let file = fixture.folder.join("pin");
    let write = |pin: &str| {
        fs::write(&file, pin).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(PIN);
    let source = format!("file:{}", file.display()).parse().unwrap();
    let token = Token::open(&fixture.uri().with_pin_source(source), Settings::new()).unwrap();
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    let (old, new) = (AuthPin::from(PIN.to_owned()), AuthPin::from("16180339".to_owned()));
    fixture.raw_session().set_pin(&old, &new).unwrap();
    sign(&key, "the login still holds").unwrap();
    let logins = fixture.logins();

    fixture.fault("rv.C_SignInit", "0x30");
    wait_for("recovery has failed", || {
        let _ = sign(&key, "after");
        token.health().state == TokenState::Failed
    });
    assert!(matches!(sign(&key, "after"), Err(Error::LockedOut)));
    assert_eq!(fixture.logins(), logins + 1);

    // The source has the same PIN.
    for _ in 0..3 {
        token.retry_with_changed_pin();
        assert!(matches!(sign(&key, "again"), Err(Error::LockedOut)));
    }
    assert_eq!(fixture.logins(), logins + 1);
    write("16180339");
    token.retry_with_changed_pin();
    wait_for("the token is up", || sign(&key, "corrected").is_ok());
    assert_eq!(fixture.logins(), logins + 2);
}

fn the_last_attempt_is_left_to_an_operator(fixture: &Fixture) {
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
    // CKF_USER_PIN_COUNT_LOW permits a login, and is reported.
    fixture.fault("flags", "0x10000");
    let token = Token::open(&fixture.uri(), Settings::new()).unwrap();
    assert!(token.health().pin_count_low);
}

fn recovery_does_not_make_the_last_attempt(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let key = EcKey::generate(&token, Usage::Sign, "orders").unwrap();
    fixture.fault("flags", "0x20000");

    fixture.fault("logout", "");
    let refused = sign(&key, "after");
    assert!(matches!(refused, Err(Error::FinalTry)), "{refused:?}");
    assert_eq!((fixture.logins(), token.health().state), (1, TokenState::Failed));
}

/// Documents the behaviour that the tests above depend on.
fn a_token_that_is_logged_in_does_not_compare_a_pin(fixture: &Fixture) {
    fixture.init();
    let session = fixture.raw_session();
    let wrong = session.login(UserType::User, Some(&AuthPin::from("00000000".to_owned())));
    assert!(matches!(wrong, Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _))), "{wrong:?}");
}

on_every_token! {
    two_tokens_with_one_label_are_ambiguous,
    a_token_that_cannot_describe_itself_does_not_affect_others,
    a_description_that_fails_once_is_asked_for_again,
    a_token_with_another_name_is_not_opened,
    a_wrong_pin_is_tried_once,
    a_pin_is_not_sent_where_the_settings_allow_no_login,
    a_token_that_has_counted_a_wrong_pin_gets_no_pin_where_the_settings_forbid_it,
    a_wrong_pin_that_was_not_compared_is_tried_once_at_the_next_login,
    a_changed_pin_is_tried_once_by_recovery_and_the_corrected_one_is_tried_on_request,
    the_last_attempt_is_left_to_an_operator,
    recovery_does_not_make_the_last_attempt,
    a_token_that_is_logged_in_does_not_compare_a_pin,
}
