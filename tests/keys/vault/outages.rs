//! A server that is down, sealed, slow, or throttles.

use serde_json::json;
use taskseal::keys::{Algorithm, KeyErrorKind, KeyHandle, KeyUsage};
use taskseal_tests::vault::VaultOutage;

use super::{Site, open, refused};

const SECRET: &str = "vault://secret/data/producer";

fn site(lines: &str) -> Site {
    let site = Site::new(lines);
    let (_, pem) = site.key(Algorithm::Es256);
    site.server.put("producer", json!({ "key": pem }));
    site
}

#[test]
fn server_that_is_not_there_makes_the_key_unavailable() {
    let site = site("");
    site.server.fail([VaultOutage::Closed; 4]);
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::Unavailable);
    assert!(error.message.contains("cannot be reached") && error.hint.is_some(), "{error}");
}

#[test]
fn sealed_server_makes_the_key_unavailable_and_is_named() {
    let site = site("");
    site.server.fail([VaultOutage::Sealed; 4]);
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::Unavailable);
    assert!(error.message.ends_with("status 503: Vault is sealed"), "{error}");
    open(&site.host(), SECRET, KeyUsage::Sign).unwrap();
}

#[test]
fn server_that_does_not_answer_makes_the_key_unavailable_at_the_time_limit() {
    let site = site("timeout = \"1s\"\n");
    site.server.fail([VaultOutage::Silent]);
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::Unavailable);
    assert!(error.message.ends_with("did not answer in time"), "{error}");
}

#[test]
fn answer_that_is_not_the_documented_one_is_refused_and_not_shown() {
    let site = site("");
    site.server.fail([VaultOutage::Garbled]);
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::Invalid);
    assert!(error.message.contains("the reply is not the expected JSON"), "{error}");
}

#[test]
fn redirection_is_not_followed_because_the_token_would_go_to_another_server() {
    let site = site("");
    site.server.fail([VaultOutage::Redirected]);
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::Invalid);
    assert!(error.message.contains("the server redirects"), "{error}");
}

#[test]
fn outage_and_throttling_that_end_within_the_time_limit_are_not_noticed() {
    for outage in [VaultOutage::Closed, VaultOutage::Throttled, VaultOutage::Sealed] {
        let site = site("");
        site.server.fail([outage; 2]);
        open(&site.host(), SECRET, KeyUsage::Sign).unwrap();
        assert_eq!(site.server.count("GET auth/token/lookup-self"), 3);
    }
}

#[test]
fn delay_and_lifetime_without_end_are_limited() {
    let site = site("timeout = \"1s\"\n");
    site.server.lease(u64::MAX);
    site.server.fail([VaultOutage::ThrottledWithoutEnd]);
    let error = refused(&site.host(), SECRET, KeyUsage::Sign);
    assert_eq!(error.kind, KeyErrorKind::Unavailable);
    assert!(error.message.contains("rate limit quota exceeded"), "{error}");
    open(&site.host(), SECRET, KeyUsage::Sign).unwrap();
}

#[test]
fn signature_of_an_unavailable_server_may_be_retried_and_succeeds_after_the_outage() {
    let site = site("timeout = \"1s\"\n");
    site.server.add_signing_key("producer", site.signing_key());
    let host = site.host();
    let KeyHandle::Signer(signer) = open(&host, "vault://transit/keys/producer", KeyUsage::Sign).unwrap()
    else {
        panic!("another handle")
    };
    for outage in [VaultOutage::Closed, VaultOutage::Sealed, VaultOutage::Throttled, VaultOutage::Silent] {
        site.server.fail([outage; 4]);
        let fault = signer.sign_digest(&[7; 32]).unwrap_err();
        assert!(fault.retry_after().is_some(), "{fault}");
        site.server.recover();
    }
    signer.sign_digest(&[7; 32]).unwrap();
}
