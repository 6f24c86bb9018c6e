//! Keys in the KMS of an emulator.

use std::fs;

use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use taskseal::config::Config;
use taskseal::keys::{KeyErrorKind, KeyStores, public_text};
use taskseal_cloud::aws::AwsKms;
use taskseal_core::keys::VerifyingKey;
use taskseal_core::{
    Audience, Claims, ContentType, Issuer, Policy, Provider as _, Software, Suite, SuiteSet, TaskId,
    TaskType, TimeWindow, Unverified,
};

use super::ministack::Ministack;
use super::{config, open_signer};
use crate::PATIENT;

fn signing_key(server: &Ministack) -> (String, String) {
    server.create_key(KeySpec::EccNistP256, KeyUsageType::SignVerify)
}

/// Returns the public key of a key, as an operator reads it.
fn public_key(server: &Ministack, key: &str) -> VerifyingKey {
    let call = server.kms().get_public_key().key_id(key).send();
    let der = server.runtime.block_on(call).unwrap().public_key.unwrap().into_inner();
    VerifyingKey::from_point(der[26..].try_into().unwrap()).unwrap()
}

#[test]
fn key_that_is_missing_disabled_or_of_another_curve_is_refused() {
    let Some(server) = Ministack::start_or_skip() else { return };
    let kind_of = |key: &str| open_signer(&server.uri(key), PATIENT).unwrap_err().kind;

    assert_eq!(kind_of("alias/unknown"), KeyErrorKind::NotFound);
    let (other, _) = server.create_key(KeySpec::EccNistP384, KeyUsageType::SignVerify);
    assert_eq!(kind_of(&other), KeyErrorKind::Invalid);
    let (disabled, _) = signing_key(&server);
    server.runtime.block_on(server.kms().disable_key().key_id(&disabled).send()).unwrap();
    assert_eq!(kind_of(&disabled), KeyErrorKind::Unavailable);
}

#[test]
fn alias_that_was_updated_to_another_key_is_an_error_that_names_both() {
    let Some(server) = Ministack::start_or_skip() else { return };
    let ((old, _), (new, _)) = (signing_key(&server), signing_key(&server));
    let create = server.kms().create_alias().alias_name("alias/shop").target_key_id(&old).send();
    server.runtime.block_on(create).unwrap();
    let signer = open_signer(&server.uri("alias/shop"), PATIENT).unwrap();
    signer.sign_digest(&[1; 32]).unwrap();
    let update = server.kms().update_alias().alias_name("alias/shop").target_key_id(&new).send();
    server.runtime.block_on(update).unwrap();

    let fault = signer.sign_digest(&[1; 32]).unwrap_err().to_string();

    assert!(fault.contains(&public_key(&server, &old).kid().to_string()), "{fault}");
    assert!(fault.contains(&public_key(&server, &new).kid().to_string()), "{fault}");
}

#[test]
fn key_signs_under_its_id_its_arn_and_its_alias() {
    let Some(server) = Ministack::start_or_skip() else { return };
    let (id, arn) = signing_key(&server);
    let create = server.kms().create_alias().alias_name("alias/shop").target_key_id(&id).send();
    server.runtime.block_on(create).unwrap();
    let key = public_key(&server, &id);

    for name in [id.as_str(), &arn, "alias/shop"] {
        let signer = open_signer(&server.uri(name), PATIENT).unwrap();
        let signature = signer.sign_digest(&[1; 32]).unwrap();

        assert_eq!(signer.kid(), key.kid());
        Software.verify_es256(&key, &[1; 32], &signature).unwrap();
    }
}

#[test]
fn task_that_a_key_in_the_service_seals_is_verified_with_the_keyset() {
    let Some(server) = Ministack::start_or_skip() else { return };
    let (id, _) = signing_key(&server);
    let key = public_key(&server, &id);
    let folder = tempfile::tempdir().unwrap();
    let keyset = format!(
        "[[key]]\nkid = \"{}\"\nalg = \"ES256\"\nuse = \"task\"\npublic = \"{}\"\nissuers = [\"shop\"]\ntypes = [\"*\"]\n\
         audiences = [\"plant/*\"]\n",
        key.kid(),
        public_text(&key.to_point())
    );
    fs::write(folder.path().join("keyset.toml"), keyset).unwrap();
    let file = folder.path().join("taskseal.toml");
    let uri = server.uri(&id);
    fs::write(
        &file,
        format!("deployment = \"plant\"\n[client]\nissuer = \"shop\"\nsuite = \"S\"\nkey = \"{uri}\"\n"),
    )
    .unwrap();
    let stores = KeyStores::default().with(AwsKms::with_config(config()));
    let config = Config::load_with(&file, &stores).unwrap();
    let keyring = config.keyring().unwrap();
    let audience = Audience::new("plant/orders").unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = Claims::new(
        Issuer::new("shop").unwrap(),
        TaskType::new("ship").unwrap(),
        audience,
        TaskId::from_bytes([7; 16]),
    )
    .issued_at(now)
    .expires_at(now + 60);

    let envelope =
        config.task_key(&keyring).unwrap().seal(&claims, ContentType::JSON, b"{\"order\":1}").unwrap();

    let mut policy = Policy::for_tasks(audience);
    policy.suites = SuiteSet::NONE.with(Suite::S);
    Unverified::parse(&envelope).unwrap().verify(&keyring, &policy, &mut TimeWindow::exact(now)).unwrap();
}
