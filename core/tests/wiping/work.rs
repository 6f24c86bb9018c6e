//! The work of the processes, with the same keys, randomness and body each time.
//!
//! Keys are used in place: a test that moved them would find its own copies.

use std::convert::Infallible;
use std::hint::black_box;

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use taskseal_core::keys::{
    AgreementKey, AgreementPublicKey, CoseKey, EncryptionKey, HmacKey, KeyAlgorithm, SigningKey, VerifyingKey,
};
use taskseal_core::keyset::{DecryptionKeys, KeyRecord, RecordKey};
use taskseal_core::provider::Rejected;
use taskseal_core::replay::Admission;
use taskseal_core::seal::{HedgeKey, Mode, SigningMode};
use taskseal_core::{
    Agree, Audience, Claims, ContentType, Issuer, KeyId, Keyset, NameSet, OpenError, Opened, Policy,
    Provider, Sealer, Secret, Signer, Software, Suite, SuiteSet, TaskId, TaskType, TimeWindow, Unverified,
};
use zeroize::Zeroize;

use super::memory;
use super::needles::shared_content_key;

/// 64 blocks at once, for which VAES-512 has separate code, then more than eight, and a partial block.
pub(crate) const BODY_LEN: usize = 1240;
/// Room for an envelope with this body.
pub(crate) const ENVELOPE_LEN: usize = 2048;
const NOW: u64 = 1_763_751_000;

/// Fills `bytes` with pseudorandom bytes that depend on the label. Holds at most one of them at a time.
pub(crate) fn fill(label: &str, bytes: &mut [u8]) {
    let mut state = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for byte in bytes {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        *byte = state.to_be_bytes()[0];
    }
}

pub(crate) fn with_secret<T>(label: &str, work: impl FnOnce(&Secret<32>) -> T) -> T {
    let mut secret = Secret::zeroed();
    fill(label, secret.as_mut_bytes());
    work(&secret)
}

pub(crate) fn with_signing_key<T>(work: impl FnOnce(&SigningKey) -> T) -> T {
    with_secret("signing key", |scalar| match &SigningKey::from_scalar(scalar) {
        Ok(key) => work(key),
        Err(error) => panic!("{error}"),
    })
}

pub(crate) fn with_agreement_key<T>(work: impl FnOnce(&AgreementKey) -> T) -> T {
    with_secret("agreement key", |scalar| match &AgreementKey::from_scalar(scalar) {
        Ok(key) => work(key),
        Err(error) => panic!("{error}"),
    })
}

fn with_mac_key<T>(work: impl FnOnce(&HmacKey) -> T) -> T {
    let kid = KeyId::from_bytes([1; 8]);
    with_secret("mac key", |key| work(&HmacKey::new(kid, Secret::copy_from(key.as_bytes()))))
}

fn with_encryption_key<T>(work: impl FnOnce(&EncryptionKey) -> T) -> T {
    let kid = KeyId::from_bytes([2; 8]);
    with_secret("encryption key", |key| work(&EncryptionKey::new(kid, Secret::copy_from(key.as_bytes()))))
}

pub(crate) fn make_keys() {
    with_signing_key(|key| _ = black_box(key));
    with_agreement_key(|key| _ = black_box(key));
    with_mac_key(|key| _ = black_box(key));
    with_encryption_key(|key| _ = black_box(key));
}

/// Encodes every key as a COSE_Key and decodes it.
pub(crate) fn encode_keys() {
    for (label, algorithm) in [
        ("signing key", KeyAlgorithm::Es256),
        ("agreement key", KeyAlgorithm::EcdhEs),
        ("mac key", KeyAlgorithm::Hmac256),
        ("encryption key", KeyAlgorithm::A256Gcm),
    ] {
        with_secret(label, |secret| encode_key(algorithm, secret));
    }
}

fn encode_key(algorithm: KeyAlgorithm, secret: &Secret<32>) {
    let encoded = match &CoseKey::new(algorithm, KeyId::from_bytes([1; 8]), secret) {
        Ok(key) => key.encode(),
        Err(error) => panic!("{error}"),
    };
    match &CoseKey::decode(black_box(encoded.as_bytes())) {
        Ok(key) => _ = black_box(key),
        Err(error) => panic!("{error}"),
    }
}

/// Salt, IV and ephemeral scalar.
struct Given;

impl rand_core::TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(4)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(4)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let label = match bytes.len() {
            32 => "ephemeral scalar",
            16 => "salt",
            _ => "iv",
        };
        fill(label, bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Given {}

fn claims() -> Claims<'static> {
    let (issuer, task_type) = (Issuer::new("sensor-17").unwrap(), TaskType::new("reading:store").unwrap());
    let audience = Audience::new("plant/ingest").unwrap();
    Claims::new(issuer, task_type, audience, TaskId::from_bytes([7; 16]))
        .issued_at(NOW)
        .expires_at(NOW + 3600)
}

/// Seals into the start of `envelope`, and wipes the body.
pub(crate) fn seal(suite: Suite, envelope: &mut [u8]) {
    with_signing_key(|key| seal_with(suite, key, envelope));
}

/// As [`seal`]; returns the length.
pub(crate) fn seal_with(suite: Suite, signer: impl Signer<Error = Infallible>, envelope: &mut [u8]) -> usize {
    seal_by(suite, signer, Software, envelope)
}

fn seal_by(
    suite: Suite,
    signer: impl Signer<Error = Infallible>,
    provider: impl Provider,
    envelope: &mut [u8],
) -> usize {
    let mut body = [0; BODY_LEN];
    fill("body", &mut body);
    let (claims, content_type, rng) = (&claims(), ContentType::OCTETS, &mut Given);
    let sealed = match suite {
        Suite::S => Sealer::sign(signer).seal(claims, content_type, &body, rng, envelope).map(<[u8]>::len),
        Suite::M => with_mac_key(|key| {
            Sealer::authenticate(key).seal(claims, content_type, &body, rng, envelope).map(<[u8]>::len)
        }),
        Suite::E => with_encryption_key(|key| {
            Sealer::encrypt(key).seal(claims, content_type, &body, rng, envelope).map(<[u8]>::len)
        }),
        Suite::Se => with_encryption_key(|key| {
            let mut sealer = Sealer::sign_encrypt(signer, key).provider(provider);
            sealer.seal(claims, content_type, &body, rng, envelope).map(<[u8]>::len)
        }),
        _ => {
            let recipient = with_agreement_key(AgreementKey::public_key);
            let mut sealer = Sealer::sign_encrypt_to(signer, &recipient).provider(provider);
            sealer.seal(claims, content_type, &body, rng, envelope).map(<[u8]>::len)
        }
    };
    body.zeroize();
    sealed.unwrap()
}

/// As [`seal`], in a batch of two.
pub(crate) fn seal_batch(suite: Suite) {
    fn batch<M: SigningMode>(mut sealer: Sealer<M>, body: &[u8]) {
        let (mut first, mut second) = ([0; ENVELOPE_LEN], [0; ENVELOPE_LEN]);
        let mut batch = sealer.batch::<2>();
        let (claims, content_type) = (&claims(), ContentType::OCTETS);
        let one = batch.add(claims, content_type, body, &mut Given, &mut first).ok().unwrap();
        let two = batch.add(claims, content_type, body, &mut Given, &mut second).ok().unwrap();
        let signed = batch.sign().ok().unwrap();
        assert!(signed.finish(one, &mut first).is_ok() && signed.finish(two, &mut second).is_ok());
    }
    let mut body = [0; BODY_LEN];
    fill("body", &mut body);
    let recipient = with_agreement_key(AgreementKey::public_key);
    with_signing_key(|signer| match suite {
        Suite::S => batch(Sealer::sign(signer), &body),
        Suite::Se => with_encryption_key(|key| batch(Sealer::sign_encrypt(signer, key), &body)),
        _ => batch(Sealer::sign_encrypt_to(signer, &recipient), &body),
    });
    body.zeroize();
}

/// As [`seal`] in suite M, in the detached form.
pub(crate) fn seal_detached() {
    let mut envelope = [0; ENVELOPE_LEN];
    with_mac_key(|key| {
        let mut sealer = Sealer::authenticate(key);
        assert!(sealer.seal_detached(&claims(), ContentType::OCTETS, b"in clear", &mut envelope).is_ok());
    });
}

/// As [`seal`], with randomness that is bound to the message.
pub(crate) fn seal_hedged(suite: Suite, envelope: &mut [u8]) {
    fn hedged<M: Mode>(mut sealer: Sealer<M>, body: &[u8], envelope: &mut [u8]) {
        with_secret("hedge key", |secret| {
            let key = HedgeKey::new(Secret::copy_from(secret.as_bytes()));
            let (claims, content_type) = (&claims(), ContentType::OCTETS);
            assert!(sealer.seal_hedged(claims, content_type, body, &key, &mut Given, envelope).is_ok());
        });
    }
    let mut body = [0; BODY_LEN];
    fill("body", &mut body);
    let recipient = with_agreement_key(AgreementKey::public_key);
    with_signing_key(|signer| match suite {
        Suite::S => hedged(Sealer::sign(signer), &body, envelope),
        Suite::M => with_mac_key(|key| hedged(Sealer::authenticate(key), &body, envelope)),
        Suite::E => with_encryption_key(|key| hedged(Sealer::encrypt(key), &body, envelope)),
        Suite::Se => with_encryption_key(|key| hedged(Sealer::sign_encrypt(signer, key), &body, envelope)),
        _ => hedged(Sealer::sign_encrypt_to(signer, &recipient), &body, envelope),
    });
    body.zeroize();
}

/// Encrypts the body like suite E, by the primitive alone; the memory is read while the primitive holds the key.
pub(crate) fn encrypt_with_primitive() {
    let mut salt = [0; 16];
    fill("salt", &mut salt);
    let content_key = with_secret("encryption key", |key| shared_content_key(key, &salt));
    let (mut body, mut iv) = ([0; BODY_LEN], [0; 12]);
    fill("body", &mut body);
    fill("iv", &mut iv);
    let cipher = Aes256Gcm::new(&content_key.into());
    black_box(cipher.encrypt_inout_detached(&iv.into(), b"", body.as_mut_slice().into())).unwrap();
    memory::wait();
    black_box(&cipher);
}

pub(crate) fn sealed(suite: Suite) -> Vec<u8> {
    let mut envelope = vec![0; ENVELOPE_LEN];
    let len = with_signing_key(|key| seal_with(suite, key, &mut envelope));
    envelope.truncate(len);
    envelope
}

/// As [`sealed`], with an error that shows when the body is decrypted if the suite has a signature around it, and
/// else in the last byte.
pub(crate) fn sealed_wrongly(suite: Suite) -> Vec<u8> {
    let mut envelope = vec![0; ENVELOPE_LEN];
    let provider = Hooked { wrong_tag: true, ..Hooked::NONE };
    let len = with_signing_key(|key| seal_by(suite, key, provider, &mut envelope));
    envelope.truncate(len);
    if !matches!(suite, Suite::Se | Suite::Sp) {
        *envelope.last_mut().unwrap() ^= 1;
    }
    envelope
}

/// The moment at which the memory is read before the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Never,
    WhenDecrypting,
    WhenAgreed,
    /// After the body was read and dropped, before the keys are dropped.
    WhenRead,
}

/// Verifies, opens and drops; returns whether it was opened.
pub(crate) fn open(suite: Suite, envelope: Vec<u8>, stop: Stop) -> bool {
    let signing = with_signing_key(SigningKey::verifying_key);
    match suite {
        Suite::M => with_mac_key(|key| open_with(&envelope, RecordKey::Hmac256(key), &mut (), stop)),
        Suite::E => {
            with_encryption_key(|key| open_with(&envelope, RecordKey::A256Gcm(key), &mut &*key, stop))
        }
        Suite::Se => {
            with_encryption_key(|key| open_with(&envelope, RecordKey::Es256(&signing), &mut &*key, stop))
        }
        _ => with_agreement_key(|key| {
            open_with(&envelope, RecordKey::Es256(&signing), &mut Worker { key, stop }, stop)
        }),
    }
}

fn open_with(envelope: &[u8], key: RecordKey<'_>, keys: &mut impl DecryptionKeys, stop: Stop) -> bool {
    let record = KeyRecord::new(key).issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY);
    let mut keyset = Keyset::<1>::new();
    keyset.insert(record).unwrap();
    let mut policy = Policy::for_tasks(claims().audience);
    policy.suites = Suite::ALL.into_iter().fold(SuiteSet::NONE, SuiteSet::with);
    let verified = Unverified::parse(envelope).unwrap().verify(&keyset, &policy, &mut TimeWindow::exact(NOW));
    let Ok(verified) = verified else { return false };
    let (admitted, mut buffer) = (verified.admit(&mut Admission::FirstRun).unwrap(), [0; BODY_LEN]);
    let stopping = Hooked { before_decrypting: memory::wait, ..Hooked::NONE };
    let is_right = match stop {
        Stop::WhenDecrypting => read(admitted.open_with(&stopping, keys, &mut buffer)),
        _ => read(admitted.open(keys, &mut buffer)),
    };
    if stop == Stop::WhenRead {
        memory::store_registers();
        memory::wait();
    }
    is_right
}

/// Reads the body like a handler that copies a part and wipes the copy.
#[inline(never)]
fn read(opened: Result<Opened<'_, '_>, OpenError>) -> bool {
    opened.is_ok_and(|opened| {
        let (body, mut copy) = (opened.body(), [0; 64]);
        let part = ..black_box(copy.len());
        copy[part].copy_from_slice(&body[part]);
        let is_right = body.len() == BODY_LEN && body.starts_with(&copy);
        copy.zeroize();
        is_right
    })
}

/// A key agreement key that can wait until the memory was read.
struct Worker<'k> {
    key: &'k AgreementKey,
    stop: Stop,
}

impl Agree for Worker<'_> {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.key.public_key().kid()
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Infallible> {
        let z = (&mut &*self.key).agree(peer);
        if self.stop == Stop::WhenAgreed {
            memory::wait();
        }
        z
    }
}

impl DecryptionKeys for Worker<'_> {
    type Agree<'k>
        = &'k mut Self
    where
        Self: 'k;

    fn encryption_key(&self, _: KeyId) -> Option<&EncryptionKey> {
        None
    }

    fn agreement_key(&mut self, kid: KeyId) -> Option<&mut Self> {
        (Agree::kid(self) == kid).then_some(self)
    }
}

/// The software provider with hooks for the cases.
#[derive(Clone, Copy)]
struct Hooked {
    before_decrypting: fn(),
    wrong_tag: bool,
}

impl Hooked {
    const NONE: Self = Self { before_decrypting: || {}, wrong_tag: false };
}

impl Provider for Hooked {
    fn verify_es256(
        &self,
        key: &VerifyingKey,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Rejected> {
        Software.verify_es256(key, digest, signature)
    }

    fn encrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        let mut tag = Software.encrypt_a256gcm(key, iv, aad, buffer)?;
        tag[0] ^= u8::from(self.wrong_tag);
        Ok(tag)
    }

    fn decrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        (self.before_decrypting)();
        Software.decrypt_a256gcm(key, iv, aad, buffer, tag)
    }

    fn check_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        ciphertext: &[u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        Software.check_a256gcm(key, iv, aad, ciphertext, tag)
    }

    fn agree_ephemeral(
        &self,
        scalar: &Secret<32>,
        peer: &AgreementPublicKey,
    ) -> Option<(AgreementPublicKey, Secret<32>)> {
        Software.agree_ephemeral(scalar, peer)
    }
}
