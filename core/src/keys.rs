//! Keys: one type per purpose, so that a key cannot be used for another purpose.

mod agreement;
mod cose_key;
mod signing;
mod symmetric;

pub use self::agreement::{AgreementKey, AgreementPublicKey};
pub use self::cose_key::{CoseKey, CoseKeyError, EncodedCoseKey, KeyAlgorithm};
pub use self::signing::{SigningKey, VerifyingKey};
pub use self::symmetric::{EncryptionKey, HmacKey};

use p256::AffinePoint;
use p256::elliptic_curve::point::AffineCoordinates;
use sha2::{Digest, Sha256};

use crate::error::InvalidKey;
use crate::inner::encode_public_key;
use crate::kid::KeyId;

/// Size of an uncompressed P-256 point (SEC 1 section 2.3.3), `04 || x || y`, in bytes.
pub const POINT_LEN: usize = 65;

/// Returns the kid of a P-256 key: the first 8 bytes of its thumbprint (RFC 9679).
fn thumbprint_kid(point: &[u8; POINT_LEN]) -> KeyId {
    let (x, y) = coordinates(point);
    let mut hash = Sha256::new();
    encode_public_key(x, y, &mut hash).expect("a hash takes any number of bytes");
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
    KeyId::from_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the two coordinates of an uncompressed point.
pub(crate) fn coordinates(point: &[u8; POINT_LEN]) -> (&[u8; 32], &[u8; 32]) {
    const ZERO: &[u8; 32] = &[0; 32];
    let [_, coordinates @ ..] = point;
    let (x, y) = coordinates.split_at(32);
    (x.try_into().unwrap_or(ZERO), y.try_into().unwrap_or(ZERO))
}

/// Returns the uncompressed point with these coordinates, without checking that it is on the curve.
pub(crate) fn point(x: &[u8; 32], y: &[u8; 32]) -> [u8; POINT_LEN] {
    let mut point = [4; POINT_LEN];
    let [_, coordinates @ ..] = &mut point;
    let (to_x, to_y) = coordinates.split_at_mut(32);
    to_x.copy_from_slice(x);
    to_y.copy_from_slice(y);
    point
}

/// Decodes an uncompressed point and checks that it is on the curve. The identity has no such encoding.
fn affine(point: &[u8; POINT_LEN]) -> Result<AffinePoint, InvalidKey> {
    let (x, y) = coordinates(point);
    let affine = AffinePoint::from_coordinates(&(*x).into(), &(*y).into());
    if point.first() == Some(&4) { affine.into_option().ok_or(InvalidKey) } else { Err(InvalidKey) }
}

/// Returns the uncompressed encoding of a point.
fn uncompressed(affine: &AffinePoint) -> [u8; POINT_LEN] {
    point(&affine.x().into(), &affine.y().into())
}

#[cfg(test)]
mod tests;
