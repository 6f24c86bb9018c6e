//! Keys and secrets in a vault.

use std::path::Path;

use taskseal::keys::KeyUsage;
use taskseal_core::keys::VerifyingKey;
use taskseal_core::{Provider as _, Software};

use super::vault_server::{SECRET, VaultServer};
use crate::PATIENT;
use crate::contract::keys::TestKey;

#[test]
fn key_in_a_vault_does_not_decrypt_and_is_not_handed_out() {
    let server = VaultServer::start();
    for usage in [KeyUsage::Decrypt, KeyUsage::Encrypt, KeyUsage::Authenticate] {
        let fault = server.open("keys/shop", usage, PATIENT).unwrap_err();
        assert!(fault.message.contains("can only sign"), "{fault}");
    }
    let stores = server.stores(PATIENT);
    let key = stores.parse(&server.uri("keys/shop"), Path::new("taskseal.toml")).unwrap();
    assert!(stores.fetch(&key).unwrap_err().message.contains("never leaves"));
    assert_eq!(server.paths(), [""; 0]);
}

#[test]
fn key_signs_with_the_version_that_was_current_when_it_was_opened() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop", PATIENT).unwrap();
    server.vault().versions.push(("v8", 8));

    let signature = signer.sign_digest(&[1; 32]).unwrap();

    let key = VerifyingKey::from_point(&TestKey::new(7).point()).unwrap();
    Software.verify_es256(&key, &[1; 32], &signature).unwrap();
    assert_eq!(signer.kid(), key.kid());
    assert_eq!(server.signer("keys/shop", PATIENT).unwrap().kid(), TestKey::new(8).kid());
    assert_eq!(server.signer("keys/shop/v7", PATIENT).unwrap().kid(), key.kid());
}

#[test]
fn access_token_is_requested_once_for_many_calls() {
    let server = VaultServer::start();
    let signer = server.signer("keys/shop/v7", PATIENT).unwrap();
    signer.sign_digest(&[1; 32]).unwrap();

    let sign = "/keys/shop/v7/sign?api-version=7.4";
    assert_eq!(server.paths(), ["/tenant/oauth2/v2.0/token", "/keys/shop/v7?api-version=7.4", sign, sign]);
}

#[test]
fn secret_is_fetched_with_its_version() {
    let server = VaultServer::start();
    let stores = server.stores(PATIENT);
    for path in ["secrets/shop", "secrets/shop/s1"] {
        let secret =
            stores.fetch(&stores.parse(&server.uri(path), Path::new("taskseal.toml")).unwrap()).unwrap();
        assert_eq!((secret.content(), secret.version()), (SECRET.as_bytes(), Some("s1")));
        assert!(!format!("{secret:?}").contains(SECRET));
    }
}
