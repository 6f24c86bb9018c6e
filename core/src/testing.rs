//! What the unit tests share: keys, claims, a source of counted bytes.

use core::convert::Infallible;
use std::vec::Vec;

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

use crate::keys::{AgreementKey, EncryptionKey, MacKey, SigningKey};
use crate::keyset::{KeyRecord, RecordKey};
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

pub(crate) fn mac_key(seed: u8) -> MacKey {
    MacKey::new(KeyId::from_bytes([seed; 8]), Secret::copy_from(&[seed; 32]))
}

/// A record with every right.
pub(crate) fn record(key: RecordKey<'_>) -> KeyRecord<'_> {
    KeyRecord::new(key).issuers(NameSet::ANY).types(NameSet::ANY).audiences(NameSet::ANY)
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

/// SHA-256 of a counter.
#[derive(Default)]
pub(crate) struct Counted(u64);

impl TryRng for Counted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|value| value as u32)
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
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hex digit") as u8;
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
