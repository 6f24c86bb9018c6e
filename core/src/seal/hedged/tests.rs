//! With a dead source of randomness, random values repeat for the same message only.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::envelope::{Layer, Signed};
use crate::inner::IV_LEN;
use crate::keys::EncryptionKey;
use crate::kid::KeyId;
use crate::open::Unverified;
use crate::seal::{Encrypt, SignEncrypt, SignEncryptTo};
use crate::testing::{Counted, agreement_key, claims, encryption_key, hex, signing_key};
use crate::{Claims, Kind, TaskId};

const BODY: &[u8] = b"21.5";

fn hedge(seed: u8) -> HedgeKey {
    HedgeKey::new(Secret::copy_from(&[seed; 32]))
}

/// A source that always returns the same bytes.
struct Stuck;

impl TryRng for Stuck {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(0);
        Ok(())
    }
}

impl TryCryptoRng for Stuck {}

/// A source that reports its failure.
struct Broken;

impl TryRng for Broken {
    type Error = fmt::Error;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Err(fmt::Error)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Err(fmt::Error)
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
        Err(fmt::Error)
    }
}

impl TryCryptoRng for Broken {}

fn sealed<M: Mode>(mut sealer: Sealer<M>, claims: &Claims<'_>, body: &[u8], key: &HedgeKey) -> Vec<u8>
where
    M::Error: fmt::Debug,
{
    let mut buffer = vec![0; 1024];
    let sealed = sealer.seal_hedged(claims, ContentType::OCTETS, body, key, &mut Stuck, &mut buffer);
    sealed.unwrap().to_vec()
}

/// Salt and nonce of suite E.
fn drawn(envelope: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let parsed = Unverified::parse(envelope).unwrap();
    let Layer::Encrypted { iv, .. } = parsed.envelope.layer else { panic!("suite E") };
    let salt = &parsed.envelope.header.salt_commit.unwrap()[..16];
    assert_eq!(iv.len(), IV_LEN);
    (salt.to_vec(), iv.to_vec())
}

#[test]
fn a_failing_source_is_an_error_and_not_a_silent_fallback() {
    let shared = encryption_key(2);
    let sealed = Sealer::encrypt(&shared)
        .seal_hedged(&claims(), ContentType::OCTETS, BODY, &hedge(1), &mut Broken, &mut [0; 512])
        .map(|_| ());
    assert_eq!(sealed, Err(SealError::Random));
}

#[test]
fn with_a_stuck_source_every_part_of_the_message_changes_the_random_values() {
    let shared = encryption_key(2);
    let e = |claims: &Claims<'_>, body, key| drawn(&sealed(Sealer::encrypt(&shared), claims, body, key));
    let (first, hedge_key) = (claims(), hedge(1));
    let original = e(&first, BODY, &hedge_key);
    assert_eq!(e(&first, BODY, &hedge_key), original, "the same message");

    let others = [
        e(&Claims { task_id: TaskId::from_bytes([8; 16]), ..first }, BODY, &hedge_key),
        e(&first.sequence(1, 2), BODY, &hedge_key),
        e(&first.expires_at(first.issued_at.unwrap() + 1), BODY, &hedge_key),
        e(&first, b"21.6", &hedge_key),
        e(&first, b"", &hedge_key),
        e(&first, BODY, &hedge(2)),
        drawn(&sealed(
            Sealer::encrypt(&shared).kind(Kind::Result),
            &first.request([1; 32]),
            BODY,
            &hedge_key,
        )),
    ];
    for other in &others {
        assert_ne!(other.0, original.0);
        assert_ne!(other.1, original.1);
    }
}

#[test]
fn the_signer_changes_the_random_values() {
    // With the same shared key and nonce, two signers of one task would use the same key stream under different
    // associated data.
    let shared = encryption_key(2);
    let se = |seed| sealed(Sealer::sign_encrypt(signing_key(seed), &shared), &claims(), BODY, &hedge(1));
    assert_ne!(inner_iv(&se(1)), inner_iv(&se(2)));
}

#[test]
fn the_encryption_key_inside_a_signature_changes_the_random_values() {
    // One secret under two kids would have one content key and one nonce under different associated data.
    let key = |kid| EncryptionKey::new(KeyId::from_bytes([kid; 8]), Secret::copy_from(&[2; 32]));
    let se = |kid| sealed(Sealer::sign_encrypt(signing_key(1), &key(kid)), &claims(), BODY, &hedge(1));
    assert_ne!(inner_iv(&se(1)), inner_iv(&se(2)));
    let recipient = |seed| agreement_key(seed).public_key();
    let sp =
        |seed| sealed(Sealer::sign_encrypt_to(signing_key(1), &recipient(seed)), &claims(), BODY, &hedge(1));
    assert_ne!(inner_iv(&sp(3)), inner_iv(&sp(4)));
}

fn inner_iv(envelope: &[u8]) -> [u8; IV_LEN] {
    let parsed = Unverified::parse(envelope).unwrap();
    let Layer::Signed { content: Signed::Encrypted(inner), .. } = parsed.envelope.layer else {
        panic!("suite SE or SP")
    };
    *inner.iv
}

#[test]
fn a_good_source_makes_equal_messages_differ() {
    let shared = encryption_key(2);
    let mut rng = Counted::default();
    let mut seal = || {
        let mut buffer = [0; 512];
        let mut sealer = Sealer::encrypt(&shared);
        let sealed =
            sealer.seal_hedged(&claims(), ContentType::OCTETS, BODY, &hedge(1), &mut rng, &mut buffer);
        sealed.unwrap().to_vec()
    };
    assert_ne!(drawn(&seal()), drawn(&seal()));
}

#[test]
fn every_suite_that_encrypts_opens_again() {
    let (shared, mut worker) = (encryption_key(2), agreement_key(3));
    let public = worker.public_key();
    let e: Sealer<Encrypt<'_>> = Sealer::encrypt(&shared);
    let se: Sealer<SignEncrypt<'_, _>> = Sealer::sign_encrypt(signing_key(1), &shared);
    let sp: Sealer<SignEncryptTo<'_, _>> = Sealer::sign_encrypt_to(signing_key(1), &public);
    let envelopes = [
        sealed(e, &claims(), BODY, &hedge(1)),
        sealed(se, &claims(), BODY, &hedge(1)),
        sealed(sp, &claims(), BODY, &hedge(1)),
    ];
    let key = signing_key(1).verifying_key();
    let keys = crate::testing::keyset([
        crate::testing::record(crate::keyset::RecordKey::Es256(&key)),
        crate::testing::record(crate::keyset::RecordKey::A256Gcm(&shared)),
    ]);
    let all = crate::Suite::ALL.into_iter().fold(crate::SuiteSet::NONE, crate::SuiteSet::with);
    let policy = crate::Policy { suites: all, ..crate::Policy::for_tasks(claims().audience) };
    let mut buffer = [0; 16];
    for (number, envelope) in envelopes.iter().enumerate() {
        let now = &mut crate::TimeWindow::exact(crate::testing::NOW);
        // Inside SE the shared key must not verify envelopes as well.
        let only = crate::testing::keyset([crate::testing::record(crate::keyset::RecordKey::Es256(&key))]);
        let parsed = Unverified::parse(envelope).unwrap();
        let verified =
            if number == 0 { parsed.verify(&keys, &policy, now) } else { parsed.verify(&only, &policy, now) };
        let verified = verified.unwrap();
        let body = if number == 2 {
            verified.danger_open_without_replay_guard(&mut worker, &mut buffer).unwrap().body().to_vec()
        } else {
            verified.danger_open_without_replay_guard(&mut &shared, &mut buffer).unwrap().body().to_vec()
        };
        assert_eq!(body, BODY);
    }
}

#[test]
fn without_randomness_the_stream_equals_that_of_zeros() {
    let shared = encryption_key(2);
    let mut buffer = [0; 512];
    let envelope = Sealer::encrypt(&shared)
        .danger_seal_without_randomness(&claims(), ContentType::OCTETS, BODY, &hedge(1), &mut buffer)
        .unwrap();
    assert_eq!(envelope, sealed(Sealer::encrypt(&shared), &claims(), BODY, &hedge(1)));
}

#[test]
fn a_stream_repeats_no_bytes() {
    let mut stream = Stream { key: Secret::copy_from(&[3; 32]), drawn: 0 };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut bytes = [0; 12];
        let Ok(()) = stream.try_fill_bytes(&mut bytes);
        assert!(seen.insert(bytes));
    }
}

#[test]
fn the_derived_key_is_hkdf_of_the_secret() {
    let key = HedgeKey::derive(&Secret::copy_from(&[0x0b; 32]));
    let expected = hex(EXPECTED);
    assert_eq!(key.0.as_bytes().as_slice(), expected);
}

/// Computed by another implementation of HKDF.
const EXPECTED: &str = "8cd4c928da1dbb2748c9e9101b21b7254d22f8c16dc930bc2c3bfcb4b5e1ef62";
