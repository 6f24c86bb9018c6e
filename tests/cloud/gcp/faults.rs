//! Faults of Google Cloud: each one is a clear error, and only the transient ones are repeated.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;
use taskseal::keys::KeyErrorKind;
use taskseal_cloud::gcp::GoogleCredentials;

use super::server::{GoogleServer, KEY, SECRET, error, fetch, secret};
use crate::contract::Reply;
use crate::{BRIEF, HASTY, PATIENT};

#[test]
fn file_that_is_not_the_key_of_a_service_account_is_refused_and_not_shown() {
    let server = GoogleServer::start();
    let mut other = server.key_file();
    other["type"] = json!("authorized_user");
    let mut damaged = server.key_file();
    damaged["private_key"] = json!("secret77");
    for file in [other.to_string(), damaged.to_string(), "secret77".to_owned(), "{}".to_owned()] {
        let error = GoogleCredentials::service_account(file.as_bytes()).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret77"), "{error}");
    }
    let credentials = GoogleCredentials::service_account(server.key_file().to_string().as_bytes()).unwrap();
    assert_eq!(format!("{credentials:?}"), "GoogleCredentials(\"shop@p.iam.gserviceaccount.com\")");
}

#[test]
fn service_account_whose_assertion_would_be_sent_in_clear_text_is_refused() {
    let server = GoogleServer::start();
    for url in ["http://example.org/token", "ftp://127.0.0.1/token", ""] {
        let mut file = server.key_file();
        file["token_uri"] = json!(url);
        let error = GoogleCredentials::service_account(file.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("`token_uri`"), "{url}: {error}");
    }
}

#[test]
fn key_file_of_a_service_account_that_other_users_can_read_or_change_is_refused() {
    let server = GoogleServer::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.json");
    assert!(GoogleCredentials::service_account_file(&path).is_err());
    fs::write(&path, server.key_file().to_string()).unwrap();
    for mode in [0o644, 0o602] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = GoogleCredentials::service_account_file(&path).unwrap_err();
        assert!(error.to_string().contains("shop.json"), "{error}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    GoogleCredentials::service_account_file(&path).unwrap();
}

#[test]
fn key_of_another_algorithm_is_refused_at_opening() {
    let server = GoogleServer::start();
    for algorithm in ["EC_SIGN_P384_SHA384", "RSA_SIGN_PSS_2048_SHA256", "EC_SIGN_SECP256K1_SHA256"] {
        server.state().algorithm = algorithm;
        let fault = server.signer(PATIENT).unwrap_err();
        assert_eq!(fault.kind, KeyErrorKind::Invalid);
        assert!(fault.message.contains(&format!("found {algorithm}")), "{fault}");
    }
}

#[test]
fn version_that_is_missing_disabled_or_not_permitted_is_an_error_at_once() {
    let server = GoogleServer::start();
    assert_eq!(server.secret("9", PATIENT).unwrap_err().kind, KeyErrorKind::NotFound);
    for (code, status, kind) in [
        (400, "FAILED_PRECONDITION", KeyErrorKind::Unavailable),
        (403, "PERMISSION_DENIED", KeyErrorKind::CredentialsRefused),
        (400, "INVALID_ARGUMENT", KeyErrorKind::Unavailable),
    ] {
        server.paths();
        let token = Reply::json(200, &json!({ "access_token": "token1", "expires_in": 3599 }));
        server.contract.reply_next([token, error(code, status)]);

        let fault = server.signer(PATIENT).unwrap_err();

        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.starts_with(status), "{fault}");
        assert_eq!(server.paths().len(), 2);
    }
}

#[test]
fn service_account_that_is_refused_is_an_error_at_once() {
    let server = GoogleServer::start();
    let refused = json!({ "error": "invalid_grant", "error_description": "Invalid JWT Signature." });
    server.contract.reply_next([Reply::json(400, &refused)]);

    let fault = server.signer(PATIENT).unwrap_err();

    assert_eq!(fault.kind, KeyErrorKind::CredentialsRefused);
    assert!(fault.message.contains("Invalid JWT Signature."), "{fault}");
    assert_eq!(server.paths().len(), 1);
}

#[test]
fn access_token_that_expired_is_replaced_once() {
    let server = GoogleServer::start();
    let signer = server.signer(PATIENT).unwrap();
    server.state().token = "token2".to_owned();
    server.paths();

    signer.sign_digest(&[1; 32]).unwrap();

    let sign = format!("/v1/{KEY}:asymmetricSign");
    assert_eq!(server.paths(), [sign.as_str(), "/token", &sign]);
}

#[test]
fn signature_that_does_not_verify_is_not_used() {
    let server = GoogleServer::start();
    let signer = server.signer(BRIEF).unwrap();
    server.state().private = 8;
    let faulty = signer.sign_digest(&[1; 32]).unwrap_err();
    server.state().public = 8;

    let replaced = signer.sign_digest(&[1; 32]).unwrap_err();

    assert!(faulty.to_string().contains("does not verify"), "{faulty}");
    assert!(replaced.to_string().contains("the key was replaced"), "{replaced}");
}

#[test]
fn secret_that_does_not_match_its_checksum_is_not_used() {
    let server = GoogleServer::start();
    let token = Reply::json(200, &json!({ "access_token": "token1", "expires_in": 3599 }));
    server.contract.reply_next(std::iter::once(token).chain((0..20).map(|_| secret("1"))));

    let fault = server.secret("3", BRIEF).unwrap_err();

    assert!(fault.message.contains("checksum"), "{fault}");
}

#[test]
fn call_is_repeated_after_throttling_silence_and_an_outage() {
    let server = GoogleServer::start();
    let signer = server.signer(HASTY).unwrap();
    server.paths();
    server.contract.reply_next([
        error(429, "RESOURCE_EXHAUSTED"),
        Reply::Silence,
        Reply::HangUp,
        error(503, "UNAVAILABLE"),
    ]);

    signer.sign_digest(&[1; 32]).unwrap();

    assert!(server.paths().len() >= 5);
}

#[test]
fn service_that_requires_a_long_delay_never_answers_or_is_down_is_a_transient_fault() {
    let server = GoogleServer::start();
    let signer = server.signer(BRIEF).unwrap();
    server.contract.reply_next([Reply::Answer(
        429,
        Some(("retry-after", "7200".to_owned())),
        "{}".to_owned(),
    )]);
    let throttled = signer.sign_digest(&[1; 32]).unwrap_err();
    server.contract.reply_next((0..50).map(|_| Reply::Silence));
    let slow = signer.sign_digest(&[1; 32]).unwrap_err();
    drop(server);

    let down = signer.sign_digest(&[1; 32]).unwrap_err();

    assert_eq!(throttled.retry_after(), Some(Duration::from_secs(3600)));
    assert!(slow.to_string().contains("timed out after"), "{slow}");
    assert!(slow.retry_after().is_some() && down.retry_after().is_some(), "{down}");
}

#[test]
fn version_of_a_secret_that_does_not_exist_is_not_found() {
    let server = GoogleServer::start();
    assert_eq!(server.secret("4", PATIENT).unwrap_err().kind, KeyErrorKind::NotFound);
}

#[test]
fn secret_is_fetched_again_after_throttling_silence_an_outage_and_an_expired_token() {
    let server = GoogleServer::start();
    let (stores, brief) = (server.stores(HASTY), server.stores(BRIEF));
    fetch(&stores, "3").unwrap();
    server.state().token = "token2".to_owned();
    server.contract.reply_next([
        error(429, "RESOURCE_EXHAUSTED"),
        Reply::Silence,
        Reply::HangUp,
        error(503, "UNAVAILABLE"),
    ]);

    assert_eq!(fetch(&stores, "3").unwrap().content(), SECRET.as_bytes());
    drop(server);

    assert!(fetch(&brief, "3").unwrap_err().is_unavailable());
}
