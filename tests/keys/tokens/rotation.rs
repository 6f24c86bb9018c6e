//! Keys and PINs of a token that change: several keys with one label, and a PIN that is corrected while a process runs.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use cryptoki::types::AuthPin;
use taskseal::keys::{
    KeyErrorKind, KeyRef, KeyStores, Keyring, KeyringError, SealingKey, SealingSource, pkcs11, public_text,
};
use taskseal_core::{Audience, Claims, ContentType, Issuer, KeyId, Kind, Suite, TaskId, TaskType};
use taskseal_hsm::{EcKey, Settings, Token, TokenState, Usage};
use taskseal_tests::on_every_token;
use taskseal_tests::token::{Fixture, LABEL, PIN};

const RETIRING: &str = "state = \"retiring\"\naccept_until = \"2100-01-01T00:00:00Z\"\n";

/// Returns the reference to the keys with the label `orders`, or with another query of the URI.
fn orders(fixture: &Fixture, pin_source: &str) -> KeyRef {
    let module = fixture.module.display();
    let uri = format!("pkcs11:token={LABEL};object=orders?module-path={module}&pin-source={pin_source}");
    KeyStores::default().parse(&uri, Path::new("taskseal.toml")).unwrap()
}

fn keyring(fixture: &Fixture, keys: &[(&EcKey, &str)]) -> Keyring {
    let entry = |(key, more): &(&EcKey, &str)| {
        let (kid, public) = (key.kid(), public_text(&key.public_point()));
        format!(
            "[[key]]\nkid = \"{kid}\"\nalg = \"ES256\"\nuse = \"task\"\npublic = \"{public}\"\n\
             issuers = [\"*\"]\ntypes = [\"*\"]\naudiences = [\"*\"]\n{more}\n"
        )
    };
    let file = fixture.folder.join("keyset.toml");
    fs::write(&file, keys.iter().map(entry).collect::<String>()).unwrap();
    Keyring::load(&file).unwrap()
}

fn sealing_key(keyring: &Keyring, place: KeyRef) -> Result<SealingKey, KeyringError> {
    keyring.sealing_key(&SealingSource::new(Suite::S, place), Kind::Task)
}

fn chosen(fixture: &Fixture, keys: &[(&EcKey, &str)]) -> Result<KeyId, String> {
    let key = sealing_key(&keyring(fixture, keys), orders(fixture, "env:TASKSEAL_TEST_PIN"));
    key.map(|key| key.kid()).map_err(|error| error.to_string())
}

fn of_several_keys_with_one_label_the_keyset_chooses_the_one_that_seals(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let [old, new] = [(); 2].map(|()| EcKey::generate_beside(&token, Usage::Sign, "orders").unwrap());
    let refused = chosen(fixture, &[(&old, RETIRING)]).unwrap_err();
    assert!(refused.contains(&format!("key {} is not in the keyset", new.kid())), "{refused}");
    let refused = chosen(fixture, &[(&old, ""), (&new, "")]).unwrap_err();
    assert!(refused.contains("alike"), "{refused}");

    assert_eq!(chosen(fixture, &[(&old, ""), (&new, "state = \"staged\"\n")]), Ok(old.kid()));
    assert_eq!(chosen(fixture, &[(&old, RETIRING), (&new, "")]), Ok(new.kid()));
}

fn every_agreement_key_with_one_label_decrypts(fixture: &Fixture) {
    let token = fixture.open(Settings::new());
    let signing = EcKey::generate_beside(&token, Usage::Sign, "orders").unwrap();
    let keys = [(); 2].map(|()| EcKey::generate_beside(&token, Usage::Agree, "orders").unwrap());
    let keyring = keyring(fixture, &[(&signing, "")]);
    let keyring = keyring.with_decryption_keys([orders(fixture, "env:TASKSEAL_TEST_PIN")]).unwrap();
    let mut expected = keys.map(|key| key.kid());
    expected.sort_unstable();
    assert_eq!(keyring.decryption_kids(), expected);
}

fn seal(key: &SealingKey) -> bool {
    let (issuer, audience) = (Issuer::new("shop").unwrap(), Audience::new("here/mail").unwrap());
    let claims =
        Claims::new(issuer, TaskType::new("a").unwrap(), audience, TaskId::from_bytes([1; 16])).issued_at(1);
    key.seal(&claims.expires_at(2), ContentType::OCTETS, b"").is_ok()
}

fn corrected_pin_is_used_when_the_keys_are_loaded_again(fixture: &Fixture) {
    fixture.init();
    let file = fixture.folder.join("pin");
    let write = |pin: &str| {
        fs::write(&file, pin).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(PIN);
    let generated =
        EcKey::generate(&Token::open(&fixture.uri(), Settings::new()).unwrap(), Usage::Sign, "orders")
            .unwrap();
    let keyring = keyring(fixture, &[(&generated, "")]);
    let place = orders(fixture, &format!("file:{}", file.display()));
    let key = sealing_key(&keyring, place.clone()).unwrap();
    assert!(seal(&key));
    let (old, new) = (AuthPin::from(PIN.to_owned()), AuthPin::from("16180339".to_owned()));
    fixture.raw_session().set_pin(&old, &new).unwrap();
    drop(generated);

    fixture.fault("rv.C_SignInit", "0x30");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !pkcs11::health().iter().any(|(_, health)| health.state == TokenState::Failed) {
        assert!(Instant::now() < deadline, "the token has not refused the former PIN");
        seal(&key);
    }
    let logins = fixture.logins();
    for _ in 0..3 {
        match sealing_key(&keyring, place.clone()).unwrap_err() {
            KeyringError::Key(error) => assert_eq!(error.kind, KeyErrorKind::PinRefused, "{error}"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(fixture.logins(), logins, "the refused PIN was sent again");
    write("16180339");
    assert!(seal(&sealing_key(&keyring, place).unwrap()));
    assert!(seal(&key), "a key that was opened before works again as well");
    assert_eq!(fixture.logins(), logins + 1);
}

on_every_token![
    of_several_keys_with_one_label_the_keyset_chooses_the_one_that_seals,
    every_agreement_key_with_one_label_decrypts,
    corrected_pin_is_used_when_the_keys_are_loaded_again,
];
