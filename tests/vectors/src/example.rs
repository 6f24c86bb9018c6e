//! The keys, claims and body of the worked examples in the specification, and a source of given randomness.
//!
//! The keys are derived from public labels: for tests only.

use sha2::{Digest, Sha256};
use taskseal_core::keys::{AgreementKey, EncryptionKey, HmacKey, SigningKey};
use taskseal_core::{Audience, Claims, Issuer, KeyId, Secret, TaskId, TaskType};

/// The time in `iat` of the examples.
pub const ISSUED_AT: u64 = 1_763_751_000;
/// The time in `exp` of the examples.
pub const EXPIRES_AT: u64 = 1_763_754_600;
/// The body of the examples.
pub const BODY: &[u8] = br#"{"user_id":42,"template":"welcome","locale":"en-GB"}"#;

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of the label, modulo n - 1, plus 1: a valid scalar of P-256.
#[must_use]
pub fn scalar(label: &str) -> Secret<32> {
    /// n - 1 of P-256, big-endian.
    const MODULUS: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x50,
    ];
    let mut value = sha256(label.as_bytes());
    if value >= MODULUS {
        let mut borrow = 0;
        for (digit, modulus) in value.iter_mut().zip(MODULUS).rev() {
            let (difference, first) = digit.overflowing_sub(modulus);
            let (difference, second) = difference.overflowing_sub(borrow);
            (*digit, borrow) = (difference, u8::from(first || second));
        }
    }
    for digit in value.iter_mut().rev() {
        let (sum, carry) = digit.overflowing_add(1);
        *digit = sum;
        if !carry {
            break;
        }
    }
    Secret::copy_from(&value)
}

/// n of P-256, big-endian.
pub const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same signature with the lower of its two values of `s`, which is what an envelope carries.
#[must_use]
pub fn low_s(signature: [u8; 64]) -> [u8; 64] {
    signature.min(other_s(signature))
}

/// The other valid signature of the same message, with n - s instead of s.
#[must_use]
pub fn other_s(signature: [u8; 64]) -> [u8; 64] {
    let mut other = signature;
    let mut borrow = 0;
    for (digit, order) in other.iter_mut().rev().zip(ORDER.into_iter().rev()) {
        let (difference, first) = order.overflowing_sub(*digit);
        let (difference, second) = difference.overflowing_sub(borrow);
        (*digit, borrow) = (difference, u8::from(first || second));
    }
    other
}

/// Derives a signing key from a label.
///
/// # Panics
/// Never: the scalar is in range.
#[must_use]
pub fn signing_key(label: &str) -> SigningKey {
    SigningKey::from_scalar(&scalar(label)).expect("a scalar below the order")
}

/// Derives a key agreement key from a label.
///
/// # Panics
/// Never: the scalar is in range.
#[must_use]
pub fn agreement_key(label: &str) -> AgreementKey {
    AgreementKey::from_scalar(&scalar(label)).expect("a scalar below the order")
}

/// The key that signs the examples.
#[must_use]
pub fn producer() -> SigningKey {
    signing_key("taskseal example producer signing key")
}

/// The key that the example of suite SP is encrypted to.
#[must_use]
pub fn worker() -> AgreementKey {
    agreement_key("taskseal example worker key")
}

/// The key that signs the example of a result.
#[must_use]
pub fn worker_signer() -> SigningKey {
    signing_key("taskseal example worker signing key")
}

/// The key of the example of suite M.
#[must_use]
pub fn mac_key() -> HmacKey {
    HmacKey::new(
        KeyId::from_bytes(*b"mac\0\0\0\0\x01"),
        Secret::copy_from(&sha256(b"taskseal example mac key")),
    )
}

/// The shared key of the examples of suites E and SE.
#[must_use]
pub fn encryption_key() -> EncryptionKey {
    EncryptionKey::new(
        KeyId::from_bytes(*b"enc\0\0\0\0\x01"),
        Secret::copy_from(&sha256(b"taskseal example enc key")),
    )
}

/// The claims of the examples.
#[must_use]
pub fn claims() -> Claims<'static> {
    let mut trace = [0; 25];
    trace.copy_from_slice(&hex("4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b701"));
    plain_claims().trace(trace)
}

/// The claims of the examples without their trace context.
///
/// # Panics
/// Never: the names are valid.
#[must_use]
pub fn plain_claims() -> Claims<'static> {
    let task_id = TaskId::parse("0192f7a1-c3d4-7e5f-a1b2-c3d4e5f60718").expect("a task id");
    Claims::new(
        Issuer::new("sensor-gw-07").expect("a name"),
        TaskType::new("email:deliver").expect("a name"),
        Audience::new("prod/critical").expect("a name"),
        task_id,
    )
    .issued_at(ISSUED_AT)
    .expires_at(EXPIRES_AT)
}

/// The randomness of suites E and SE: salt, then IV.
#[must_use]
pub fn shared_randomness() -> Given {
    let mut bytes = sha256(b"salt")[..16].to_vec();
    bytes.extend_from_slice(&sha256(b"iv")[..12]);
    Given(bytes)
}

/// The randomness of suite SP: ephemeral scalar, then IV.
#[must_use]
pub fn agreed_randomness() -> Given {
    let mut bytes = scalar("taskseal example ephemeral").as_bytes().to_vec();
    bytes.extend_from_slice(&sha256(b"iv")[..12]);
    Given(bytes)
}

/// A random source that returns the given bytes in order, and fails after the last one.
#[derive(Clone, Debug)]
pub struct Given(pub Vec<u8>);

/// The random source has no bytes left.
#[derive(Clone, Copy, Debug)]
pub struct UsedUp;

impl std::fmt::Display for UsedUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no randomness left")
    }
}

impl std::error::Error for UsedUp {}

impl rand_core::TryRng for Given {
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
        if out.len() > self.0.len() {
            return Err(UsedUp);
        }
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Given {}

/// A counter through SHA-256: different bytes each time, the same in every run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted(pub u64);

impl rand_core::TryRng for Counted {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in out.chunks_mut(32) {
            self.0 += 1;
            let block = sha256(&self.0.to_be_bytes());
            chunk.iter_mut().zip(block).for_each(|(byte, random)| *byte = random);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counted {}

/// Reads hex digits; white space between them is skipped.
///
/// # Panics
/// On anything else: the text is part of a test.
#[must_use]
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|digit| u8::try_from(digit.to_digit(16).expect("a hex digit")).expect("four bits"))
        .collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of hex digits");
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}
