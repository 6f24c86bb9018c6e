//! Keys of the Transit engine: signatures, HMAC tags, versions.

use std::fs;

use taskseal::keys::{Algorithm, KeyErrorKind, KeyHandle, KeyUsage, SecretKey, public_text};
use taskseal::time::{clock, unix_seconds};
use taskseal_core::keys::SigningKey;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, KeyId, Policy, Suite, TaskId, TaskType, Unverified,
};
use taskseal_tests::vault::VaultOutage;

use super::{Site, open, refused};

const KEY: &str = "vault://transit/keys/producer";

/// Adds versions to the key `producer`; returns their kids.
fn with_versions(site: &Site, count: usize) -> Vec<KeyId> {
    let add = |_| {
        let key = site.signing_key();
        let kid = key.verifying_key().kid();
        site.server.add_signing_key("producer", key);
        kid
    };
    (0..count).map(add).collect()
}

fn kid(host: &taskseal::Config, uri: &str) -> KeyId {
    open(host, uri, KeyUsage::Sign).unwrap().kid()
}

#[test]
fn key_that_does_not_exist_or_does_not_fit_is_refused() {
    let site = Site::new("");
    with_versions(&site, 1);
    site.server.add_hmac_key("mac", [7; 32]);
    let host = site.host();
    for (uri, usage, kind, message) in [
        (
            "vault://transit/keys/missing",
            KeyUsage::Sign,
            KeyErrorKind::NotFound,
            "transit/keys/missing: status 404",
        ),
        (
            "vault://transit/keys/producer?version=2",
            KeyUsage::Sign,
            KeyErrorKind::NotFound,
            "transit/keys/producer: no version 2, the latest is 1",
        ),
        (
            "vault://transit/keys/mac",
            KeyUsage::Sign,
            KeyErrorKind::Invalid,
            "transit/keys/mac: not a key of the type ecdsa-p256",
        ),
        (
            "vault://transit/keys/mac",
            KeyUsage::Authenticate,
            KeyErrorKind::Invalid,
            "the URI of an HMAC key has no `kid`",
        ),
        (KEY, KeyUsage::Decrypt, KeyErrorKind::Invalid, "a Transit key signs or authenticates only"),
        (KEY, KeyUsage::Encrypt, KeyErrorKind::Invalid, "a Transit key signs or authenticates only"),
        (
            "vault://transit/keys/producer?version=1&kid=0011223344556677",
            KeyUsage::Authenticate,
            KeyErrorKind::Invalid,
            "transit/keys/producer: not a key of the type hmac",
        ),
        (
            "vault://transit/keys/mac?version=2&kid=0011223344556677",
            KeyUsage::Authenticate,
            KeyErrorKind::NotFound,
            "transit/keys/mac: no version 2, the latest is 1",
        ),
    ] {
        let error = refused(&host, uri, usage);
        assert_eq!((error.kind, error.message.as_str()), (kind, message), "{uri}");
    }
    let place = host.key_stores.parse(KEY, &host.file).unwrap();
    assert_eq!(host.key_stores.fetch(&place).unwrap_err().message, "a Transit key stays in its server");
}

#[test]
fn hmac_key_of_another_length_than_the_secret_of_verifiers_is_refused() {
    let site = Site::new("");
    site.server.add_hmac_key("mac", [7; 32]);
    site.server.hmac_key_size(64);
    let uri = "vault://transit/keys/mac?version=1&kid=0011223344556677";
    let error = refused(&site.host(), uri, KeyUsage::Authenticate);
    assert_eq!(error.kind, KeyErrorKind::Invalid);
    assert!(error.message.contains("the key_size must be 32"), "{error}");
}

#[test]
fn rotated_key_has_another_kid_and_the_version_of_an_open_key_stays() {
    let site = Site::new("");
    let first = with_versions(&site, 1)[0];
    let host = site.host();
    let KeyHandle::Signer(signer) = open(&host, KEY, KeyUsage::Sign).unwrap() else {
        panic!("another handle")
    };
    let second = with_versions(&site, 1)[0];

    assert_eq!(signer.kid(), first);
    signer.sign_digest(&[7; 32]).unwrap();
    assert_eq!(kid(&host, KEY), second);
    assert_eq!(kid(&host, "vault://transit/keys/producer?version=1"), first);
}

#[test]
fn signature_of_a_key_that_was_deleted_and_created_again_is_a_permanent_fault() {
    let site = Site::new("");
    let first = with_versions(&site, 1)[0];
    let KeyHandle::Signer(signer) = open(&site.host(), KEY, KeyUsage::Sign).unwrap() else {
        panic!("another handle")
    };
    site.server.delete_key("producer");
    let second = with_versions(&site, 1)[0];

    let fault = signer.sign_digest(&[7; 32]).unwrap_err();

    assert_eq!(fault.retry_after(), None);
    let expected = format!("the key was replaced after it was opened: expected {first}, found {second}");
    assert!(fault.to_string().ends_with(&expected), "{fault}");
}

#[test]
fn signature_that_does_not_verify_is_not_used() {
    let site = Site::new("");
    with_versions(&site, 1);
    let host = site.host();
    let KeyHandle::Signer(signer) = open(&host, KEY, KeyUsage::Sign).unwrap() else {
        panic!("another handle")
    };
    site.server.sign_with(Some(site.signing_key()));

    let fault = signer.sign_digest(&[7; 32]).unwrap_err();
    let error = refused(&host, KEY, KeyUsage::Sign);
    site.server.sign_with(None);

    assert!(fault.to_string().contains("the signature does not verify"), "{fault}");
    assert_eq!(error.kind, KeyErrorKind::Unavailable);
    signer.sign_digest(&[7; 32]).unwrap();
}

/// Seals a task with the client key `uri` of `suite`, and verifies it. `entry` is the key in the keyset.
fn seals(site: &Site, uri: &str, suite: Suite, entry: &str) {
    let rights = "issuers = [\"shop\"]\ntypes = [\"*\"]\naudiences = [\"plant/*\"]\n";
    fs::write(site.path("keyset.toml"), format!("[[key]]\nuse = \"task\"\n{entry}{rights}")).unwrap();
    let text = fs::read_to_string(site.path("taskseal.toml")).unwrap();
    let client = format!("[client]\nissuer = \"shop\"\nsuite = \"{suite:?}\"\nkey = \"{uri}\"\n");
    fs::write(site.path("taskseal.toml"), text + &client).unwrap();
    let host = site.host();
    let keyring = host.keyring().unwrap();
    let key = host.task_key(&keyring).unwrap();
    assert!(key.may_block());
    let audience = Audience::new("plant/orders").unwrap();
    let now = unix_seconds();
    let claims = Claims::new(
        Issuer::new("shop").unwrap(),
        TaskType::new("ship").unwrap(),
        audience,
        TaskId::from_bytes([7; 16]),
    )
    .issued_at(now)
    .expires_at(now + 60);
    let envelope = key.seal(&claims, ContentType::JSON, b"{}").unwrap();
    let mut policy = Policy::for_tasks(audience);
    policy.suites = policy.suites.with(suite);
    Unverified::parse(&envelope).unwrap().verify(&keyring, &policy, &mut clock()).unwrap();
}

#[test]
fn task_that_a_transit_key_has_signed_verifies() {
    let site = Site::new("");
    let key: SigningKey = site.signing_key();
    let public = key.verifying_key();
    let entry = format!(
        "kid = \"{}\"\nalg = \"ES256\"\npublic = \"{}\"\n",
        public.kid(),
        public_text(&public.to_point())
    );
    site.server.add_signing_key("producer", key);
    seals(&site, KEY, Suite::S, &entry);
    // When it was opened, and for the task.
    assert_eq!(site.server.count("POST transit/sign/producer"), 2);
}

#[test]
fn task_that_a_transit_key_has_authenticated_verifies_with_the_shared_secret() {
    let site = Site::new("");
    let (SecretKey::Mac(key), _) = site.key(Algorithm::Hs256) else { panic!("another key") };
    let file = fs::read_dir(site.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let file = file.map(|name| name.into_string().unwrap()).find(|name| name.starts_with("HS256")).unwrap();
    site.server.add_hmac_key("mac", secret_of(&site, &file));
    let kid = key.kid();
    let entry = format!("kid = \"{kid}\"\nalg = \"HS256\"\nsecret_file = \"{file}\"\n");
    seals(&site, &format!("vault://transit/keys/mac?version=1&kid={kid}"), Suite::M, &entry);
}

/// The secret in a key file: the last 32 bytes of its COSE_Key.
fn secret_of(site: &Site, file: &str) -> [u8; 32] {
    let pem = fs::read_to_string(site.path(file)).unwrap();
    let pem = &pem[pem.find("-----BEGIN").unwrap()..];
    let (_, bytes) = pem_rfc7468::decode_vec(pem.as_bytes()).unwrap();
    bytes[bytes.len() - 32..].try_into().unwrap()
}

#[test]
fn signature_with_a_token_that_has_expired_logs_in_again() {
    let site = Site::new("");
    with_versions(&site, 1);
    let host = site.host();
    let KeyHandle::Signer(signer) = open(&host, KEY, KeyUsage::Sign).unwrap() else {
        panic!("another handle")
    };
    site.server.replace_token("root-token-2");
    // Refused for as long as the file has the old token; a producer retries meanwhile.
    let fault = signer.sign_digest(&[7; 32]).unwrap_err();
    assert!(fault.retry_after().is_some(), "{fault}");
    super::not_shown(&format!("{fault} {fault:?} {signer:?}"));

    site.secret("token", "root-token-2");
    signer.sign_digest(&[7; 32]).unwrap();
    site.server.fail([VaultOutage::Closed]);
    signer.sign_digest(&[7; 32]).unwrap();
}
