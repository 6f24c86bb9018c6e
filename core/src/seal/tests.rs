//! Exact sizes, and all errors of sealing.

use core::convert::Infallible;
use std::vec;
use std::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};

use super::*;
use crate::KeyId;
use crate::keys::{HmacKey, SigningKey, VerifyingKey};
use crate::open::Unverified;
use crate::provider::{MacStructure, Rejected};
use crate::secret::Secret;
use crate::testing::{
    Counted, ORDER, VerifiesBy, agreement_key, claims, encryption_key, hex, mac_key, seal, signing_key, twin,
};

/// Calls `$use` with a sealer of each suite.
macro_rules! each_suite {
    ($name:ident => $use:expr) => {{
        let (mac, shared, worker) = (mac_key(1), encryption_key(2), agreement_key(3).public_key());
        let $name = &mut Sealer::sign(signing_key(4));
        $use;
        let $name = &mut Sealer::authenticate(&mac);
        $use;
        let $name = &mut Sealer::encrypt(&shared);
        $use;
        let $name = &mut Sealer::sign_encrypt(signing_key(4), &shared);
        $use;
        let $name = &mut Sealer::sign_encrypt_to(signing_key(4), &worker);
        $use;
    }};
}

#[test]
fn sealed_len_is_exact_around_every_width_of_a_head() {
    let around = [23, 24, 255, 256, 65_535, 65_536];
    let lengths = around.iter().flat_map(|len| len - 18..=len + 2).chain(0..8);
    let lengths: Vec<usize> = lengths.collect();
    each_suite!(sealer => for len in &lengths {
        let sealed = seal(sealer, &claims(), &vec![0x5a; *len]);
        let parsed = Unverified::parse(&sealed).unwrap();
        assert_eq!((parsed.body_len(), parsed.suite()), (*len, sealer.suite()));
    });
}

#[test]
fn the_overhead_matches_the_specification() {
    let claims = Claims::new(
        crate::Issuer::new("sensor-gw-07").unwrap(),
        crate::TaskType::new("email:deliver").unwrap(),
        crate::Audience::new("prod/critical").unwrap(),
        crate::TaskId::from_bytes([1; 16]),
    )
    .issued_at(1_763_751_000)
    .expires_at(1_763_754_600);
    let mut overheads = Vec::new();
    each_suite!(sealer => for claims in [claims, claims.trace([1; 25])] {
        overheads.push(sealer.sealed_len(&claims, ContentType::JSON, 52) - 52);
    });
    assert_eq!(overheads, [215, 249, 183, 217, 234, 268, 322, 356, 393, 427]);
}

#[test]
fn a_buffer_one_byte_short_is_refused_and_left_unchanged() {
    each_suite!(sealer => {
        let len = sealer.sealed_len(&claims(), ContentType::JSON, 100);
        let mut buffer = vec![0xee; len - 1];
        let sealed = sealer.seal(&claims(), ContentType::JSON, &[0; 100], &mut Counted::default(), &mut buffer);
        assert_eq!(sealed, Err(SealError::BufferTooSmall));
        assert!(buffer.iter().all(|byte| *byte == 0xee));
    });
}

#[test]
fn bytes_after_the_envelope_are_left_unchanged() {
    each_suite!(sealer => {
        let len = sealer.sealed_len(&claims(), ContentType::JSON, 100);
        let mut buffer = vec![0xee; len + 3];
        let sealed = sealer.seal(&claims(), ContentType::JSON, &[0; 100], &mut Counted::default(), &mut buffer);
        assert_eq!(sealed.map(<[u8]>::len), Ok(len));
        assert_eq!(buffer[len..], [0xee; 3]);
    });
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let body = vec![0; MAX_BODY + 1];
    each_suite!(sealer => {
        let sealed = sealer.seal(&claims(), ContentType::JSON, &body, &mut Counted::default(), &mut []);
        assert_eq!(sealed, Err(SealError::BodyTooLong));
    });
}

#[test]
fn lengths_beyond_memory_do_not_overflow() {
    each_suite!(sealer => for len in [usize::MAX, usize::MAX - 16, usize::MAX - 100] {
        assert_eq!(sealer.sealed_len(&claims(), ContentType::JSON, len), usize::MAX);
    });
}

#[test]
fn inconsistent_claims_are_refused() {
    let mut buffer = [0; 1024];
    each_suite!(sealer => {
        let for_results = claims().request([0; 32]);
        let sealed = sealer.seal(&for_results, ContentType::JSON, b"", &mut Counted::default(), &mut buffer);
        assert_eq!(sealed, Err(SealError::InconsistentClaims));
    });
    let mut sealer = Sealer::sign(signing_key(1)).kind(Kind::Result);
    let sealed = sealer.seal(&claims(), ContentType::JSON, b"", &mut Counted::default(), &mut buffer);
    assert_eq!(sealed, Err(SealError::InconsistentClaims));
}

/// Fails after some draws.
struct Failing(u32);

impl rand_core::TryRng for Failing {
    type Error = Worn;

    fn try_next_u32(&mut self) -> Result<u32, Worn> {
        Err(Worn)
    }

    fn try_next_u64(&mut self) -> Result<u64, Worn> {
        Err(Worn)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Worn> {
        out.fill(1);
        self.0 = self.0.checked_sub(1).ok_or(Worn)?;
        Ok(())
    }
}

impl TryCryptoRng for Failing {}

#[derive(Debug)]
struct Worn;

impl fmt::Display for Worn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("worn")
    }
}

impl core::error::Error for Worn {}

#[test]
fn without_randomness_nothing_is_encrypted_and_no_plaintext_is_left() {
    let body = [0x77; 64];
    each_suite!(sealer => for draws in 0..2 {
        let mut buffer = [0; 1024];
        let sealed = sealer.seal(&claims(), ContentType::JSON, &body, &mut Failing(draws), &mut buffer).is_ok();
        assert_eq!(sealed, !sealer.suite().encrypts(), "{} with {draws} draws", sealer.suite());
        assert!(sealed || !buffer.windows(8).any(|window| window == [0x77; 8]));
    });
}

#[test]
fn a_source_without_a_valid_scalar_is_an_error() {
    struct Ones;
    impl rand_core::TryRng for Ones {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(u32::MAX)
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(u64::MAX)
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.fill(0xff);
            Ok(())
        }
    }
    impl TryCryptoRng for Ones {}
    let worker = agreement_key(3).public_key();
    let mut sealer = Sealer::sign_encrypt_to(signing_key(1), &worker);
    let sealed = sealer.seal(&claims(), ContentType::JSON, b"", &mut Ones, &mut [0; 1024]).map(<[u8]>::len);
    assert_eq!(sealed, Err(SealError::Random));
}

/// A signer that returns a given result.
struct Answering<E>(Result<[u8; 64], E>);

impl<E: Clone> Signer for Answering<E> {
    type Error = E;

    fn kid(&self) -> KeyId {
        KeyId::from_bytes([1; 8])
    }

    fn sign_digest(&mut self, _: &[u8; 32]) -> Result<[u8; 64], E> {
        self.0.clone()
    }
}

#[test]
fn a_failing_signer_leaves_nothing_in_the_buffer() {
    let (shared, worker) = (encryption_key(2), agreement_key(3).public_key());
    let signer = || Answering(Err("away"));
    let mut buffer = [0xee; 1024];
    let mut rng = Counted::default();
    let body = [0x77; 64];

    let outcomes = [
        Sealer::sign(signer()).seal(&claims(), ContentType::JSON, &body, &mut rng, &mut buffer).map(drop),
        Sealer::sign_encrypt(signer(), &shared)
            .seal(&claims(), ContentType::JSON, &body, &mut rng, &mut buffer)
            .map(drop),
        Sealer::sign_encrypt_to(signer(), &worker)
            .seal(&claims(), ContentType::JSON, &body, &mut rng, &mut buffer)
            .map(drop),
    ];

    assert_eq!(outcomes, [Err(SealError::Signer("away")); 3]);
    assert!(buffer.iter().all(|byte| matches!(byte, 0 | 0xee)));
}

/// A key outside this process: receives the pieces only, and is available or not.
struct Elsewhere {
    key: HmacKey,
    away: bool,
    asked: Vec<u8>,
}

impl Elsewhere {
    fn new(away: bool) -> Self {
        Self { key: mac_key(1), away, asked: Vec::new() }
    }

    /// A separate implementation.
    fn tag(&self) -> Secret<32> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.key().as_bytes()).unwrap();
        mac.update(&self.asked);
        Secret::copy_from(&mac.finalize().into_bytes().into())
    }
}

impl Authenticator for Elsewhere {
    type Error = &'static str;

    fn kid(&self) -> KeyId {
        self.key.kid()
    }

    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, &'static str> {
        let mut whole = Vec::with_capacity(message.len());
        message.pieces(|piece| whole.extend_from_slice(piece));
        self.asked = whole;
        if self.away {
            return Err("away");
        }
        Ok(self.tag())
    }
}

#[test]
fn an_authenticator_that_fails_seals_nothing() {
    let (mut attached, mut detached) = ([0xee; 1024], [0xee; 1024]);
    let body = [0x77; 64];

    let outcomes = [
        Sealer::authenticate(Elsewhere::new(true))
            .seal(&claims(), ContentType::JSON, &body, &mut Counted::default(), &mut attached)
            .map(drop),
        Sealer::authenticate(Elsewhere::new(true))
            .seal_detached(&claims(), ContentType::JSON, &body, &mut detached)
            .map(drop),
    ];

    assert_eq!(outcomes, [Err(SealError::Signer("away")); 2]);
    assert!(attached.iter().all(|byte| matches!(byte, 0 | 0xee)));
    let len = Sealer::authenticate(&mac_key(1)).detached_len(&claims(), ContentType::JSON);
    assert!(detached.get(len - 34..).unwrap().iter().all(|byte| *byte == 0xee), "the tag is not written");
}

#[test]
fn an_external_authenticator_gives_the_bytes_of_a_key_in_memory() {
    let (mut elsewhere, key) = (Elsewhere::new(false), mac_key(1));
    for body in [&b""[..], b"body", &[0x77; 70_000]] {
        let mut buffers = [vec![0; 71_000], vec![0; 71_000]];
        let [one, other] = &mut buffers;
        let rng = &mut Counted::default();
        let one = Sealer::authenticate(&mut elsewhere).kind(Kind::Task).seal(
            &claims(),
            ContentType::JSON,
            body,
            rng,
            one,
        );
        let other = Sealer::authenticate(&key).seal(&claims(), ContentType::JSON, body, rng, other);
        assert_eq!(one.unwrap(), other.unwrap());
        assert!(elsewhere.asked.ends_with(body));

        let mut buffers = [[0; 1024]; 2];
        let [one, other] = &mut buffers;
        let one = Sealer::authenticate(&mut elsewhere).seal_detached(&claims(), ContentType::JSON, body, one);
        let other = Sealer::authenticate(&key).seal_detached(&claims(), ContentType::JSON, body, other);
        assert_eq!(one.unwrap(), other.unwrap());
    }
}

#[test]
fn an_invalid_signature_of_the_signer_is_refused() {
    let order = hex(ORDER);
    let one = [&[0; 31][..], &[1]].concat();
    for (r, s) in
        [(&[0; 32][..], &one[..]), (&one, &[0; 32]), (&order, &one), (&one, &order), (&[0xff; 32], &one)]
    {
        let signer = Answering::<Infallible>(Ok([r, s].concat().try_into().unwrap()));
        let mut buffer = [0; 1024];
        let sealed = Sealer::sign(signer).seal(
            &claims(),
            ContentType::JSON,
            b"x",
            &mut Counted::default(),
            &mut buffer,
        );
        assert_eq!(sealed, Err(SealError::InvalidSignature));
    }
}

/// Returns the high `s`, as tokens do in half of all cases.
struct High(SigningKey);

impl Signer for High {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Infallible> {
        self.0.sign_digest(digest).map(|signature| signature.max(twin(signature)))
    }
}

#[test]
fn a_high_s_is_normalised() {
    assert_eq!(High(signing_key(1)).sign_digest(&[9; 32]).map(|high| high[32] >> 7), Ok(1));
    let high = seal(&mut Sealer::sign(High(signing_key(1))), &claims(), b"body");
    let low = seal(&mut Sealer::sign(signing_key(1)), &claims(), b"body");
    assert_eq!(high, low);
}

#[test]
fn a_provider_that_cannot_encrypt_leaves_no_plaintext() {
    let (shared, worker, body) = (encryption_key(2), agreement_key(3).public_key(), [0x77; 64]);
    let mut buffer = [0; 1024];
    let mut rng = Counted::default();
    let broken = VerifiesBy(|_: &VerifyingKey, _: &[u8; 32], _: &[u8; 64]| Err(Rejected));
    let outcomes = [
        Sealer::encrypt(&shared)
            .provider(&broken)
            .seal(&claims(), ContentType::JSON, &body, &mut rng, &mut buffer)
            .is_err(),
        Sealer::sign_encrypt(signing_key(1), &shared)
            .provider(&broken)
            .seal(&claims(), ContentType::JSON, &body, &mut rng, &mut buffer)
            .is_err(),
        Sealer::sign_encrypt_to(signing_key(1), &worker)
            .provider(&broken)
            .seal(&claims(), ContentType::JSON, &body, &mut rng, &mut buffer)
            .is_err(),
    ];
    assert_eq!(outcomes, [true; 3]);
    assert!(!buffer.windows(8).any(|window| window == [0x77; 8]));
}

#[test]
fn no_two_encryptions_share_key_iv_or_ciphertext() {
    let shared = encryption_key(2);
    let mut rng = Counted::default();
    let mut sealed = Vec::new();
    for _ in 0..32 {
        let mut buffer = [0; 512];
        let bytes =
            Sealer::encrypt(&shared).seal(&claims(), ContentType::JSON, &[0; 32], &mut rng, &mut buffer);
        let tail = bytes.unwrap().last_chunk::<48>().copied().unwrap();
        assert!(!sealed.contains(&tail));
        sealed.push(tail);
    }
}

#[test]
fn debug_output_of_the_input_omits_the_body() {
    let claims = claims();
    let job = Job { claims: &claims, content_type: ContentType::JSON, body: b"canary", kind: Kind::Task };
    let shown = std::format!("{job:?}");
    assert!(shown.contains("body_len: 6") && !shown.contains("99, 97, 110"), "{shown}");
}
