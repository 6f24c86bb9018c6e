//! Faults of AWS KMS: each one is a clear error, and only the transient ones are repeated.

use std::time::Duration;

use taskseal::keys::KeyErrorKind;

use super::kms_server::{Key, KmsServer, error};
use super::{open_agreement, open_signer};
use crate::contract::Reply;
use crate::contract::keys::TestKey;
use crate::{BRIEF, HASTY, PATIENT};

fn signing_server() -> KmsServer {
    KmsServer::start(Key::new("SIGN_VERIFY", 7))
}

#[test]
fn key_of_another_type_is_refused_at_opening() {
    for (spec, usage) in
        [("RSA_2048", "SIGN_VERIFY"), ("ECC_NIST_P256", "KEY_AGREEMENT"), ("ECC_SECG_P256K1", "SIGN_VERIFY")]
    {
        let server = KmsServer::start(Key { spec, ..Key::new(usage, 7) });

        let fault = open_signer(&server.uri(), PATIENT).unwrap_err();

        assert_eq!(fault.kind, KeyErrorKind::Invalid, "{fault}");
        assert!(fault.message.contains(&format!("found {spec} and {usage}")), "{fault}");
        assert_eq!(server.operations(), ["GetPublicKey"]);
    }
}

#[test]
fn signature_that_does_not_verify_is_not_used() {
    let server = signing_server();
    let signer = open_signer(&server.uri(), BRIEF).unwrap();
    server.replace(Key { private: TestKey::new(8), ..Key::new("SIGN_VERIFY", 7) });

    let fault = signer.sign_digest(&[1; 32]).unwrap_err();

    assert!(fault.to_string().contains("does not verify"), "{fault}");
    assert!(fault.retry_after().is_some());
}

#[test]
fn key_whose_signatures_do_not_verify_cannot_be_opened() {
    let server = KmsServer::start(Key { private: TestKey::new(8), ..Key::new("SIGN_VERIFY", 7) });

    let fault = open_signer(&server.uri(), BRIEF).unwrap_err();

    assert!(fault.is_unavailable() && fault.message.contains("does not verify"), "{fault}");
}

#[test]
fn key_that_was_replaced_behind_its_alias_is_named_and_not_used() {
    let server = signing_server();
    let signer = open_signer(&server.uri(), PATIENT).unwrap();
    server.replace(Key::new("SIGN_VERIFY", 8));

    let fault = signer.sign_digest(&[1; 32]).unwrap_err();

    let (old, new) = (TestKey::new(7).kid(), TestKey::new(8).kid());
    assert_eq!(
        fault.to_string(),
        format!("the key was replaced after it was opened: expected {old}, found {new}")
    );
    assert_eq!(fault.retry_after(), None);
    assert_eq!(signer.kid(), old);
}

#[test]
fn agreement_key_that_was_replaced_fails_its_test() {
    let server = KmsServer::start(Key::new("KEY_AGREEMENT", 7));
    let key = open_agreement(&server.uri(), PATIENT).unwrap();
    server.replace(Key::new("KEY_AGREEMENT", 8));

    let fault = key.self_test().unwrap_err();

    assert!(fault.to_string().contains("the key was replaced"), "{fault}");
}

#[test]
fn expired_credentials_are_an_error_at_once_that_says_what_to_renew() {
    let server = signing_server();
    for code in [
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "AccessDeniedException",
        "InvalidSignatureException",
    ] {
        server.contract.reply_next([error(
            400,
            code,
            "The security token included in the request is expired",
        )]);

        let fault = open_signer(&server.uri(), PATIENT).unwrap_err();

        assert_eq!(fault.kind, KeyErrorKind::CredentialsRefused);
        assert!(fault.message.starts_with(code), "{fault}");
        assert!(fault.hint.as_ref().unwrap().contains("credentials"), "{fault:?}");
        assert_eq!(server.operations(), ["GetPublicKey"]);
        assert!(!format!("{fault:?}").contains("secret77") && !format!("{fault:?}").contains("token77"));
    }
}

#[test]
fn key_that_is_missing_or_disabled_is_an_error_at_once() {
    let server = signing_server();
    for (code, kind, hint) in [
        ("NotFoundException", KeyErrorKind::NotFound, "name"),
        ("DisabledException", KeyErrorKind::Unavailable, "enable"),
        ("KMSInvalidStateException", KeyErrorKind::Unavailable, "enable"),
    ] {
        server.contract.reply_next([error(400, code, "no")]);

        let fault = open_signer(&server.uri(), PATIENT).unwrap_err();

        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.starts_with(code), "{fault}");
        assert!(fault.hint.as_ref().unwrap().contains(hint), "{fault:?}");
        assert_eq!(server.operations(), ["GetPublicKey"]);
    }
}

#[test]
fn throttled_call_is_repeated_until_it_succeeds() {
    let server = signing_server();
    let signer = open_signer(&server.uri(), PATIENT).unwrap();
    server.operations();
    let throttled =
        || error(400, "ThrottlingException", "You have exceeded the rate at which you may call KMS.");
    server.contract.reply_next([throttled(), error(429, "LimitExceededException", "no"), throttled()]);

    signer.sign_digest(&[1; 32]).unwrap();

    assert_eq!(server.operations(), ["Sign"; 4]);
}

#[test]
fn service_that_throttles_until_the_deadline_is_a_transient_fault() {
    let server = signing_server();
    let signer = open_signer(&server.uri(), PATIENT).unwrap();
    let slow = Reply::Answer(429, Some(("retry-after", "7200".to_owned())), "{}".to_owned());
    server.contract.reply_next([slow]);

    let fault = signer.sign_digest(&[1; 32]).unwrap_err();

    assert_eq!(fault.retry_after(), Some(Duration::from_secs(3600)));
}

#[test]
fn attempt_that_is_not_answered_or_broken_off_is_repeated() {
    let server = signing_server();
    let signer = open_signer(&server.uri(), HASTY).unwrap();
    server.operations();
    let internal = error(500, "KMSInternalException", "no");
    server.contract.reply_next([Reply::Silence, Reply::HangUp, internal]);

    signer.sign_digest(&[1; 32]).unwrap();

    assert!(server.operations().len() >= 4);
}

#[test]
fn service_that_never_answers_ends_the_call_at_its_deadline() {
    let server = signing_server();
    let signer = open_signer(&server.uri(), BRIEF).unwrap();
    server.contract.reply_next((0..50).map(|_| Reply::Silence));

    let fault = signer.sign_digest(&[1; 32]).unwrap_err();

    assert!(fault.to_string().contains("timed out after"), "{fault}");
    assert!(fault.retry_after().is_some());
}

#[test]
fn service_that_is_down_is_unavailable_at_opening_and_transient_later() {
    let server = signing_server();
    let uri = server.uri();
    let signer = open_signer(&uri, BRIEF).unwrap();
    drop(server);

    let fault = signer.sign_digest(&[1; 32]).unwrap_err();
    let refused = open_signer(&uri, BRIEF).unwrap_err();

    assert!(fault.retry_after().is_some(), "{fault}");
    assert!(refused.is_unavailable() && refused.hint.as_ref().unwrap().contains("endpoint"), "{refused:?}");
}

#[test]
fn answer_that_is_not_of_the_api_is_not_used() {
    let server = signing_server();
    let signer = open_signer(&server.uri(), BRIEF).unwrap();
    for body in ["{}", "{\"Signature\":\"AAAA\"}", "<html>proxy</html>"] {
        server.contract.reply_next((0..20).map(|_| Reply::Answer(200, None, body.to_owned())));

        assert!(signer.sign_digest(&[1; 32]).is_err(), "{body}");
        server.contract.clear();
    }
}
