//! Keys in AWS KMS that sign and decrypt.

use std::path::Path;

use taskseal::keys::{KeyStores, KeyUsage};
use taskseal_cloud::aws::AwsKms;
use taskseal_core::keys::{AgreementKey, AgreementPublicKey, VerifyingKey};
use taskseal_core::{Agree as _, Provider as _, Secret, Software};

use super::kms_server::{Key, KmsServer};
use super::{config, open, open_agreement, open_signer, open_with};
use crate::PATIENT;
use crate::contract::keys::TestKey;

#[test]
fn shared_key_cannot_be_in_the_service() {
    let server = KmsServer::start(Key::new("SIGN_VERIFY", 7));
    for usage in [KeyUsage::Encrypt, KeyUsage::Authenticate] {
        let fault = open(&server.uri(), usage, PATIENT).unwrap_err();
        assert!(fault.message.contains("cannot be a shared key"), "{fault}");
    }
}

#[test]
fn key_without_a_region_is_an_error_that_says_how_to_set_it() {
    let config = config().into_builder().region(None).build();

    let fault = open_with(AwsKms::with_config(config), "awskms:///alias/shop", KeyUsage::Sign).unwrap_err();

    assert!(fault.message.contains("AWS_REGION"), "{fault}");
}

#[test]
fn uri_of_a_key_in_the_service_names_one_key() {
    let stores = taskseal_cloud::register(&KeyStores::default());
    let file = Path::new("/etc/taskseal/taskseal.toml");
    let arn = "awskms:///arn:aws:kms:eu-central-1:111122223333:key/0c1d2e3f-0000-4000-8000-000000000000";
    for uri in ["awskms:///alias/shop", "awskms:///alias/shop?region=eu-central-1", arn] {
        let key = stores.parse(uri, file).unwrap();
        assert_eq!((key.scheme(), key.to_string().as_str()), ("awskms", uri));
    }
    for uri in ["awskms:", "awskms:///", "awskms://alias", "awskms:alias/shop", "awskms:///shop?version=1"] {
        let error = stores.parse(uri, file).unwrap_err();
        assert!(error.hint.contains("awskms:///alias/NAME"), "{error:?}");
    }
}

#[test]
fn key_signs_digests_with_the_smaller_value_of_s_and_has_the_kid_of_its_public_key() {
    let server = KmsServer::start(Key::new("SIGN_VERIFY", 7));
    let signer = open_signer(&server.uri(), PATIENT).unwrap();

    let signature = signer.sign_digest(&[1; 32]).unwrap();

    let key = VerifyingKey::from_point(&TestKey::new(7).point()).unwrap();
    assert_eq!(signer.kid(), key.kid());
    Software.verify_es256(&key, &[1; 32], &signature).unwrap();
    let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
    assert_eq!(signature.normalize_s(), signature);
}

#[test]
fn agreement_key_returns_the_secret_that_the_sender_computes() {
    let server = KmsServer::start(Key::new("KEY_AGREEMENT", 7));
    let key = open_agreement(&server.uri(), PATIENT).unwrap();
    let sender = AgreementKey::from_scalar(&Secret::copy_from(&[9; 32])).unwrap();

    let shared = key.agree(&sender.public_key()).unwrap();

    let recipient = AgreementPublicKey::from_point(&TestKey::new(7).point()).unwrap();
    let mut sender = &sender;
    let Ok(expected) = sender.agree(&recipient);
    assert_eq!(shared.as_bytes(), expected.as_bytes());
    assert_eq!(key.kid(), recipient.kid());
    key.self_test().unwrap();
}
