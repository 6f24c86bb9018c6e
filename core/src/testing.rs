//! Fixtures of the unit tests: keys, claims, and a deterministic source of bytes.

use core::convert::Infallible;
use std::vec::Vec;

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

use crate::keys::{AgreementKey, AgreementPublicKey, EncryptionKey, HmacKey, SigningKey, VerifyingKey};
use crate::keyset::{KeyRecord, Keyset, RecordKey};
use crate::provider::{Rejected, Software};
use crate::seal::{Mode, Sealer};
use crate::{Audience, Claims, ContentType, Issuer, KeyId, NameSet, Provider, Secret, TaskId, TaskType};

pub(crate) const NOW: u64 = 1_763_751_000;

pub(crate) fn claims() -> Claims<'static> {
    let names = (Issuer::new("sensor-17"), TaskType::new("reading:store"), Audience::new("plant/ingest"));
    let (Ok(issuer), Ok(task_type), Ok(audience)) = names else { panic!("valid names") };
    Claims::new(issuer, task_type, audience, TaskId::from_bytes([7; 16]))
        .issued_at(NOW)
        .expires_at(NOW + 3600)
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_scalar(&Secret::copy_from(&[seed; 32])).expect("a scalar below the order")
}

pub(crate) fn agreement_key(seed: u8) -> AgreementKey {
    AgreementKey::from_scalar(&Secret::copy_from(&[seed; 32])).expect("a scalar below the order")
}

pub(crate) fn encryption_key(seed: u8) -> EncryptionKey {
    EncryptionKey::new(KeyId::from_bytes([seed; 8]), Secret::copy_from(&[seed; 32]))
}

pub(crate) fn mac_key(seed: u8) -> HmacKey {
    HmacKey::new(KeyId::from_bytes([seed; 8]), Secret::copy_from(&[seed; 32]))
}

/// Returns a record with all rights.
pub(crate) fn record(key: RecordKey<'_>) -> KeyRecord<'_> {
    KeyRecord::new(key).issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY)
}

pub(crate) fn keyset<'a, const N: usize>(records: [KeyRecord<'a>; N]) -> Keyset<'a, N> {
    let mut keyset = Keyset::new();
    records.into_iter().for_each(|record| keyset.insert(record).expect("a new kid"));
    keyset
}

pub(crate) fn seal<M: Mode<Error = Infallible>, P: Provider>(
    sealer: &mut Sealer<M, P>,
    claims: &Claims<'_>,
    body: &[u8],
) -> Vec<u8> {
    let mut buffer = std::vec![0; sealer.sealed_len(claims, ContentType::OCTETS, body.len())];
    let sealed = sealer.seal(claims, ContentType::OCTETS, body, &mut Counted::default(), &mut buffer);
    assert_eq!(sealed.expect("claims that can be sealed").len(), buffer.len());
    buffer
}

/// A provider that verifies with a function, agrees on keys, and cannot encrypt or decrypt.
pub(crate) struct VerifiesBy<F>(pub(crate) F);

impl<F> Provider for VerifiesBy<F>
where
    F: Fn(&VerifyingKey, &[u8; 32], &[u8; 64]) -> Result<(), Rejected>,
{
    fn verify_es256(
        &self,
        key: &VerifyingKey,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Rejected> {
        (self.0)(key, digest, signature)
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
        _: &Secret<32>,
        _: &[u8; 12],
        _: &[&[u8]],
        _: &mut [u8],
        _: &[u8; 16],
    ) -> Result<(), Rejected> {
        Err(Rejected)
    }

    fn check_a256gcm(
        &self,
        _: &Secret<32>,
        _: &[u8; 12],
        _: &[&[u8]],
        _: &[u8],
        _: &[u8; 16],
    ) -> Result<(), Rejected> {
        Err(Rejected)
    }

    fn agree_ephemeral(
        &self,
        scalar: &Secret<32>,
        peer: &AgreementPublicKey,
    ) -> Option<(AgreementPublicKey, Secret<32>)> {
        Software.agree_ephemeral(scalar, peer)
    }
}

/// SHA-256 of a counter.
#[derive(Default)]
pub(crate) struct Counted(u64);

impl TryRng for Counted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64()
            .map(|value| value.to_le_bytes().first_chunk().copied().map_or(0, u32::from_le_bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(32) {
            self.0 += 1;
            let block = Sha256::digest(self.0.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counted {}

/// Reads hex digits.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digit =
        |byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).expect("a hex digit");
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// n of P-256 (SEC 2 section 2.4.2).
pub(crate) const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// Returns the other signature of the same message, with `n - s` instead of `s`.
pub(crate) fn twin(mut signature: [u8; 64]) -> [u8; 64] {
    let mut borrow = 0;
    for (digit, order) in signature[32..].iter_mut().zip(hex(ORDER)).rev() {
        let (difference, first) = order.overflowing_sub(*digit);
        let (difference, second) = difference.overflowing_sub(borrow);
        (*digit, borrow) = (difference, u8::from(first || second));
    }
    signature
}
