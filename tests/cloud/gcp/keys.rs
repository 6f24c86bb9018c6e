//! Keys and secrets in Google Cloud.

use std::path::Path;

use taskseal::keys::{KeyStores, KeyUsage};
use taskseal_cloud::gcp::GoogleCredentials;
use taskseal_core::keys::VerifyingKey;
use taskseal_core::{Provider as _, Software};

use super::server::{GoogleServer, KEY, SECRET, fetch};
use crate::PATIENT;
use crate::contract::keys::TestKey;

#[test]
fn uri_that_does_not_name_one_version_is_refused() {
    let stores = taskseal_cloud::register(&KeyStores::default());
    let parse = |uri: &str| stores.parse(uri, Path::new("taskseal.toml"));
    for uri in [
        "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/",
        "gcpkms:projects/p",
        "gcpsm://projects/p/secrets/s",
        "gcpsm://projects/p/secrets/s/versions/1?x=1",
    ] {
        assert!(parse(uri).is_err(), "{uri}");
    }
    assert!(parse(&format!("gcpkms://{KEY}")).is_ok());
    assert!(parse("gcpsm://projects/p/secrets/s/versions/latest").is_ok());
}

#[test]
fn key_in_the_service_only_signs() {
    let server = GoogleServer::start();
    let stores = server.stores(PATIENT);
    let key = stores.parse(&format!("gcpkms://{KEY}"), Path::new("taskseal.toml")).unwrap();
    for usage in [KeyUsage::Decrypt, KeyUsage::Encrypt, KeyUsage::Authenticate] {
        assert!(stores.open(&key, usage).unwrap_err().message.contains("can only sign"));
    }
    assert_eq!(server.paths(), [""; 0]);
}

#[test]
fn key_signs_digests_with_one_access_token() {
    let server = GoogleServer::start();
    let signer = server.signer(PATIENT).unwrap();

    let signature = signer.sign_digest(&[1; 32]).unwrap();

    let key = VerifyingKey::from_point(&TestKey::new(7).point()).unwrap();
    assert_eq!(signer.kid(), key.kid());
    Software.verify_es256(&key, &[1; 32], &signature).unwrap();
    let sign = format!("/v1/{KEY}:asymmetricSign");
    assert_eq!(server.paths(), ["/token", &format!("/v1/{KEY}/publicKey"), &sign, &sign]);
}

#[test]
fn secret_is_fetched_with_its_version() {
    let server = GoogleServer::start();
    for version in ["3", "latest"] {
        let secret = server.secret(version, PATIENT).unwrap();
        assert_eq!((secret.content(), secret.version()), (SECRET.as_bytes(), Some("3")));
    }
}

#[test]
fn service_account_of_the_machine_fetches_a_secret() {
    let server = GoogleServer::start();
    let stores = server.stores_with(&GoogleCredentials::metadata(&server.url()), PATIENT);
    assert_eq!(fetch(&stores, "3").unwrap().content(), SECRET.as_bytes());
}
