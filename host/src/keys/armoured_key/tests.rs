use super::*;
use crate::file_security;
use crate::keys::testing::Folder;
use crate::keys::{Algorithm, KeyErrorKind};

#[test]
fn damaged_secret_is_refused_without_showing_it() {
    let place = KeyRef::new("env", "KEY", "env:KEY");
    for secret in ["hunter2", "aHVudGVyMmh1bnRlcjI=", "-----BEGIN hunter2-----", "\u{feff}", "====", ""] {
        let error = parse_secret(&place, secret.as_bytes()).unwrap_err();
        assert_eq!(error.kind, KeyErrorKind::Invalid, "{secret}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("aHVudGVy") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn secret_is_the_content_of_a_key_file_or_base64_of_it() {
    let folder = Folder::new();
    let kid = folder.key("a.key", Algorithm::Es256).kid();
    let pem = file_security::read(&folder.path("a.key")).unwrap().to_vec();
    let base64 = Base64::encode_string(&pem);
    let lines: Vec<&str> = base64.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect();
    let place = KeyRef::new("env", "KEY", "env:KEY");
    for secret in [pem, base64.clone().into(), lines.join("\r\n").into(), format!("{base64}\n").into()] {
        assert_eq!(parse_secret(&place, &secret).unwrap().kid(), kid);
    }
}

#[test]
fn key_file_itself_is_never_base64() {
    let folder = Folder::new();
    folder.key("a.key", Algorithm::Es256);
    let pem = file_security::read(&folder.path("a.key")).unwrap();
    let error = parse(&folder.path("b.key").into(), Base64::encode_string(&pem).as_bytes()).unwrap_err();
    assert!(error.message.starts_with("not a key in PEM armour"), "{error}");
}
