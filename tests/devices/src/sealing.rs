//! Seals the examples again, also with hedged randomness, and compares every byte.

use core::fmt::Write;

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use taskseal_core::keys::{AgreementKey, AgreementPublicKey, EncryptionKey, HmacKey, SigningKey};
use taskseal_core::seal::{HedgeKey, Mode, SigningMode};
use taskseal_core::{Audience, Claims, ContentType, Issuer, KeyId, Kind, Sealer, Secret, TaskId, TaskType};

use crate::Transcript;
use crate::text::{Vector, array};

const BODY: &[u8] = br#"{"user_id":42,"template":"welcome","locale":"en-GB"}"#;
const ISSUED_AT: u64 = 1_763_751_000;
const EXPIRES_AT: u64 = 1_763_754_600;
const ROOM: usize = 1024;

/// Seals the tasks of the vectors with the same keys and the same randomness. Returns the number of envelopes that are
/// equal to those of the files, and the number of different ones.
pub(crate) fn again(archive: &str, out: &mut impl Write, transcript: &mut Transcript) -> (u32, u32) {
    let mut compare = Compare { archive, out, transcript, equal: 0, unequal: 0 };
    let keys = Keys::new();
    alone(&keys, &mut compare);
    batches(&keys, &mut compare);
    hedged(&keys, compare.transcript);
    (compare.equal, compare.unequal)
}

/// The public test keys of the vectors.
struct Keys {
    producer: SigningKey,
    worker_signer: SigningKey,
    worker: AgreementPublicKey,
    mac: HmacKey,
    encryption: EncryptionKey,
}

impl Keys {
    fn new() -> Self {
        let signing = |label| SigningKey::from_scalar(&scalar(label)).expect("a scalar below the order");
        let worker = AgreementKey::from_scalar(&scalar("taskseal example worker key"));
        let secret = |label: &str| Secret::copy_from(&sha256(label.as_bytes()));
        Self {
            producer: signing("taskseal example producer signing key"),
            worker_signer: signing("taskseal example worker signing key"),
            worker: worker.expect("a scalar below the order").public_key(),
            mac: HmacKey::new(KeyId::from_bytes(*b"mac\0\0\0\0\x01"), secret("taskseal example mac key")),
            encryption: EncryptionKey::new(
                KeyId::from_bytes(*b"enc\0\0\0\0\x01"),
                secret("taskseal example enc key"),
            ),
        }
    }
}

struct Compare<'c, W> {
    archive: &'c str,
    out: &'c mut W,
    transcript: &'c mut Transcript,
    equal: u32,
    unequal: u32,
}

impl<W: Write> Compare<'_, W> {
    fn with(&mut self, name: &str, sealed: &[u8]) {
        self.transcript.add(sealed);
        let mut room = [0; ROOM];
        if sealed == Vector::find(self.archive, name).bytes(&mut room) {
            self.equal += 1;
        } else {
            self.unequal += 1;
            let _ = writeln!(self.out, "{name}: sealed to other bytes");
        }
    }

    fn seal<M: Mode>(
        &mut self,
        name: &str,
        mut sealer: Sealer<M>,
        claims: &Claims<'_>,
        body: &[u8],
        mut rng: Given,
    ) {
        let mut buffer = [0xaa; ROOM];
        let sealed = sealer.seal(claims, ContentType::JSON, body, &mut rng, &mut buffer);
        self.with(name, sealed.unwrap_or_default());
    }
}

fn alone(keys: &Keys, compare: &mut Compare<'_, impl Write>) {
    let claims = plain_claims().trace(array("4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b701"));
    let (producer, encryption) = (&keys.producer, &keys.encryption);
    compare.seal("envelope/example_s", Sealer::sign(producer), &claims, BODY, Given::nothing());
    compare.seal("envelope/example_m", Sealer::authenticate(&keys.mac), &claims, BODY, Given::nothing());
    compare.seal("envelope/example_e", Sealer::encrypt(encryption), &claims, BODY, Given::shared(0));
    let sealer = Sealer::sign_encrypt(producer, encryption);
    compare.seal("envelope/example_se", sealer, &claims, BODY, Given::shared(0));
    let sealer = Sealer::sign_encrypt_to(producer, &keys.worker);
    compare.seal("envelope/example_sp", sealer, &claims, BODY, Given::agreed());

    let mut room = [0; ROOM];
    let request = sha256(Vector::find(compare.archive, "envelope/example_s").bytes(&mut room));
    let mut claims_of_result =
        plain_claims().issued_at(ISSUED_AT + 60).expires_at(EXPIRES_AT + 86_400).request(request);
    claims_of_result.issuer = Issuer::new("worker-1").expect("a name");
    let sealer = Sealer::sign(&keys.worker_signer).kind(Kind::Result);
    compare.seal("envelope/example_result", sealer, &claims_of_result, br#"{"sent":true}"#, Given::nothing());

    let mut buffer = [0xaa; ROOM];
    let sealed = Sealer::sign(producer).seal_detached(&claims, ContentType::JSON, BODY, &mut buffer);
    compare.with("detached/example_s", sealed.unwrap_or_default());
    let sealed = Sealer::authenticate(&keys.mac).seal_detached(&claims, ContentType::JSON, BODY, &mut buffer);
    compare.with("detached/example_m", sealed.unwrap_or_default());
}

fn batches(keys: &Keys, compare: &mut Compare<'_, impl Write>) {
    let names = [(0, "batch/size_5_first"), (3, "batch/example_b"), (4, "batch/size_5_promoted")];
    batch_of_five(Sealer::sign(&keys.producer), |_| Given::nothing(), &names, compare);
    // In the vectors of suite SE the salt stays and the IV counts.
    let names = [(0, "batch/suite_se_first"), (4, "batch/suite_se_promoted")];
    batch_of_five(Sealer::sign_encrypt(&keys.producer, &keys.encryption), Given::shared, &names, compare);
    // In those of suite SP the scalar and the IV are drawn once; for each later task only the part of the IV without its counter.
    let names = [(0, "batch/suite_sp_first"), (4, "batch/suite_sp_last")];
    let sealer = Sealer::sign_encrypt_to(&keys.producer, &keys.worker);
    let given = |index| if index == 0 { Given::agreed() } else { Given::uncounted() };
    batch_of_five(sealer, given, &names, compare);
}

fn batch_of_five<M: SigningMode>(
    mut sealer: Sealer<M>,
    given: impl Fn(u8) -> Given,
    names: &[(u8, &str)],
    compare: &mut Compare<'_, impl Write>,
) {
    let mut batch = sealer.batch::<5>();
    let mut buffers = [[0; ROOM]; 5];
    let pending = core::array::from_fn::<_, 5, _>(|index| {
        let index = u8::try_from(index).expect("one of five");
        let mut claims = plain_claims();
        let mut id = *claims.task_id.as_bytes();
        *id.last_mut().expect("sixteen bytes") = index;
        claims.task_id = TaskId::from_bytes(id);
        let buffer = buffers.get_mut(usize::from(index)).expect("one of five");
        batch.add(&claims, ContentType::JSON, BODY, &mut given(index), buffer).ok()
    });
    let signed = batch.sign().ok();
    for (index, (task, buffer)) in (0..).zip(pending.into_iter().zip(&mut buffers)) {
        let sealed = signed.as_ref().zip(task).and_then(|(signed, task)| signed.finish(task, buffer).ok());
        if let Some((_, name)) = names.iter().find(|(named, _)| *named == index) {
            compare.with(name, sealed.unwrap_or_default());
        } else {
            compare.transcript.add(sealed.unwrap_or_default());
        }
    }
}

/// There are no vectors for devices without randomness; the digest shows that their envelopes are equal on every machine.
fn hedged(keys: &Keys, transcript: &mut Transcript) {
    let hedge = HedgeKey::derive(&scalar("taskseal example producer signing key"));
    let (producer, encryption) = (&keys.producer, &keys.encryption);
    of_a_device(Sealer::sign(producer), &hedge, transcript);
    of_a_device(Sealer::authenticate(&keys.mac), &hedge, transcript);
    of_a_device(Sealer::encrypt(encryption), &hedge, transcript);
    of_a_device(Sealer::sign_encrypt(producer, encryption), &hedge, transcript);
    of_a_device(Sealer::sign_encrypt_to(producer, &keys.worker), &hedge, transcript);
}

fn of_a_device<M: Mode>(mut sealer: Sealer<M>, hedge: &HedgeKey, transcript: &mut Transcript) {
    let claims = plain_claims();
    // The widest implementations process 64 blocks in one step.
    for len in [0, 1, 15, 16, 17, 255, 256, 479, 480, 481, 1023, 1024, 1025, 2100] {
        let (body, mut buffer) = ([0x5a; 2100], [0; 2100 + ROOM]);
        let body = body.get(..len).expect("at most 2100");
        let sealed =
            sealer.danger_seal_without_randomness(&claims, ContentType::OCTETS, body, hedge, &mut buffer);
        let sealed = sealed.unwrap_or_default();
        assert!(!sealed.is_empty(), "nothing was sealed");
        transcript.add(sealed);
    }
}

fn plain_claims() -> Claims<'static> {
    Claims::new(
        Issuer::new("sensor-gw-07").expect("a name"),
        TaskType::new("email:deliver").expect("a name"),
        Audience::new("prod/critical").expect("a name"),
        TaskId::parse("0192f7a1-c3d4-7e5f-a1b2-c3d4e5f60718").expect("a task id"),
    )
    .issued_at(ISSUED_AT)
    .expires_at(EXPIRES_AT)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns SHA-256 of the label, modulo n - 1, plus 1. No label in use yields n - 1 or more, so the modulus has no effect.
fn scalar(label: &str) -> Secret<32> {
    let mut value = sha256(label.as_bytes());
    for digit in value.iter_mut().rev() {
        let (sum, carry) = digit.overflowing_add(1);
        *digit = sum;
        if !carry {
            break;
        }
    }
    Secret::copy_from(&value)
}

/// A random source that returns the given bytes in order, and fails after the last one.
struct Given {
    bytes: [u8; 44],
    next: usize,
    end: usize,
}

/// The random source has no bytes left.
#[derive(Debug)]
struct UsedUp;

impl core::fmt::Display for UsedUp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no randomness left")
    }
}

impl core::error::Error for UsedUp {}

impl Given {
    const fn nothing() -> Self {
        Self { bytes: [0; 44], next: 0, end: 0 }
    }

    fn of(parts: [&[u8]; 2]) -> Self {
        let mut given = Self::nothing();
        for byte in parts.into_iter().flatten() {
            *given.bytes.get_mut(given.end).expect("at most 44 bytes") = *byte;
            given.end += 1;
        }
        given
    }

    /// Salt, then an IV that is `index` greater.
    fn shared(index: u8) -> Self {
        let (salt, mut iv) = (sha256(b"salt"), iv());
        let last = iv.last_mut().expect("twelve bytes");
        *last = last.wrapping_add(index);
        Self::of([salt.first_chunk::<16>().expect("half of it"), &iv])
    }

    /// Ephemeral scalar, then IV.
    fn agreed() -> Self {
        Self::of([scalar("taskseal example ephemeral").as_bytes(), &iv()])
    }

    /// The IV without its counter.
    fn uncounted() -> Self {
        Self::of([iv().first_chunk::<8>().expect("a part of it"), &[]])
    }
}

fn iv() -> [u8; 12] {
    *sha256(b"iv").first_chunk().expect("a part of it")
}

impl TryRng for Given {
    type Error = UsedUp;

    fn try_next_u32(&mut self) -> Result<u32, UsedUp> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, UsedUp> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), UsedUp> {
        let end = self.next + out.len();
        let rest = self.bytes.get(self.next..end).filter(|_| end <= self.end).ok_or(UsedUp)?;
        out.copy_from_slice(rest);
        self.next = end;
        Ok(())
    }
}

impl TryCryptoRng for Given {}
