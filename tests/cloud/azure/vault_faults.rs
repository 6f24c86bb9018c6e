//! Faults of a vault: each one is a clear error, and only the transient ones are repeated.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use taskseal::keys::{KeyErrorKind, KeyUsage};

use super::vault_server::{SECRET, VaultServer, error};
use crate::contract::Reply;
use crate::{BRIEF, HASTY, PATIENT};

#[test]
fn key_of_another_type_is_refused_at_opening() {
    for (kty, crv) in [("RSA", ""), ("EC", "P-384"), ("EC", "P-256K"), ("oct", "")] {
        let server = VaultServer::start();
        let mut vault = server.vault();
        (vault.kty, vault.crv) = (kty, crv);
        drop(vault);

        let fault = server.signer("keys/shop", PATIENT).unwrap_err();

        assert_eq!(fault.kind, KeyErrorKind::Invalid);
        assert!(fault.message.contains(&format!("found {kty}")), "{fault}");
    }
}

#[test]
fn key_secret_or_version_that_does_not_exist_is_not_found() {
    let server = VaultServer::start();
    for path in ["keys/other", "keys/shop/v9", "secrets/other", "secrets/shop/s9"] {
        assert_eq!(
            server.open(path, KeyUsage::Sign, PATIENT).unwrap_err().kind,
            KeyErrorKind::NotFound,
            "{path}"
        );
    }
}

#[test]
fn secret_that_is_not_a_key_file_is_refused_and_not_shown() {
    let server = VaultServer::start();
    let fault = server.open("secrets/shop", KeyUsage::Sign, PATIENT).unwrap_err();
    assert_eq!(fault.kind, KeyErrorKind::Invalid);
    assert!(!format!("{fault:?}").contains(SECRET));
}

#[test]
fn key_that_is_disabled_or_not_permitted_is_an_error_at_once() {
    let server = VaultServer::start();
    for (inner, kind) in [
        (Some("KeyDisabled"), KeyErrorKind::Unavailable),
        (Some("ForbiddenByRbac"), KeyErrorKind::CredentialsRefused),
        (None, KeyErrorKind::CredentialsRefused),
    ] {
        let token = Reply::json(
            200,
            &json!({ "access_token": "token1", "expires_in": "3599", "token_type": "Bearer" }),
        );
        server.contract.reply_next([token, error(403, "Forbidden", inner)]);

        let fault = server.signer("keys/shop", PATIENT).unwrap_err();

        assert_eq!(fault.kind, kind, "{fault}");
        assert_eq!(server.paths().len(), 2);
    }
}

#[test]
fn disabled_secret_is_recognised_in_both_spellings_of_its_error() {
    let server = VaultServer::start();
    let stores = server.stores(PATIENT);
    let secret = stores.parse(&server.uri("secrets/shop"), Path::new("taskseal.toml")).unwrap();
    stores.fetch(&secret).unwrap();
    for name in ["innererror", "innerError"] {
        let disabled =
            json!({ "error": { "code": "Forbidden", "message": "no", name: { "code": "SecretDisabled" } } });
        server.contract.reply_next([Reply::json(403, &disabled)]);
        assert_eq!(stores.fetch(&secret).unwrap_err().kind, KeyErrorKind::Unavailable, "{name}");
    }
}

#[test]
fn wrong_client_secret_is_an_error_at_once_that_shows_no_secret() {
    let server = VaultServer::start();
    let refused = json!({ "error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided." });
    server.contract.reply_next([Reply::json(401, &refused)]);

    let fault = server.signer("keys/shop", PATIENT).unwrap_err();

    assert_eq!(fault.kind, KeyErrorKind::CredentialsRefused);
    assert!(fault.message.contains("AADSTS7000215"), "{fault}");
    assert!(!format!("{fault:?}").contains("secret&77"));
    assert_eq!(server.paths().len(), 1);
}

#[test]
fn access_token_that_expired_is_replaced_once() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", PATIENT).unwrap();
    server.vault().token = "token2".to_owned();
    server.paths();

    signer.sign_digest(&[1; 32]).unwrap();

    let sign = "/keys/shop/v7/sign?api-version=7.4";
    assert_eq!(server.paths(), [sign, "/tenant/oauth2/v2.0/token", sign]);
}

#[test]
fn access_token_that_is_refused_twice_is_an_error() {
    let server = VaultServer::start();
    let token =
        || Reply::json(200, &json!({ "access_token": "wrong", "expires_in": 3599, "token_type": "Bearer" }));
    let refused = || error(401, "Unauthorized", None);
    server.contract.reply_next([token(), refused(), token(), refused()]);

    let fault = server.signer("keys/shop", PATIENT).unwrap_err();

    assert_eq!(fault.kind, KeyErrorKind::CredentialsRefused, "{fault}");
    assert_eq!(server.paths().len(), 4);
}

#[test]
fn signature_that_does_not_verify_is_not_used() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", BRIEF).unwrap();
    server.vault().forged = Some(8);

    let fault = signer.sign_digest(&[1; 32]).unwrap_err();

    assert!(fault.to_string().contains("does not verify"), "{fault}");
}

#[test]
fn version_whose_key_is_another_one_now_is_named_and_not_used() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", PATIENT).unwrap();
    server.vault().versions = vec![("v7", 8)];

    let fault = signer.sign_digest(&[1; 32]).unwrap_err();

    assert!(fault.to_string().contains("the key was replaced"), "{fault}");
}

#[test]
fn call_is_repeated_after_throttling_silence_and_an_outage() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", HASTY).unwrap();
    server.paths();
    server.contract.reply_next([
        error(429, "Throttled", None),
        Reply::Silence,
        Reply::HangUp,
        error(503, "Unavailable", None),
    ]);

    signer.sign_digest(&[1; 32]).unwrap();

    assert!(server.paths().len() >= 5);
}

#[test]
fn service_that_requires_a_long_delay_is_a_transient_fault() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", PATIENT).unwrap();
    server.contract.reply_next([Reply::Answer(
        429,
        Some(("retry-after", "7200".to_owned())),
        "{}".to_owned(),
    )]);

    let fault = signer.sign_digest(&[1; 32]).unwrap_err();

    assert_eq!(fault.retry_after(), Some(Duration::from_secs(3600)));
}

#[test]
fn service_that_never_answers_or_is_down_ends_the_call_at_its_deadline() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", BRIEF).unwrap();
    server.contract.reply_next((0..50).map(|_| Reply::Silence));
    let slow = signer.sign_digest(&[1; 32]).unwrap_err();
    drop(server);

    let down = signer.sign_digest(&[1; 32]).unwrap_err();

    assert!(slow.to_string().contains("timed out after"), "{slow}");
    assert!(slow.retry_after().is_some() && down.retry_after().is_some(), "{down}");
}

#[test]
fn redirect_is_not_followed_with_the_access_token() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", PATIENT).unwrap();
    server.paths();
    let elsewhere = format!("http://{}/elsewhere", server.contract.address());
    server.contract.reply_next([Reply::Answer(307, Some(("location", elsewhere)), String::new())]);

    assert!(signer.sign_digest(&[1; 32]).is_err());

    assert_eq!(server.paths(), ["/keys/shop/v7/sign?api-version=7.4"]);
}

#[test]
fn answer_that_is_not_of_the_api_is_not_used() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", BRIEF).unwrap();
    for body in ["{}", "<html>proxy</html>", "{\"kid\":\"https://a/keys/shop/v9\",\"value\":\"AAAA\"}"] {
        server.contract.reply_next((0..20).map(|_| Reply::Answer(200, None, body.to_owned())));
        assert!(signer.sign_digest(&[1; 32]).is_err(), "{body}");
        server.contract.clear();
    }
}

#[test]
fn secret_is_fetched_again_after_throttling_silence_an_outage_and_an_expired_token() {
    let server = VaultServer::start();
    let (stores, brief) = (server.stores(HASTY), server.stores(BRIEF));
    let secret = stores.parse(&server.uri("secrets/shop"), Path::new("taskseal.toml")).unwrap();
    stores.fetch(&secret).unwrap();
    server.vault().token = "token2".to_owned();
    server.contract.reply_next([
        error(429, "Throttled", None),
        Reply::Silence,
        Reply::HangUp,
        error(503, "Unavailable", None),
    ]);

    assert_eq!(stores.fetch(&secret).unwrap().content(), SECRET.as_bytes());
    drop(server);

    assert!(brief.fetch(&secret).unwrap_err().is_unavailable());
}
