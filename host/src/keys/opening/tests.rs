use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use taskseal_core::keys::AgreementKey;
use taskseal_core::keyset::DecryptionKeys;

use super::*;
use crate::keys::agreement::{RemoteAgreement, TEST_VALID_FOR};
use crate::keys::{Algorithm, SecretKey};

/// A key whose answers are wrong where `wrong` says so for the number of the call.
#[derive(Debug)]
struct Faulty {
    key: AgreementKey,
    calls: AtomicUsize,
    wrong: fn(usize) -> bool,
}

impl RemoteAgreement for Faulty {
    fn kid(&self) -> KeyId {
        self.key.public_key().kid()
    }

    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        if (self.wrong)(self.calls.fetch_add(1, Ordering::SeqCst)) {
            return Ok(Secret::copy_from(&[7; 32]));
        }
        let mut key = &self.key;
        let Ok(secret) = key.agree(peer);
        Ok(secret)
    }

    fn self_test(&self) -> Result<(), SignerFault> {
        let mut ours = generate();
        let Ok(expected) = ours.agree(&self.key.public_key());
        let answer = self.agree(&ours.public_key())?;
        if same(&expected, &answer) { Ok(()) } else { Err(SignerFault::new("wrong")) }
    }
}

/// Generates a key pair.
fn generate() -> AgreementKey {
    let mut scalar = Secret::zeroed();
    // Fails once in 2^32 times.
    getrandom::fill(scalar.as_mut_bytes()).unwrap();
    AgreementKey::from_scalar(&scalar).unwrap()
}

/// Returns the verdict on a rejection after such a key was called; `known`: its public key is in the keyset.
fn rejected(known: bool, wrong: fn(usize) -> bool) -> OpenError {
    let folder = tempfile::tempdir().unwrap();
    let key = SecretKey::create(&folder.path().join("key"), Algorithm::EcdhEs, "a test").unwrap();
    let (kid, public) = (key.kid(), key.public().unwrap());
    let SecretKey::Agree(key) = key else { unreachable!("created as an agreement key") };
    let entry =
        format!("[[key]]\nkid = \"{kid}\"\nalg = \"ECDH-ES\"\nuse = \"task\"\npublic = \"{public}\"\n");
    let file = folder.path().join("keyset.toml");
    fs::write(&file, if known { &entry } else { "" }).unwrap();
    let faulty: Arc<dyn RemoteAgreement> = Arc::new(Faulty { key: *key, calls: AtomicUsize::new(0), wrong });
    let keyring = Keyring::load(&file).unwrap().with_remote_decryption_keys([faulty]);
    let mut keys = keyring.opening();
    let peer = generate().public_key();
    keys.agreement_key(kid).unwrap().agree(&peer).unwrap();
    keys.verdict(Refusal::Rejected.into())
}

#[test]
fn key_whose_answers_contradict_each_other_is_unavailable() {
    for known in [false, true] {
        assert_eq!(rejected(known, |number| number == 0), OpenError::KeyUnavailable);
        assert_eq!(rejected(known, |number| number == 1), OpenError::KeyUnavailable);
    }
}

#[test]
fn key_that_was_wrong_and_has_been_repaired_is_unavailable() {
    for known in [false, true] {
        assert_eq!(rejected(known, |number| number < 1), OpenError::KeyUnavailable);
        assert_eq!(rejected(known, |number| number < 2), OpenError::KeyUnavailable);
    }
}

#[test]
fn key_whose_answers_are_always_wrong_is_unavailable() {
    for known in [false, true] {
        assert_eq!(rejected(known, |_| true), OpenError::KeyUnavailable);
    }
}

#[test]
fn rejection_after_a_confirmed_right_answer_remains_a_rejection() {
    for known in [false, true] {
        assert_eq!(rejected(known, |_| false), Refusal::Rejected.into());
    }
}

#[test]
fn self_test_that_passed_is_not_repeated_within_its_time_and_one_that_failed_is() {
    let failing: Arc<dyn RemoteAgreement> =
        Arc::new(Faulty { key: generate(), calls: AtomicUsize::new(0), wrong: |number| number == 0 });
    let key = RemoteKey::new(failing);
    let now = Instant::now();
    assert!(!key.is_sound(|| now));
    assert!(key.is_sound(|| now), "a failure was kept");

    let once: Arc<dyn RemoteAgreement> =
        Arc::new(Faulty { key: generate(), calls: AtomicUsize::new(0), wrong: |number| number > 0 });
    let key = RemoteKey::new(once);
    assert!(key.is_sound(|| now));
    assert!(key.is_sound(|| now + TEST_VALID_FOR / 2), "the test was repeated");
    assert!(!key.is_sound(|| now + TEST_VALID_FOR), "the result was kept for too long");
}

#[test]
fn rejection_without_a_key_kept_elsewhere_remains_a_rejection() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keyset.toml"), "").unwrap();
    let keyring = Keyring::load(&folder.path().join("keyset.toml")).unwrap();
    assert_eq!(keyring.opening().verdict(Refusal::Rejected.into()), Refusal::Rejected.into());
}
