#![allow(clippy::unwrap_in_result, reason = "test code")]

use std::fs;
use std::path::Path;

use taskseal_core::Secret;
use taskseal_core::keys::SigningKey;

use crate::config::Config;
use crate::file_error::FileError;
use crate::keys::{KeyringError, public_text};

fn root(number: u8) -> String {
    let key = SigningKey::from_scalar(&Secret::copy_from(&[number; 32])).unwrap();
    public_text(&key.verifying_key().to_point())
}

fn load_in(folder: &Path, keys: &str) -> Result<Config, FileError> {
    let file = folder.join("taskseal.toml");
    fs::write(&file, format!("deployment = \"prod\"\n[keys]\n{keys}\n")).unwrap();
    Config::load(&file)
}

fn load(keys: &str) -> Result<Config, FileError> {
    load_in(tempfile::tempdir().unwrap().path(), keys)
}

#[track_caller]
fn assert_fault(keys: &str, field: &str, message: &str) {
    let fault = load(keys).unwrap_err();
    assert_eq!(fault.field.as_deref(), Some(field), "{fault}");
    assert!(fault.message.contains(message) && fault.hint.is_some(), "{fault}");
}

#[test]
fn fields_of_a_signed_keyset_need_pinned_roots() {
    for field in
        ["name = \"a\"", "shared = [\"mac.key\"]", "keyset_url = \"broker:\"", "keyset_ca_file = \"ca.crt\""]
    {
        let name = field.split(' ').next().unwrap();
        assert_fault(field, &format!("keys.{name}"), "applies to a signed keyset only");
    }
    assert_fault("keyset = \"keyset.cose\"", "keys.keyset", "needs a pinned root");
}

#[test]
fn roots_that_are_invalid_equal_or_too_many_are_refused() {
    let (one, two, three) = (root(1), root(2), root(3));
    assert_fault("roots = [\"BD\"]", "keys.roots", "not a public key");
    let off_the_curve = format!("{}A", &one[..86]);
    assert_fault(&format!("roots = [\"{off_the_curve}\"]"), "keys.roots", "not a point on P-256");
    for roots in
        [String::new(), format!("\"{one}\", \"{one}\""), format!("\"{one}\", \"{two}\", \"{three}\"")]
    {
        assert_fault(&format!("roots = [{roots}]"), "keys.roots", "expected one root, or two that differ");
    }
}

#[test]
fn carrier_must_be_the_redis_of_the_broker_or_a_web_server() {
    let roots = format!("roots = [\"{}\"]", root(1));
    for url in ["", "broker", "redis://h", "file:keyset.cose"] {
        let keys = format!("{roots}\nkeyset_url = \"{url}\"\n[broker]\nurl = \"redis://localhost\"");
        assert_fault(&keys, "keys.keyset_url", "not the URL of a keyset");
    }
    let in_clear = format!("{roots}\nkeyset_url = \"http://h/keyset.cose\"");
    assert_fault(&in_clear, "keys.keyset_url", "http: is for servers on this machine");
    assert!(load(&format!("{in_clear}\nkeyset_allow_http = true")).unwrap().keyset_carrier.is_some());
    assert_fault(&format!("{roots}\nkeyset_url = \"broker:\""), "keys.keyset_url", "the broker is a file");
    let redis = format!("{roots}\nkeyset_url = \"broker:\"\n[broker]\nurl = \"redis://localhost\"");
    assert!(load(&redis).unwrap().keyset_carrier.is_some());
}

#[test]
fn signed_keyset_without_pinned_roots_says_what_to_pin() {
    let folder = tempfile::tempdir().unwrap();
    let config = load_in(folder.path(), "keyset = \"keyset\"").unwrap();
    fs::write(folder.path().join("keyset"), [0xd2, 0x84, 0x58]).unwrap();
    let KeyringError::File(error) = config.keyring().unwrap_err() else { panic!("another error") };
    assert!(error.message.contains("is a signed keyset, and no root is pinned"), "{error}");
    assert!(error.hint.as_deref().unwrap().contains("roots = ["));
}

#[test]
fn name_is_by_default_that_of_the_deployment_and_the_file_keyset_cose() {
    let folder = tempfile::tempdir().unwrap();
    let roots = format!("roots = [\"{}\", \"{}\"]", root(1), root(2));
    let config = load_in(folder.path(), &roots).unwrap();
    let signed = config.signed_keyset.unwrap();
    assert_eq!((signed.name(), signed.roots().count()), ("prod", 2));
    let file = folder.path().join("keyset.cose");
    assert_eq!((&signed.file, &config.keyset), (&file, &file));
    assert_eq!(signed.state_dir, folder.path().join("state"));

    let more = format!("{roots}\nkeyset = \"k\"\nname = \"plant\"\nshared = [\"keys/mac.key\"]");
    let signed = load_in(folder.path(), &more).unwrap().signed_keyset.unwrap();
    assert_eq!((signed.name(), &signed.file), ("plant", &folder.path().join("k")));
    assert_eq!(signed.shared, [folder.path().join("keys/mac.key").into()]);
}
