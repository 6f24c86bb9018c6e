//! Order of refusals, missing keys, small buffers, unavailable tokens, and wiping.

use std::format;
use std::vec::Vec;

use super::*;
use crate::keys::{AgreementKey, AgreementPublicKey, EncryptionKey};
use crate::keyset::Keyset;
use crate::provider::Agree;
use crate::replay::ReplayWindow;
use crate::seal::Sealer;
use crate::suite::SuiteSet;
use crate::testing::{
    NOW, ORDER, agreement_key, claims, encryption_key, hex, mac_key, record, seal, signing_key, twin,
};
use crate::time::TimeWindow;
use crate::{MAX_BODY, Secret};

const BODY: &[u8] = b"a body that is kept confidential";

fn policy() -> Policy<'static> {
    let all = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    Policy { suites: all, ..Policy::for_tasks(claims().audience) }
}

fn verify<'a>(bytes: &'a [u8], record: KeyRecord<'_>) -> Result<Verified<'a>, OpenError> {
    verify_all(bytes, &[record], &policy())
}

fn verify_all<'a>(
    bytes: &'a [u8],
    records: &[KeyRecord<'_>],
    policy: &Policy<'_>,
) -> Result<Verified<'a>, OpenError> {
    let mut keyset = Keyset::<4>::new();
    records.iter().for_each(|record| keyset.insert(*record).expect("a new kid"));
    Unverified::parse(bytes)?.verify(&keyset, policy, &mut TimeWindow::exact(NOW))
}

fn refused<T>(result: Result<T, OpenError>) -> Refusal {
    match result {
        Err(OpenError::Refused(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("accepted"),
    }
}

fn sealed_e(key: &EncryptionKey) -> Vec<u8> {
    seal(&mut Sealer::encrypt(key), &claims(), BODY)
}

fn sealed_se(key: &EncryptionKey) -> Vec<u8> {
    seal(&mut Sealer::sign_encrypt(signing_key(1), key), &claims(), BODY)
}

fn sealed_sp(key: &AgreementKey) -> Vec<u8> {
    seal(&mut Sealer::sign_encrypt_to(signing_key(1), &key.public_key()), &claims(), BODY)
}

#[test]
fn half_the_order_is_half_the_order() {
    // s = n / 2 is its own normal form; s = n / 2 + 1 is not.
    let one = [&[0; 31][..], &[1]].concat();
    let low: [u8; 64] = [&one[..], &HALF_ORDER].concat().try_into().unwrap();
    let mut high = low;
    high[63] += 1;
    let normal =
        |bytes: &[u8; 64]| p256::ecdsa::Signature::from_slice(bytes).unwrap().normalize_s().to_bytes();
    assert_eq!(normal(&low).as_slice(), low);
    assert_ne!(normal(&high).as_slice(), high);
    assert!(is_low_s(&low) && !is_low_s(&high));

    let mut double: Vec<u8> = Vec::new();
    let mut carry = 1;
    for digit in HALF_ORDER.iter().rev() {
        let sum = 2 * u16::from(*digit) + carry;
        double.insert(0, sum.to_le_bytes()[0]);
        carry = sum >> 8;
    }
    assert_eq!(double, hex(ORDER), "2 * (n / 2) + 1 = n");
}

#[test]
fn the_other_signature_of_the_same_message_is_rejected() {
    let signing = signing_key(1);
    let mut sealed = seal(&mut Sealer::sign(signing_key(1)), &claims(), BODY);
    let at = sealed.len() - 64;
    let signature = twin(sealed[at..].try_into().unwrap());
    sealed[at..].copy_from_slice(&signature);
    let parsed = Unverified::parse(&sealed).unwrap().envelope;
    let digest = signature_digest(parsed.header_bytes, parsed.payload);

    let key = signing.verifying_key();
    assert_eq!(Software.verify_es256(&key, &digest, &signature), Ok(()), "a valid twin");
    assert_eq!(refused(verify(&sealed, record(RecordKey::Es256(&key)))), Refusal::Rejected);
}

#[test]
fn the_checks_before_the_signature_come_in_order() {
    let key = signing_key(1).verifying_key();
    let mut sealed = seal(&mut Sealer::sign(signing_key(1)), &claims(), BODY);
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    let records = [record(RecordKey::Es256(&key))];
    let other = signing_key(2).verifying_key();
    let mut policy = Policy { max_body: BODY.len() - 1, ..Policy::for_result(claims().audience, [0; 32]) };

    assert_eq!(refused(verify_all(&sealed, &[], &policy)), Refusal::WrongKind);
    policy.kind = Kind::Task;
    assert_eq!(refused(verify_all(&sealed, &[], &policy)), Refusal::SuiteNotAllowed);
    policy.suites = SuiteSet::NONE.with(Suite::S);
    assert_eq!(refused(verify_all(&sealed, &[], &policy)), Refusal::TooLarge);
    policy.max_body = BODY.len();
    assert_eq!(
        refused(verify_all(&sealed, &[record(RecordKey::Es256(&other))], &policy)),
        Refusal::UnknownKey
    );
    assert_eq!(refused(verify_all(&sealed, &records, &policy)), Refusal::Rejected);
    sealed[last] ^= 1;
    assert_eq!(refused(verify_all(&sealed, &records, &policy)), Refusal::WrongRequest);
    policy.request = None;
    assert!(verify_all(&sealed, &records, &policy).is_ok());
}

#[test]
fn forged_bytes_are_refused_as_rejected_only() {
    // Every check of the policy would fail, and the signature is invalid too.
    let key = signing_key(1).verifying_key();
    let mut sealed =
        seal(&mut Sealer::sign(signing_key(1)), &claims().expires_at(NOW - 900).issued_at(NOW - 999), BODY);
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    let mut bad = KeyRecord::new(RecordKey::Es256(&key)).kind(Kind::Result);
    bad.enabled = false;
    assert_eq!(refused(verify(&sealed, bad)), Refusal::Rejected);
    sealed[last] ^= 1;
    assert_eq!(refused(verify(&sealed, bad)), Refusal::WrongKind);
}

#[test]
fn the_clock_is_not_read_before_the_signature_is_good() {
    let mut sealed = seal(&mut Sealer::sign(signing_key(1)), &claims(), BODY);
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    let key = signing_key(1).verifying_key();
    let mut keyset = Keyset::<1>::new();
    keyset.insert(record(RecordKey::Es256(&key))).unwrap();
    let mut clock = || -> TimeWindow { panic!("the clock was read") };
    assert_eq!(
        refused(Unverified::parse(&sealed).unwrap().verify(&keyset, &policy(), &mut clock)),
        Refusal::Rejected
    );
}

#[test]
fn a_record_of_another_algorithm_is_rejected() {
    let signing = signing_key(1).verifying_key();
    let (mac, shared) = (
        crate::keys::HmacKey::new(signing.kid(), Secret::copy_from(&[1; 32])),
        EncryptionKey::new(signing.kid(), Secret::copy_from(&[1; 32])),
    );
    let records = [RecordKey::Es256(&signing), RecordKey::Hmac256(&mac), RecordKey::A256Gcm(&shared)];
    let sealed = [
        seal(&mut Sealer::sign(signing_key(1)), &claims(), BODY),
        seal(&mut Sealer::authenticate(&mac), &claims(), BODY),
        seal(&mut Sealer::encrypt(&shared), &claims(), BODY),
    ];
    for (message, bytes) in sealed.iter().enumerate() {
        for (index, key) in records.iter().enumerate() {
            let verified = verify(bytes, record(*key));
            if message == index {
                assert!(verified.is_ok());
            } else {
                assert_eq!(refused(verified), Refusal::Rejected, "message {message}, record {index}");
            }
        }
    }
}

#[test]
fn a_key_with_another_kid_than_requested_is_not_used() {
    struct Careless<'k>(KeyRecord<'k>);
    impl KeyLookup for Careless<'_> {
        fn find(&self, _: KeyId) -> Option<KeyRecord<'_>> {
            Some(self.0)
        }
    }
    // The same 32 bytes under another kid: the tag would fit.
    let mac = crate::keys::HmacKey::new(KeyId::from_bytes([9; 8]), Secret::copy_from(&[1; 32]));
    let sealed = seal(&mut Sealer::authenticate(&mac_key(1)), &claims(), BODY);
    let careless = Careless(record(RecordKey::Hmac256(&mac)));
    let verified =
        Unverified::parse(&sealed).unwrap().verify(&careless, &policy(), &mut TimeWindow::exact(NOW));
    assert_eq!(refused(verified), Refusal::UnknownKey);
}

#[test]
fn a_key_that_verifies_does_not_decrypt_inside_a_signature() {
    let (signing, shared) = (signing_key(1).verifying_key(), encryption_key(2));
    let (es256, gcm) = (record(RecordKey::Es256(&signing)), record(RecordKey::A256Gcm(&shared)));

    let sealed = sealed_se(&shared);
    assert!(verify_all(&sealed, &[es256], &policy()).is_ok());
    assert_eq!(refused(verify_all(&sealed, &[es256, gcm], &policy())), Refusal::Rejected);

    // The same scalar signs and agrees: its two public halves have one kid.
    let sealed = sealed_sp(&agreement_key(1));
    assert_eq!(refused(verify_all(&sealed, &[es256], &policy())), Refusal::Rejected);
    let sealed = sealed_sp(&agreement_key(3));
    assert!(verify_all(&sealed, &[es256, gcm], &policy()).is_ok());
}

#[test]
fn a_missing_key_leaves_the_buffer_unchanged() {
    let (signing, shared, worker) = (signing_key(1).verifying_key(), encryption_key(2), agreement_key(3));
    let cases = [
        (sealed_e(&shared), RecordKey::A256Gcm(&shared)),
        (sealed_se(&shared), RecordKey::Es256(&signing)),
        (sealed_sp(&worker), RecordKey::Es256(&signing)),
    ];
    for (sealed, key) in &cases {
        let mut buffer = [0xee; 64];
        let verified = verify(sealed, record(*key)).unwrap();
        assert_eq!(
            refused(verified.danger_open_without_replay_guard(&mut (), &mut buffer)),
            Refusal::NoDecryptionKey
        );
        let other = &mut &encryption_key(9);
        assert_eq!(
            refused(verified.danger_open_without_replay_guard(other, &mut buffer)),
            Refusal::NoDecryptionKey
        );
        let other = &mut agreement_key(9);
        assert_eq!(
            refused(verified.danger_open_without_replay_guard(other, &mut buffer)),
            Refusal::NoDecryptionKey
        );
        assert_eq!(buffer, [0xee; 64]);
    }
}

#[test]
fn a_buffer_that_is_too_small_is_left_unchanged() {
    let (signing, shared, mut worker) = (signing_key(1).verifying_key(), encryption_key(2), agreement_key(3));
    let sealed = [sealed_e(&shared), sealed_se(&shared), sealed_sp(&worker)];
    let keys = [RecordKey::A256Gcm(&shared), RecordKey::Es256(&signing), RecordKey::Es256(&signing)];
    for (index, (bytes, key)) in sealed.iter().zip(keys).enumerate() {
        let mut buffer = [0xee; BODY.len() - 1];
        let verified = verify(bytes, record(key)).unwrap();
        let opened = match index {
            2 => verified.danger_open_without_replay_guard(&mut worker, &mut buffer).map(drop),
            _ => verified.danger_open_without_replay_guard(&mut &shared, &mut buffer).map(drop),
        };
        assert_eq!(opened, Err(OpenError::BufferTooSmall));
        assert_eq!(buffer, [0xee; BODY.len() - 1]);
    }
}

/// A token that is unavailable.
struct Away(KeyId);

impl Agree for Away {
    type Error = ();

    fn kid(&self) -> KeyId {
        self.0
    }

    fn agree(&mut self, _: &AgreementPublicKey) -> Result<Secret<32>, ()> {
        Err(())
    }
}

impl DecryptionKeys for Away {
    type Agree<'k> = &'k mut Self;

    fn encryption_key(&self, _: KeyId) -> Option<&EncryptionKey> {
        None
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<&mut Self> {
        (self.0 == kid).then_some(self)
    }
}

#[test]
fn an_unavailable_token_is_an_error_and_not_a_refusal() {
    let (signing, worker) = (signing_key(1).verifying_key(), agreement_key(3));
    let sealed = sealed_sp(&worker);
    let mut buffer = [0xee; 64];
    let verified = verify(&sealed, record(RecordKey::Es256(&signing))).unwrap();
    let opened = verified.danger_open_without_replay_guard(&mut Away(worker.public_key().kid()), &mut buffer);
    assert_eq!(opened.map(drop), Err(OpenError::KeyUnavailable));
    assert_eq!(buffer, [0xee; 64]);
}

#[test]
fn a_wrong_key_under_the_right_kid_is_rejected_and_leaves_no_plaintext() {
    let (signing, shared) = (signing_key(1).verifying_key(), encryption_key(2));
    let wrong = EncryptionKey::new(shared.kid(), Secret::copy_from(&[0x55; 32]));
    for (sealed, key) in
        [(sealed_e(&shared), RecordKey::A256Gcm(&shared)), (sealed_se(&shared), RecordKey::Es256(&signing))]
    {
        let mut buffer = [0xee; 64];
        let verified = verify(&sealed, record(key)).unwrap();
        assert_eq!(
            refused(verified.danger_open_without_replay_guard(&mut &wrong, &mut buffer)),
            Refusal::Rejected
        );
        assert_eq!(buffer, [0xee; 64]);
    }
}

#[test]
fn a_rejected_tag_leaves_no_plaintext() {
    /// Decrypts, then rejects.
    struct Late;
    impl Provider for Late {
        fn verify_es256(&self, _: &VerifyingKey, _: &[u8; 32], _: &[u8; 64]) -> Result<(), Rejected> {
            Ok(())
        }
        fn encrypt_a256gcm(
            &self,
            _: &Secret<32>,
            _: &[u8; 12],
            _: &[&[u8]],
            _: &mut [u8],
        ) -> Result<[u8; 16], Rejected> {
            Err(Rejected)
        }
        fn decrypt_a256gcm(
            &self,
            key: &Secret<32>,
            iv: &[u8; 12],
            aad: &[&[u8]],
            buffer: &mut [u8],
            tag: &[u8; 16],
        ) -> Result<(), Rejected> {
            Software.decrypt_a256gcm(key, iv, aad, buffer, tag).and(Err(Rejected))
        }
        fn check_a256gcm(
            &self,
            _: &Secret<32>,
            _: &[u8; 12],
            _: &[&[u8]],
            _: &[u8],
            _: &[u8; 16],
        ) -> Result<(), Rejected> {
            Ok(())
        }
        fn agree_ephemeral(
            &self,
            _: &Secret<32>,
            _: &AgreementPublicKey,
        ) -> Option<(AgreementPublicKey, Secret<32>)> {
            None
        }
    }
    let shared = encryption_key(2);
    let sealed = sealed_e(&shared);
    let mut buffer = [0xee; 64];
    let verified = verify(&sealed, record(RecordKey::A256Gcm(&shared))).unwrap();
    let admitted = verified.admit(&mut Admission::FirstRun).unwrap();
    assert_eq!(refused(admitted.open_with(&Late, &mut &shared, &mut buffer)), Refusal::Rejected);
    assert_eq!(buffer[..BODY.len()], [0; BODY.len()]);
    assert_eq!(buffer[BODY.len()..], [0xee; 64 - BODY.len()]);
}

#[test]
fn an_opened_body_is_wiped_on_drop_and_nothing_else_is() {
    let (signing, mut worker) = (signing_key(1).verifying_key(), agreement_key(3));
    let sealed = sealed_sp(&worker);
    let mut buffer = [0xee; 64];
    let verified = verify(&sealed, record(RecordKey::Es256(&signing))).unwrap();

    let opened =
        verified.admit(&mut ReplayWindow::<1>::new()).unwrap().open(&mut worker, &mut buffer).unwrap();
    assert_eq!(opened.body(), BODY);
    assert!(!format!("{opened:?} {opened:#?}").contains("kept confidential"));
    drop(opened);

    assert_eq!(buffer[..BODY.len()], [0; BODY.len()]);
    assert_eq!(buffer[BODY.len()..], [0xee; 64 - BODY.len()]);
}

#[test]
fn tasks_are_not_read_as_results_nor_results_without_their_request() {
    let key = signing_key(1).verifying_key();
    let task = seal(&mut Sealer::sign(signing_key(1)), &claims(), BODY);
    let verified = verify(&task, record(RecordKey::Es256(&key))).unwrap();
    assert_eq!(refused(verified.open_result(&mut (), &mut [])), Refusal::WrongKind);

    let answer = seal(&mut Sealer::sign(signing_key(1)).kind(Kind::Result), &claims().request([7; 32]), BODY);
    let results = record(RecordKey::Es256(&key)).kind(Kind::Result);
    let policy = |request| Policy {
        suites: policy().suites,
        request,
        ..Policy::for_result(claims().audience, [0; 32])
    };
    assert_eq!(refused(verify_all(&answer, &[results], &policy(Some([8; 32])))), Refusal::WrongRequest);
    assert_eq!(refused(verify_all(&answer, &[results], &policy(None))), Refusal::WrongRequest);
    assert_eq!(
        refused(verify_all(&answer, &[record(RecordKey::Es256(&key))], &policy(Some([7; 32])))),
        Refusal::WrongKind
    );
    assert!(verify_all(&answer, &[results], &policy(Some([7; 32]))).is_ok());
}

#[test]
fn a_body_over_the_limit_of_the_format_is_too_large() {
    let sealed = seal(&mut Sealer::authenticate(&mac_key(1)), &claims(), &std::vec![0; MAX_BODY]);
    assert!(Unverified::parse(&sealed).is_ok());
    let mut longer = sealed.clone();
    let head = longer.windows(5).position(|bytes| bytes == [0x5a, 1, 0, 0, 0]).unwrap();
    longer[head + 4] = 1;
    longer.insert(head + 5, 0);
    assert_eq!(refused(Unverified::parse(&longer)), Refusal::TooLarge);
    longer.resize(MAX_BODY + 4096, 0);
    assert_eq!(refused(Unverified::parse(&longer)), Refusal::TooLarge);
}

#[test]
fn an_inverted_window_is_treated_as_the_window_between_its_ends() {
    let key = signing_key(1).verifying_key();
    let sealed = seal(&mut Sealer::sign(signing_key(1)), &claims(), BODY);
    let mut keyset = Keyset::<1>::new();
    keyset.insert(record(RecordKey::Es256(&key))).unwrap();
    let mut inverted = TimeWindow { earliest: NOW + 10_000, latest: NOW };
    assert_eq!(
        refused(Unverified::parse(&sealed).unwrap().verify(&keyset, &policy(), &mut inverted)),
        Refusal::Expired
    );
}

#[test]
fn kids_and_sizes_can_be_read_before_verification() {
    let (shared, worker) = (encryption_key(2), agreement_key(3));
    let sealed = [
        seal(&mut Sealer::authenticate(&mac_key(1)), &claims(), BODY),
        sealed_e(&shared),
        sealed_se(&shared),
        sealed_sp(&worker),
    ];
    let parsed = sealed.each_ref().map(|bytes| Unverified::parse(bytes).unwrap());
    let recipients = [None, Some(shared.kid()), Some(shared.kid()), Some(worker.public_key().kid())];
    assert_eq!(parsed.map(|envelope| envelope.recipient_kid()), recipients);
    assert!(parsed.iter().all(|envelope| envelope.body_len() == BODY.len() && envelope.kind() == Kind::Task));
}

#[test]
fn an_unverified_envelope_shows_only_kid_and_suite() {
    let sealed = seal(&mut Sealer::sign(signing_key(1)), &claims(), BODY);
    let shown = format!("{:?}", Unverified::parse(&sealed).unwrap());
    assert!(shown.contains("kid") && !shown.contains("sensor"), "{shown}");
}

#[test]
fn a_verified_envelope_has_its_size_and_claims() {
    let (signing, mac, shared) = (signing_key(1).verifying_key(), mac_key(1), encryption_key(2));
    let worker = agreement_key(3);
    let cases = [
        (seal(&mut Sealer::authenticate(&mac), &claims(), BODY), RecordKey::Hmac256(&mac)),
        (sealed_e(&shared), RecordKey::A256Gcm(&shared)),
        (sealed_se(&shared), RecordKey::Es256(&signing)),
        (sealed_sp(&worker), RecordKey::Es256(&signing)),
    ];
    for (sealed, key) in &cases {
        let verified = verify(sealed, record(*key)).unwrap();
        assert_eq!(verified.body_len(), BODY.len());
        let shown = format!("{verified:?}");
        assert!(shown.starts_with("Verified") && shown.contains("sensor-17"), "{shown}");
        let shown = format!("{:?}", verified.admit(&mut ReplayWindow::<1>::new()).unwrap());
        assert!(shown.starts_with("Admitted") && shown.contains("sensor-17"), "{shown}");
        if matches!(key, RecordKey::Hmac256(_)) {
            let opened = verified.danger_open_without_replay_guard(&mut (), &mut []).unwrap();
            let shown = format!("{opened:?}");
            assert!(shown.starts_with("Opened") && shown.contains("sensor-17"), "{shown}");
            assert!(!shown.contains("kept confidential"), "{shown}");
        }
    }
}
