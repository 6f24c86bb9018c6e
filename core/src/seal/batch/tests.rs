//! Batches of every suite and size: valid and invalid envelopes, and the values that the tasks of a batch share.

use std::vec;
use std::vec::Vec as StdVec;

use super::*;
use crate::batch::BatchRootCache;
use crate::keys::VerifyingKey;
use crate::keyset::{KeyRecord, RecordKey};
use crate::open::{Unverified, Verified};
use crate::provider::Software;
use crate::suite::{Suite, SuiteSet};
use crate::testing::{
    Counted, NOW, VerifiesBy, agreement_key, claims, encryption_key, keyset, record, seal, signing_key, twin,
};
use crate::{OpenError, Policy, Refusal, TaskId, TimeWindow};

fn numbered(number: usize) -> Claims<'static> {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&(number as u64).to_be_bytes());
    Claims { task_id: TaskId::from_bytes(id), ..claims() }
}

/// Seals `size` tasks whose bodies are their numbers.
fn batch<M: SigningMode>(sealer: &mut Sealer<M>, size: usize) -> StdVec<StdVec<u8>>
where
    SignerError<M>: fmt::Debug,
{
    let mut rng = Counted::default();
    let len = sealer.batched_len(&claims(), ContentType::OCTETS, 8, size);
    let mut batch = sealer.batch::<1024>();
    let mut tasks = StdVec::new();
    for number in 0..size {
        let mut buffer = vec![0; len];
        let body = (number as u64).to_be_bytes();
        let pending =
            batch.add(&numbered(number), ContentType::OCTETS, &body, &mut rng, &mut buffer).unwrap();
        tasks.push((pending, buffer));
    }
    let signed = batch.sign().unwrap();
    let finish = |(pending, mut buffer): (Pending, StdVec<u8>)| {
        let len = signed.finish(pending, &mut buffer).unwrap().len();
        buffer.truncate(len);
        buffer
    };
    tasks.into_iter().map(finish).collect()
}

fn policy() -> Policy<'static> {
    let all = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    Policy { suites: all, accept_batches: true, ..Policy::for_tasks(claims().audience) }
}

fn verify<'a>(bytes: &'a [u8], policy: &Policy<'_>) -> Result<Verified<'a>, OpenError> {
    let key = signing_key(1).verifying_key();
    let keys = keyset([record(RecordKey::Es256(&key))]);
    Unverified::parse(bytes)?.verify(&keys, policy, &mut TimeWindow::exact(NOW))
}

#[test]
fn a_policy_that_allows_the_suite_does_not_allow_its_batches() {
    let sealed = batch(&mut Sealer::sign(signing_key(1)), 1);
    let refused = verify(&sealed[0], &Policy { accept_batches: false, ..policy() }).unwrap_err();
    assert_eq!(refused, Refusal::SuiteNotAllowed.into());
    let refused = verify(&sealed[0], &Policy { suites: SuiteSet::SIGNED_AND_ENCRYPTED, ..policy() });
    assert_eq!(refused.unwrap_err(), Refusal::SuiteNotAllowed.into());
}

#[test]
fn flipped_bits_and_truncations_are_refused() {
    let shared = encryption_key(2);
    let mut all = batch(&mut Sealer::sign(signing_key(1)), 5);
    all.extend(batch(&mut Sealer::sign_encrypt(signing_key(1), &shared), 3));
    // The first, which the tree always hashes in pairs, and the last, which it promotes unchanged.
    for sealed in [&all[0], &all[4], &all[7]] {
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&flipped, &policy()).is_err(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(verify(&sealed[..len], &policy()).is_err(), "{len} bytes");
        }
    }
}

#[test]
fn a_larger_tree_that_the_path_would_fit_too_is_refused() {
    let sealed = &batch(&mut Sealer::sign(signing_key(1)), 5)[0];
    // Five leaves or six: the path of the first one is the same, and so is the root.
    let larger: StdVec<u8> = sealed.clone();
    let mut proof = larger.clone();
    let at = proof.windows(4).position(|window| window == [0x83, 0x05, 0x00, 0x83]).unwrap();
    proof[at + 1] = 6;
    assert_eq!(verify(&proof, &policy()).unwrap_err(), Refusal::Malformed.into());
    let at = proof.windows(6).position(|window| window == [0x3a, 0, 1, 0x74, 0x73, 5]).unwrap();
    proof[at + 5] = 6;
    assert_eq!(verify(&proof, &policy()).unwrap_err(), Refusal::Rejected.into());
}

#[test]
fn receipts_cannot_be_exchanged_between_tasks() {
    let sealed = batch(&mut Sealer::sign(signing_key(1)), 4);
    let split = |bytes: &[u8]| bytes.windows(2).rposition(|window| window == [0xd2, 0x84]).unwrap();
    for (one, other) in [(0, 1), (1, 0), (2, 3), (0, 3)] {
        let (one, other) = (&sealed[one], &sealed[other]);
        let crossed = [&one[..split(one)], &other[split(other)..]].concat();
        assert_eq!(verify(&crossed, &policy()).unwrap_err(), Refusal::Rejected.into());
    }
}

#[test]
fn a_receipt_under_another_kid_is_malformed() {
    let mut sealed = batch(&mut Sealer::sign(signing_key(1)), 2).remove(0);
    let kid = *signing_key(1).verifying_key().kid().as_bytes();
    let at = sealed.windows(8).rposition(|window| window == kid).unwrap();
    sealed[at] ^= 1;
    assert_eq!(verify(&sealed, &policy()).unwrap_err(), Refusal::Malformed.into());
}

#[test]
fn the_high_s_twin_of_the_common_signature_is_rejected() {
    let mut sealed = batch(&mut Sealer::sign(signing_key(1)), 2).remove(1);
    let at = sealed.len() - 64;
    let signature: [u8; 64] = sealed[at..].try_into().unwrap();
    sealed[at..].copy_from_slice(&twin(signature));
    assert_eq!(verify(&sealed, &policy()).unwrap_err(), Refusal::Rejected.into());
}

/// Counts verifications, with or without a cache.
#[derive(Default)]
struct Watched {
    verified: core::cell::Cell<usize>,
    roots: BatchRootCache<2>,
}

impl Watched {
    fn verify(&mut self, bytes: &[u8], record: KeyRecord<'_>) -> Result<(), OpenError> {
        let keys = keyset([record]);
        let clock = &mut TimeWindow::exact(NOW);
        let provider = VerifiesBy(|key: &VerifyingKey, digest: &[u8; 32], signature: &[u8; 64]| {
            self.verified.set(self.verified.get() + 1);
            Software.verify_es256(key, digest, signature)
        });
        Unverified::parse(bytes)?.verify_with(&provider, &mut self.roots, &keys, &policy(), clock)?;
        Ok(())
    }
}

#[test]
fn a_root_is_verified_once_and_a_key_revoked_later_is_still_refused() {
    let sealed = batch(&mut Sealer::sign(signing_key(1)), 6);
    let key = signing_key(1).verifying_key();
    let record = record(RecordKey::Es256(&key));
    let mut watched = Watched::default();
    sealed.iter().for_each(|sealed| watched.verify(sealed, record).unwrap());
    assert_eq!(watched.verified.get(), 1);
    let revoked = KeyRecord { enabled: false, ..record };
    assert_eq!(watched.verify(&sealed[0], revoked), Err(Refusal::KeyNotValid.into()));
}

#[test]
fn forged_roots_are_not_cached_and_displace_none() {
    let sealed = batch(&mut Sealer::sign(signing_key(1)), 2);
    let key = signing_key(1).verifying_key();
    let record = record(RecordKey::Es256(&key));
    let mut watched = Watched::default();
    watched.verify(&sealed[0], record).unwrap();
    for forged in 0..8 {
        let mut bytes = sealed[0].clone();
        let at = bytes.len() - 40;
        bytes[at] ^= 1 << forged;
        assert_eq!(watched.verify(&bytes, record), Err(Refusal::Rejected.into()));
        assert_eq!(watched.verify(&bytes, record), Err(Refusal::Rejected.into()));
    }
    assert_eq!(watched.verified.get(), 17);
    watched.verify(&sealed[1], record).unwrap();
    assert_eq!(watched.verified.get(), 17);
}

#[test]
fn a_cached_root_is_not_valid_for_another_key() {
    let sealed = batch(&mut Sealer::sign(signing_key(1)), 1);
    let (key, other) = (signing_key(1).verifying_key(), signing_key(2).verifying_key());
    let mut watched = Watched::default();
    watched.verify(&sealed[0], record(RecordKey::Es256(&key))).unwrap();
    assert_eq!(watched.verify(&sealed[0], record(RecordKey::Es256(&other))), Err(Refusal::UnknownKey.into()));
}

#[test]
fn a_full_batch_refuses_tasks_and_keeps_the_others() {
    let mut sealer = Sealer::sign(signing_key(1));
    let mut rng = Counted::default();
    let mut batch = sealer.batch::<1>();
    let mut buffers = [[0; 640]; 2];
    let [first, second] = &mut buffers;
    let pending = batch.add(&numbered(0), ContentType::OCTETS, b"0", &mut rng, first).unwrap();
    let refused = batch.add(&numbered(1), ContentType::OCTETS, b"1", &mut rng, second);
    assert!(matches!(refused, Err(SealError::BatchFull)));
    let envelope = batch.sign().unwrap().finish(pending, first).unwrap();
    assert!(verify(envelope, &policy()).is_ok());
}

#[test]
fn more_than_1024_tasks_are_refused() {
    let mut sealer = Sealer::sign(signing_key(1));
    let mut batch = sealer.batch::<1100>();
    batch.leaves.resize(1024, [0; 32]).unwrap();
    let refused = batch.add(&claims(), ContentType::OCTETS, b"", &mut Counted::default(), &mut [0; 640]);
    assert!(matches!(refused, Err(SealError::BatchFull)));
}

#[test]
fn an_empty_batch_is_not_signed() {
    let mut sealer = Sealer::sign(signing_key(1));
    let mut batch = sealer.batch::<4>();
    assert!(batch.is_empty());
    assert!(matches!(batch.sign(), Err(SealError::BatchEmpty)));
}

#[test]
fn a_task_that_cannot_be_added_leaves_the_batch_unchanged() {
    let mut sealer = Sealer::sign(signing_key(1));
    let mut rng = Counted::default();
    let mut batch = sealer.batch::<4>();
    let contradictory = Claims { expires_at: None, ..numbered(0) };
    let mut buffer = [0; 640];
    let refused = batch.add(&contradictory, ContentType::OCTETS, b"", &mut rng, &mut buffer);
    assert!(matches!(refused, Err(SealError::InconsistentClaims)));
    let refused = batch.add(&numbered(0), ContentType::OCTETS, b"", &mut rng, &mut [0; 100]);
    assert!(matches!(refused, Err(SealError::BufferTooSmall)));
    let pending = batch.add(&numbered(1), ContentType::OCTETS, b"1", &mut rng, &mut buffer).unwrap();
    assert_eq!(batch.len(), 1);
    let envelope = batch.sign().unwrap().finish(pending, &mut buffer).unwrap();
    assert!(verify(envelope, &policy()).is_ok());
}

#[test]
fn a_receipt_that_does_not_fit_is_an_error() {
    let mut sealer = Sealer::sign(signing_key(1));
    let mut rng = Counted::default();
    let mut batch = sealer.batch::<4>();
    let mut buffer = [0; 300];
    let pending = batch.add(&numbered(1), ContentType::OCTETS, b"1", &mut rng, &mut buffer).unwrap();
    let finished = batch.sign().unwrap().finish(pending, &mut buffer).map(|_| ());
    assert_eq!(finished, Err(SealError::BufferTooSmall));
}

#[test]
fn every_task_of_every_size_and_suite_verifies_alone_and_opens() {
    let (shared, mut worker) = (encryption_key(2), agreement_key(3));
    let public = worker.public_key();
    let mut opened = 0;
    let mut check = |sealed: &[StdVec<u8>], suite, keys: &mut dyn FnMut(Verified<'_>) -> StdVec<u8>| {
        for (number, sealed) in sealed.iter().enumerate() {
            assert!(Unverified::parse(sealed).unwrap().is_batched());
            let verified = verify(sealed, &policy()).unwrap();
            assert_eq!((verified.suite(), verified.is_batched()), (suite, true));
            assert_eq!(keys(verified), (number as u64).to_be_bytes());
            opened += 1;
        }
    };
    let mut buffer = [0; 8];
    for size in [1, 2, 3, 5, 8, 17] {
        let sealed = batch(&mut Sealer::sign(signing_key(1)), size);
        check(&sealed, Suite::S, &mut |verified| {
            verified.danger_open_without_replay_guard(&mut (), &mut []).unwrap().body().to_vec()
        });
        let sealed = batch(&mut Sealer::sign_encrypt(signing_key(1), &shared), size);
        check(&sealed, Suite::Se, &mut |verified| {
            verified.danger_open_without_replay_guard(&mut &shared, &mut buffer).unwrap().body().to_vec()
        });
        let sealed = batch(&mut Sealer::sign_encrypt_to(signing_key(1), &public), size);
        check(&sealed, Suite::Sp, &mut |verified| {
            verified.danger_open_without_replay_guard(&mut worker, &mut buffer).unwrap().body().to_vec()
        });
    }
    assert_eq!(opened, 3 * 36);
}

#[test]
fn the_tasks_of_a_batch_of_suite_sp_share_their_ephemeral_key_and_no_iv() {
    let worker = agreement_key(3).public_key();
    let sealed = batch(&mut Sealer::sign_encrypt_to(signing_key(1), &worker), 40);
    let parts: StdVec<_> = sealed
        .iter()
        .map(|sealed| {
            let parsed = Unverified::parse(sealed).unwrap();
            let crate::envelope::Layer::Signed { content: crate::envelope::Signed::Encrypted(inner), .. } =
                parsed.envelope.layer
            else {
                panic!("encrypted")
            };
            (*inner.recipient.unwrap().x, *inner.iv)
        })
        .collect();
    assert!(parts.iter().all(|(x, _)| *x == parts[0].0));
    let mut ivs: StdVec<_> = parts.iter().map(|(_, iv)| *iv).collect();
    ivs.sort_unstable();
    ivs.dedup();
    assert_eq!(ivs.len(), 40);
    let other = batch(&mut Sealer::sign_encrypt_to(signing_key(1), &worker), 1);
    assert_ne!(other[0], sealed[0]);
}

/// The session of a batch that was open at a fork or a snapshot.
fn open_session(last_iv: [u8; 12]) -> super::super::sign_encrypt::Agreed {
    let mut session = super::super::sign_encrypt::Agreed::default();
    session.iv = Some(last_iv);
    session
}

fn next_iv(session: &mut super::super::sign_encrypt::Agreed, rng: &mut Counted) -> [u8; 12] {
    session.next_iv::<_, core::convert::Infallible>(rng).unwrap()
}

#[test]
fn an_iv_counter_that_wraps_repeats_no_iv() {
    let mut session = open_session([0xff; 12]);
    // A stuck source: only the counter differs.
    let ivs: [[u8; 12]; 3] = core::array::from_fn(|_| next_iv(&mut session, &mut Counted::default()));
    assert_eq!(ivs.map(|iv| iv[8..].to_vec()), [[0; 4], [0, 0, 0, 1], [0, 0, 0, 2]]);
    assert!(ivs.iter().all(|iv| iv[..8] == ivs[0][..8]));
}

#[test]
fn copies_of_an_open_batch_share_no_iv_once_their_sources_differ() {
    let (mut one, mut other) = (open_session([5; 12]), open_session([5; 12]));
    let (mut source, mut reseeded) = (Counted::default(), Counted::default());
    for _ in 0..9 {
        let _ = rand_core::TryRng::try_next_u64(&mut reseeded);
    }
    for _ in 0..4 {
        assert_ne!(next_iv(&mut one, &mut source)[..8], next_iv(&mut other, &mut reseeded)[..8]);
    }
}

#[test]
fn the_computed_length_is_that_of_the_longest_and_the_frame_is_within_its_limit() {
    let worker = agreement_key(3).public_key();
    let mut sealer = Sealer::sign_encrypt_to(signing_key(1), &worker);
    for size in [1, 3, 64, 1000, 1024] {
        let told = sealer.batched_len(&claims(), ContentType::OCTETS, 8, size);
        let sealed = batch(&mut sealer, size);
        let longest = sealed.iter().map(StdVec::len).max().unwrap();
        assert!((longest..=longest + 1).contains(&told), "{size}: {told} computed, {longest} is the longest");
    }
    let claims = claims();
    let header = signed_header(
        &sealer.mode,
        &Job { claims: &claims, content_type: ContentType::OCTETS, body: &[], kind: crate::Kind::Task },
    );
    let frame = sealer.batched_len(&claims, ContentType::OCTETS, MAX_BODY, 1024) - MAX_BODY;
    let longest_type = 64 - ContentType::OCTETS.as_str().len();
    assert!(frame + longest_type - header.encoded_len().unwrap() <= crate::envelope::MAX_FRAME);
}

#[test]
fn a_batched_result_is_not_a_task() {
    let mut sealer = Sealer::sign(signing_key(1)).kind(crate::Kind::Result);
    let mut rng = Counted::default();
    let mut batch = sealer.batch::<4>();
    let mut buffer = [0; 640];
    let result = numbered(1).request([1; 32]);
    let pending = batch.add(&result, ContentType::OCTETS, b"", &mut rng, &mut buffer).unwrap();
    let envelope = batch.sign().unwrap().finish(pending, &mut buffer).unwrap();
    assert_eq!(verify(envelope, &policy()).unwrap_err(), Refusal::WrongKind.into());
}

#[test]
fn a_signature_over_one_task_is_not_a_receipt_and_a_receipt_is_not_a_signature() {
    let single = seal(&mut Sealer::sign(signing_key(1)), &numbered(0), &[0; 8]);
    let batched = batch(&mut Sealer::sign(signing_key(1)), 1).remove(0);
    let mut crossed = batched.clone();
    let at = crossed.len() - 64;
    crossed[at..].copy_from_slice(&single[single.len() - 64..]);
    assert_eq!(verify(&crossed, &policy()).unwrap_err(), Refusal::Rejected.into());
    let mut crossed = single;
    let at = crossed.len() - 64;
    crossed[at..].copy_from_slice(&batched[batched.len() - 64..]);
    assert_eq!(verify(&crossed, &policy()).unwrap_err(), Refusal::Rejected.into());
}

/// A token that is temporarily unavailable.
struct Away<S> {
    signer: S,
    failures: u32,
}

impl<S: Signer<Error = core::convert::Infallible>> Signer for Away<S> {
    type Error = &'static str;

    fn kid(&self) -> KeyId {
        self.signer.kid()
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], &'static str> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err("away");
        }
        let Ok(signature) = self.signer.sign_digest(digest);
        Ok(signature)
    }
}

#[test]
fn a_signer_that_was_unavailable_signs_the_same_batch_later() {
    let worker = agreement_key(3).public_key();
    let signer = Away { signer: signing_key(1), failures: 2 };
    let mut sealer = Sealer::sign_encrypt_to(signer, &worker);
    let mut rng = Counted::default();
    let mut batch = sealer.batch::<4>();
    let mut buffer = [0; 1024];
    let pending = batch.add(&numbered(1), ContentType::OCTETS, b"1", &mut rng, &mut buffer).unwrap();
    assert!(matches!(batch.sign(), Err(SealError::Signer("away"))));
    assert!(matches!(batch.sign(), Err(SealError::Signer("away"))));
    let first = batch.sign().unwrap().finish(pending, &mut buffer).unwrap().to_vec();
    assert!(verify(&first, &policy()).is_ok());

    assert!(batch.is_empty());
    let pending = batch.add(&numbered(1), ContentType::OCTETS, b"1", &mut rng, &mut buffer).unwrap();
    let second = batch.sign().unwrap().finish(pending, &mut buffer).unwrap();
    assert!(verify(second, &policy()).is_ok());
    assert_ne!(first, second, "another ephemeral key");
}

#[test]
fn a_failing_source_starts_no_batch_of_suite_sp() {
    struct Broken;
    impl rand_core::TryRng for Broken {
        type Error = fmt::Error;

        fn try_next_u32(&mut self) -> Result<u32, fmt::Error> {
            Err(fmt::Error)
        }

        fn try_next_u64(&mut self) -> Result<u64, fmt::Error> {
            Err(fmt::Error)
        }

        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), fmt::Error> {
            Err(fmt::Error)
        }
    }
    impl TryCryptoRng for Broken {}

    let worker = agreement_key(3).public_key();
    let mut sealer = Sealer::sign_encrypt_to(signing_key(1), &worker);
    let mut batch = sealer.batch::<4>();
    let mut buffer = [0; 1024];
    let refused = batch.add(&numbered(1), ContentType::OCTETS, b"1", &mut Broken, &mut buffer);
    assert!(matches!(refused, Err(SealError::Random)));
    assert_eq!(buffer, [0; 1024]);
    let mut rng = Counted::default();
    let pending = batch.add(&numbered(1), ContentType::OCTETS, b"1", &mut rng, &mut buffer).unwrap();
    let envelope = batch.sign().unwrap().finish(pending, &mut buffer).unwrap();
    assert!(verify(envelope, &policy()).is_ok());
}
