//! ES256 verification with little stack and code.
//!
//! The general implementation has a table of multiples for each of the two points, which takes 2 KiB of stack and as
//! much code. This one processes both scalars together with four precomputed points. All values are public, so the time
//! may depend on them.

use p256::ecdsa::Signature;
use p256::elliptic_curve::Group;
use p256::elliptic_curve::ops::{Invert, Reduce};
use p256::elliptic_curve::point::AffineCoordinates;
use p256::{FieldBytes, ProjectivePoint, Scalar};

use crate::error::Rejected;
use crate::keys::VerifyingKey;

/// Verifies a signature (FIPS 186-5 section 6.4.2).
pub(crate) fn verify(key: &VerifyingKey, digest: &[u8; 32], signature: &[u8; 64]) -> Result<(), Rejected> {
    let (r, s) = Signature::from_slice(signature).map_err(|_| Rejected)?.split_scalars();
    let s_inverse = *s.invert_vartime();
    let u = Digits::of(&(reduced(&(*digest).into()) * s_inverse));
    let v = Digits::of(&(*r * s_inverse));
    let x = combine(&u, &v, &key.point()).to_affine().x();
    if reduced(&x) == *r { Ok(()) } else { Err(Rejected) }
}

fn reduced(bytes: &FieldBytes) -> Scalar {
    <Scalar as Reduce<FieldBytes>>::reduce(bytes)
}

/// Returns `u G + v Q`.
fn combine(u: &Digits, v: &Digits, q: &ProjectivePoint) -> ProjectivePoint {
    let g = ProjectivePoint::GENERATOR;
    let (sum, difference) = (g + q, g - q);
    let mut result = ProjectivePoint::IDENTITY;
    for index in (0..=256).rev() {
        result = result.double();
        match (u.at(index), v.at(index)) {
            (0, 0) => {}
            (1, 0) => result += &g,
            (-1, 0) => result -= &g,
            (0, 1) => result += q,
            (0, -1) => result -= q,
            (1, 1) => result += &sum,
            (-1, -1) => result -= &sum,
            (1, _) => result += &difference,
            (_, _) => result -= &difference,
        }
    }
    result
}

/// The non-adjacent form of a scalar `k`: signed digits, two thirds of which are zero.
///
/// Digit `n` is bit `n + 1` of `3 k` minus bit `n + 1` of `k`.
struct Digits {
    once: [u8; 33],
    thrice: [u8; 33],
}

impl Digits {
    fn of(scalar: &Scalar) -> Self {
        let (mut once, mut thrice) = ([0; 33], [0; 33]);
        let mut carry = 0_u16;
        let bytes: FieldBytes = scalar.to_bytes();
        let places = once.iter_mut().zip(&mut thrice);
        for ((once, thrice), byte) in places.zip(bytes.iter().rev().chain(&[0])) {
            *once = *byte;
            carry += 3 * u16::from(*byte);
            let [low, high] = carry.to_le_bytes();
            *thrice = low;
            carry = u16::from(high);
        }
        Self { once, thrice }
    }

    fn at(&self, index: usize) -> i8 {
        bit(&self.thrice, index + 1) - bit(&self.once, index + 1)
    }
}

/// Returns a bit of a number in little-endian bytes.
fn bit(bytes: &[u8; 33], index: usize) -> i8 {
    bytes.get(index / 8).map_or(0, |byte| (byte >> (index % 8) & 1).cast_signed())
}

#[cfg(test)]
mod tests;
