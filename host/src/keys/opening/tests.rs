use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use taskseal_core::keys::AgreementKey;
use taskseal_core::keyset::DecryptionKeys;

use super::*;
use crate::keys::{Algorithm, SecretKey};

/// A key whose answers are wrong where `wrong` says so, by their number.
#[derive(Debug)]
struct Faulty {
    key: AgreementKey,
    asked: AtomicUsize,
    wrong: fn(usize) -> bool,
}

impl RemoteAgreement for Faulty {
    fn kid(&self) -> KeyId {
        self.key.public_key().kid()
    }

    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        if (self.wrong)(self.asked.fetch_add(1, Ordering::SeqCst)) {
            return Ok(Secret::copy_from(&[7; 32]));
        }
        let mut key = &self.key;
        let Ok(secret) = key.agree(peer);
        Ok(secret)
    }

    fn self_test(&self) -> Result<(), SignerFault> {
        let mut ours = fresh();
        let Ok(expected) = ours.agree(&self.key.public_key());
        let answer = self.agree(&ours.public_key())?;
        if same(&expected, &answer) { Ok(()) } else { Err(SignerFault::new("wrong")) }
    }
}

/// A key pair that nobody else has.
fn fresh() -> AgreementKey {
    let mut scalar = Secret::zeroed();
    // All but one in 2^32 scalars are of use.
    getrandom::fill(scalar.as_mut_bytes()).unwrap();
    AgreementKey::from_scalar(&scalar).unwrap()
}

/// What becomes of a rejection after such a key was asked; with or without its public half in the keyset.
fn rejected(known: bool, wrong: fn(usize) -> bool) -> OpenError {
    let folder = tempfile::tempdir().unwrap();
    let key = SecretKey::create(&folder.path().join("key"), Algorithm::EcdhEs, "a test").unwrap();
    let (kid, public) = (key.kid(), key.public().unwrap());
    let SecretKey::Agree(key) = key else { unreachable!("it is made to agree") };
    let entry =
        format!("[[key]]\nkid = \"{kid}\"\nalg = \"ECDH-ES\"\nuse = \"task\"\npublic = \"{public}\"\n");
    let file = folder.path().join("keyset.toml");
    fs::write(&file, if known { &entry } else { "" }).unwrap();
    let faulty: Arc<dyn RemoteAgreement> = Arc::new(Faulty { key: *key, asked: AtomicUsize::new(0), wrong });
    let keyring = Keyring::load(&file).unwrap().with_remote_decryption_keys([faulty]);
    let mut keys = keyring.opening();
    let peer = fresh().public_key();
    keys.agreement_key(kid).unwrap().agree(&peer).unwrap();
    keys.verdict(Refusal::Rejected.into())
}

#[test]
fn key_that_contradicts_itself_is_unavailable() {
    for known in [false, true] {
        assert_eq!(rejected(known, |number| number == 0), OpenError::KeyUnavailable);
        assert_eq!(rejected(known, |number| number == 1), OpenError::KeyUnavailable);
    }
}

#[test]
fn key_that_was_wrong_and_is_mended_meanwhile_is_unavailable() {
    for known in [false, true] {
        assert_eq!(rejected(known, |number| number < 1), OpenError::KeyUnavailable);
        assert_eq!(rejected(known, |number| number < 2), OpenError::KeyUnavailable);
    }
}

#[test]
fn key_that_is_wrong_each_time_is_unavailable() {
    for known in [false, true] {
        assert_eq!(rejected(known, |_| true), OpenError::KeyUnavailable);
    }
}

#[test]
fn rejection_by_a_key_that_stands_by_its_right_answer_stays_one() {
    for known in [false, true] {
        assert_eq!(rejected(known, |_| false), Refusal::Rejected.into());
    }
}

#[test]
fn rejection_without_a_key_that_is_kept_elsewhere_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keyset.toml"), "").unwrap();
    let keyring = Keyring::load(&folder.path().join("keyset.toml")).unwrap();
    assert_eq!(keyring.opening().verdict(Refusal::Rejected.into()), Refusal::Rejected.into());
}
