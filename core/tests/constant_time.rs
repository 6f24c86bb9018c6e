//! Branches and addresses do not depend on secrets.
//!
//! Secrets are marked as undefined memory. Valgrind tracks the values computed from them and reports every dependent
//! jump and address with its line. A report is accepted only if it is one of the [`Verdict`]s of the case: results that
//! are published anyway. Built like a release (the profile `constant-time`), because the compiler can turn selections
//! into branches.
//!
//! `tests/run constant-time` runs it on AES-NI and PCLMULQDQ and on portable code. Not covered: the time of single
//! instructions, and the code paths for processors that valgrind does not emulate (AVX-512 with VAES, the SHA
//! extensions, ARMv8). `benches/timing.rs` measures those.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used)] // Code of a test, which clippy does not recognise as such.
#![allow(unsafe_code)] // Requests to valgrind are special instruction sequences.

#[path = "constant_time/valgrind.rs"]
mod valgrind;
#[path = "constant_time/verdict.rs"]
mod verdict;

use std::convert::Infallible;
use std::hint::black_box;

use taskseal_core::keys::{
    AgreementKey, AgreementPublicKey, EncryptionKey, HmacKey, SigningKey, VerifyingKey,
};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::seal::Mode;
use taskseal_core::{
    Agree, Audience, Claims, ContentType, Issuer, KeyId, KeyLookup, Keyset, NameSet, OpenError, Policy,
    Provider, Refusal, Sealer, Secret, Signer, Software, Suite, SuiteSet, TaskId, TaskType, TimeWindow,
    Unverified, tags_match,
};

use self::valgrind::{Report, is_secret, make_public, make_secret, watch};
use self::verdict::Verdict;

// --- controls: what must be reported --------------------------------------------------------------------

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn control_a_comparison_that_ends_early_is_reported() {
    let reports = watch("control_a_comparison_that_ends_early_is_reported", || {
        let (mut left, right) = ([1_u8; 32], black_box([1_u8; 32]));
        make_secret(&mut left);
        // Black boxes prevent the compiler from merging the comparisons into one without branches.
        black_box(left.iter().zip(right).all(|(left, right)| black_box(*left) == right));
    });
    assert!(reports.is_none_or(|reports| reports.iter().any(|report| report.text.contains("jump"))));
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn control_a_secret_index_is_reported() {
    let reports = watch("control_a_secret_index_is_reported", || {
        let (table, mut index) = (black_box([7_u8; 256]), 3_u8);
        make_secret(&mut index);
        black_box(table[usize::from(index)]);
    });
    assert!(reports.is_none_or(|reports| reports.iter().any(|report| report.text.contains("of size"))));
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn control_a_signer_that_looks_at_what_it_signs_is_reported() {
    /// Refuses some digests, which depend on the secret body.
    struct Choosy(HiddenSigner);

    impl Signer for Choosy {
        type Error = Infallible;

        fn kid(&self) -> KeyId {
            self.0.kid()
        }

        fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Infallible> {
            let digest = if digest[0] == 0x17 { &[0; 32] } else { digest };
            self.0.sign_digest(black_box(digest))
        }
    }

    let reports = watch("control_a_signer_that_looks_at_what_it_signs_is_reported", || {
        drop(seal(Sealer::sign(Choosy(HiddenSigner::new())), &mut body()));
    });
    let unknown = |report: &Report| !Verdict::SIGNING.iter().any(|verdict| verdict.covers(report));
    assert!(reports.is_none_or(|reports| reports.iter().any(unknown)));
}

// --- the parts ------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn tags_are_compared_without_a_branch() {
    passes("tags_are_compared_without_a_branch", &[], || {
        for flip in [0, 1] {
            let (mut left, mut right) = ([1; 32], [1; 32]);
            right[31] ^= flip;
            make_secret(&mut left);
            make_secret(&mut right);
            let mut same = tags_match(&left, &right);
            assert!(is_secret(&mut same));
            make_public(&mut same); // the verdict
            assert_eq!(same, flip == 0);
        }
    });
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn aes_gcm_branches_on_its_verdict_only() {
    passes("aes_gcm_branches_on_its_verdict_only", &[Verdict::GcmTag, Verdict::OurTag], || {
        let (key, iv, aad) = (secret(7), [1; 12], [2; 20]);
        let mut buffer = [5; 100];
        make_secret(&mut buffer);
        let mut made = Software.encrypt_a256gcm(&key, &iv, &[&aad], &mut buffer);
        assert!(is_secret(&mut buffer) && is_secret(&mut made));
        // Ciphertext and tag are sent.
        make_public(&mut made);
        make_public(&mut buffer);
        let (sent, mut tag) = (buffer, made.unwrap());
        for wanted in [true, false] {
            let mut checked = Software.check_a256gcm(&key, &iv, &[&aad], &sent, &tag).is_ok();
            let mut opened = Software.decrypt_a256gcm(&key, &iv, &[&aad], &mut buffer, &tag).is_ok();
            // The verdicts; the decrypted bytes stay secret.
            make_public(&mut checked);
            make_public(&mut opened);
            assert_eq!((checked, opened), (wanted, wanted));
            assert!(!wanted || is_secret(&mut buffer));
            (buffer, tag[15]) = (sent, tag[15] ^ 1);
        }
    });
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn es256_signs_without_a_branch_on_key_or_nonce() {
    passes("es256_signs_without_a_branch_on_key_or_nonce", Verdict::SIGNING, || {
        let mut key = SigningKey::from_scalar(&secret(1)).ok().unwrap();
        let Ok(mut signature) = key.sign_digest(&[5; 32]);
        assert!(is_secret(&mut signature));
        make_public(&mut signature); // it is sent
        let verifying = public_half(key.verifying_key());
        assert_eq!(Software.verify_es256(&verifying, &[5; 32], &signature), Ok(()));
    });
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn keys_are_agreed_without_a_branch_on_the_scalar() {
    passes("keys_are_agreed_without_a_branch_on_the_scalar", Verdict::SCALARS, || {
        let peer = worker_key();
        let mut key = AgreementKey::from_scalar(&secret(1)).ok().unwrap();
        let Ok(mut z) = key.agree(&peer.public_key());
        assert!(is_secret(z.as_mut_bytes()));
        let Some((_, mut ephemeral)) = Software.agree_ephemeral(&secret(1), &peer.public_key()) else {
            panic!("a scalar in range");
        };
        assert!(is_secret(ephemeral.as_mut_bytes()));
        make_public(z.as_mut_bytes()); // to compare them here
        make_public(ephemeral.as_mut_bytes());
        assert_eq!(z.as_bytes(), ephemeral.as_bytes());
    });
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn finding_a_key_never_looks_at_keys() {
    passes("finding_a_key_never_looks_at_keys", &[], || {
        let (mac, encryption) = (mac_key(), encryption_key());
        let mut keyset = Keyset::<4>::new();
        for key in [RecordKey::Hmac256(&mac), RecordKey::A256Gcm(&encryption)] {
            keyset.insert(KeyRecord::new(key)).unwrap();
        }
        assert!(keyset.find(encryption.kid()).is_some());
        assert!(keyset.find(KeyId::from_bytes([9; 8])).is_none());
        assert!((&encryption).encryption_key(encryption.kid()).is_some());
    });
}

// --- whole suites: keys, bodies and ephemeral scalars are secret ----------------------------------------

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn suite_s_depends_on_no_secret() {
    passes("suite_s_depends_on_no_secret", Verdict::SIGNING, || {
        let signer = HiddenSigner::new();
        let verifying = public_half(signer.0.verifying_key());
        let sealed = seal(Sealer::sign(signer), &mut body());
        assert!(verify(&sealed, RecordKey::Es256(&verifying)).is_ok());
    });
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn suite_m_depends_on_no_secret() {
    passes("suite_m_depends_on_no_secret", &[Verdict::OurTag], || {
        let mut sealed = seal(Sealer::authenticate(&mac_key()), &mut body());
        assert!(verify(&sealed, RecordKey::Hmac256(&mac_key())).is_ok());
        *sealed.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&sealed, RecordKey::Hmac256(&mac_key())).map(drop), Err(Refusal::Rejected.into()));
    });
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn suite_e_depends_on_no_secret() {
    passes("suite_e_depends_on_no_secret", &[Verdict::OurTag, Verdict::GcmTag], || {
        let key = encryption_key();
        let mut sealed = seal(Sealer::encrypt(&key), &mut body());
        assert_eq!(open(&sealed, RecordKey::A256Gcm(&key), &mut &key), Ok(()));
        *sealed.last_mut().unwrap() ^= 1;
        assert_eq!(open(&sealed, RecordKey::A256Gcm(&key), &mut &key), Err(Refusal::Rejected.into()));
    });
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn suite_se_depends_on_no_secret() {
    passes("suite_se_depends_on_no_secret", Verdict::SIGNED_AND_ENCRYPTED, || {
        let (signer, key) = (HiddenSigner::new(), encryption_key());
        let verifying = public_half(signer.0.verifying_key());
        let sealed = seal(Sealer::sign_encrypt(signer, &key), &mut body());
        assert_eq!(open(&sealed, RecordKey::Es256(&verifying), &mut &key), Ok(()));
        let other = EncryptionKey::new(key.kid(), secret(99));
        assert_eq!(open(&sealed, RecordKey::Es256(&verifying), &mut &other), Err(Refusal::Rejected.into()));
    });
}

#[test]
#[ignore = "needs valgrind and a release build: tests/run constant-time"]
fn suite_sp_depends_on_no_secret() {
    passes("suite_sp_depends_on_no_secret", Verdict::SIGNED_AND_ENCRYPTED, || {
        let (signer, mut worker) = (HiddenSigner::new(), HiddenWorker::new());
        let verifying = public_half(signer.0.verifying_key());
        let recipient = worker.public;
        let sealed = seal(Sealer::sign_encrypt_to(signer, &recipient), &mut body());
        assert_eq!(open(&sealed, RecordKey::Es256(&verifying), &mut worker), Ok(()));
    });
}

// --- what the cases share -------------------------------------------------------------------------------

/// Runs `work` under valgrind, which must report `verdicts` only.
#[track_caller]
fn passes(case: &str, verdicts: &[Verdict], work: impl FnOnce()) {
    for report in watch(case, work).into_iter().flatten() {
        let known = verdicts.iter().any(|verdict| verdict.covers(&report));
        assert!(known, "{case}: {}\n{}", report.text, report.lines().join("\n"));
    }
}

fn secret(seed: u8) -> Secret<32> {
    let mut secret = Secret::copy_from(&[seed; 32]);
    make_secret(secret.as_mut_bytes());
    secret
}

/// The published part of a key that was derived from a secret.
fn public_half(mut key: VerifyingKey) -> VerifyingKey {
    make_public(&mut key);
    key
}

fn mac_key() -> HmacKey {
    HmacKey::new(KeyId::from_bytes([1; 8]), secret(1))
}

fn encryption_key() -> EncryptionKey {
    EncryptionKey::new(KeyId::from_bytes([2; 8]), secret(2))
}

fn worker_key() -> AgreementKey {
    AgreementKey::from_scalar(&Secret::copy_from(&[3; 32])).unwrap()
}

fn body() -> [u8; 60] {
    let mut body = [0x5a; 60];
    make_secret(&mut body);
    body
}

/// A signing key whose bytes are secret, except for its kid.
struct HiddenSigner(SigningKey, KeyId);

impl HiddenSigner {
    fn new() -> Self {
        let key = SigningKey::from_scalar(&secret(4)).ok().unwrap();
        let kid = public_half(key.verifying_key()).kid();
        Self(key, kid)
    }
}

impl Signer for HiddenSigner {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.1
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Infallible> {
        let Ok(mut signature) = self.0.sign_digest(digest);
        assert!(is_secret(&mut signature));
        make_public(&mut signature); // it is sent
        Ok(signature)
    }
}

/// A key agreement key whose bytes are secret, except for its public key.
struct HiddenWorker {
    key: AgreementKey,
    public: AgreementPublicKey,
}

impl HiddenWorker {
    fn new() -> Self {
        let key = AgreementKey::from_scalar(&secret(3)).ok().unwrap();
        let mut public = key.public_key();
        make_public(&mut public); // it is published
        Self { key, public }
    }
}

impl Agree for HiddenWorker {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.public.kid()
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Infallible> {
        let Ok(mut z) = self.key.agree(peer);
        assert!(is_secret(z.as_mut_bytes()));
        Ok(z)
    }
}

impl DecryptionKeys for HiddenWorker {
    type Agree<'k> = &'k mut Self;

    fn encryption_key(&self, _: KeyId) -> Option<&EncryptionKey> {
        None
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<&mut Self> {
        (Agree::kid(self) == kid).then_some(self)
    }
}

/// A counter. The bytes of the ephemeral scalar are secret; salt and IV are sent.
struct Counting(u8);

impl rand_core::TryRng for Counting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|value| u32::from(value.to_le_bytes()[0]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(u64::from(self.0))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0 += 1;
        bytes.fill(self.0);
        if bytes.len() == 32 {
            make_secret(bytes);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counting {}

fn claims() -> Claims<'static> {
    let issuer = Issuer::new("sensor-17").unwrap();
    let (task_type, audience) = (TaskType::new("reading:store"), Audience::new("plant/ingest"));
    Claims::new(issuer, task_type.unwrap(), audience.unwrap(), TaskId::from_bytes([7; 16]))
        .issued_at(1_763_751_000)
        .expires_at(1_763_754_600)
}

fn seal<M: Mode<Error = Infallible>>(mut sealer: Sealer<M>, body: &mut [u8; 60]) -> Vec<u8> {
    let mut envelope = vec![0; sealer.sealed_len(&claims(), ContentType::OCTETS, body.len())];
    let sealed = sealer.seal(&claims(), ContentType::OCTETS, body, &mut Counting(0), &mut envelope);
    assert!(sealed.is_ok());
    assert!(is_secret(envelope.as_mut_slice()), "{:?}", sealer.suite());
    make_public(envelope.as_mut_slice()); // it is sent
    envelope
}

fn verify<'a>(envelope: &'a [u8], key: RecordKey<'_>) -> Result<taskseal_core::Verified<'a>, OpenError> {
    let record = KeyRecord::new(key).issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY);
    let mut keyset = Keyset::<1>::new();
    assert!(keyset.insert(record).is_ok());
    let mut policy = Policy::for_tasks(claims().audience);
    policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    Unverified::parse(envelope)?.verify(&keyset, &policy, &mut TimeWindow::exact(1_763_751_000))
}

fn open(envelope: &[u8], key: RecordKey<'_>, keys: &mut impl DecryptionKeys) -> Result<(), OpenError> {
    let mut buffer = [0; 60];
    let verified = verify(envelope, key)?;
    let mut opened = verified.danger_open_without_replay_guard(keys, &mut buffer);
    make_public(&mut opened); // whether it opened: the verdict
    opened.map(drop)
}
