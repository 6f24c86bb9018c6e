//! ES256 signing with little stack and code.
//!
//! The general implementation has eight multiples of the base point and a generator of nonces on the stack at the same
//! time. This one generates the nonce first, and its table has three multiples.

use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::subtle::{ConditionallySelectable, ConstantTimeEq};
use p256::elliptic_curve::{Field, Group, PrimeField};
use p256::{FieldBytes, ProjectivePoint, Scalar};
use zeroize::Zeroize;

use crate::commit::hmac_into;
use crate::secret::Secret;

/// Signs a digest (FIPS 186-5 section 6.4.1) with the nonce of RFC 6979 and returns `r || s`.
pub(crate) fn sign(key: &p256::ecdsa::SigningKey, digest: &[u8; 32]) -> [u8; 64] {
    let z = reduced(&(*digest).into());
    let mut nonces = Nonces::of(key, &z);
    loop {
        let nonce = nonces.next();
        if scalar(nonce).is_none() {
            continue;
        }
        // The point arithmetic needs the most stack, so it runs first and separately.
        let x = commitment(nonce);
        if let Some(signature) = sign_with(key, &z, nonce, &x) {
            return signature;
        }
    }
}

fn reduced(bytes: &FieldBytes) -> Scalar {
    <Scalar as Reduce<FieldBytes>>::reduce(bytes)
}

/// `x` is the x-coordinate of the nonce's point. Returns `None` if the nonce is zero or not below the order of the
/// curve, or if `r` or `s` is zero.
#[inline(never)]
fn sign_with(
    key: &p256::ecdsa::SigningKey,
    z: &Scalar,
    nonce: &Secret<32>,
    x: &FieldBytes,
) -> Option<[u8; 64]> {
    let mut k = scalar(nonce)?;
    let r = reduced(x);
    let mut inverse = k.invert().into_option()?;
    let mut d = *key.as_nonzero_scalar().as_ref();
    let s = inverse * (*z + r * d);
    k.zeroize();
    inverse.zeroize();
    d.zeroize();
    if bool::from(r.is_zero() | s.is_zero()) {
        return None;
    }
    let mut signature = [0; 64];
    let (to_r, to_s) = signature.split_at_mut(32);
    to_r.iter_mut().zip(r.to_repr()).for_each(|(to, from)| *to = from);
    to_s.iter_mut().zip(s.to_repr()).for_each(|(to, from)| *to = from);
    Some(signature)
}

#[inline(never)]
fn scalar(bytes: &Secret<32>) -> Option<Scalar> {
    Scalar::from_repr((*bytes.as_bytes()).into()).into_option()
}

/// Returns the x-coordinate of `k G`, computed two bits at a time. Neither the time nor the memory accesses depend on
/// `k`: every step reads the whole table and adds, also the identity, by complete formulas.
#[inline(never)]
fn commitment(k: &Secret<32>) -> FieldBytes {
    let one = ProjectivePoint::GENERATOR;
    let two = one.double();
    let table = [one, two, two + one];
    let mut result = ProjectivePoint::IDENTITY;
    for byte in k.as_bytes() {
        for shift in [6, 4, 2, 0] {
            result = result.double();
            result = result.double();
            let digit = byte >> shift & 3;
            let mut chosen = ProjectivePoint::IDENTITY;
            for (multiple, point) in (1_u8..).zip(&table) {
                chosen.conditional_assign(point, multiple.ct_eq(&digit));
            }
            result += &chosen;
        }
    }
    let x = result.to_affine().x();
    result.zeroize();
    x
}

/// The HMAC_DRBG of RFC 6979 section 3.2 over key and digest.
struct Nonces {
    k: Secret<32>,
    v: Secret<32>,
    has_given: bool,
}

impl Nonces {
    /// `z` is the digest modulo the order, `bits2octets(h1)` in the RFC.
    #[inline(never)]
    fn of(key: &p256::ecdsa::SigningKey, z: &Scalar) -> Self {
        let (mut nonces, z) =
            (Self { k: Secret::zeroed(), v: Secret::copy_from(&[1; 32]), has_given: false }, z.to_repr());
        let mut d: [u8; 32] = key.to_bytes().into();
        nonces.mix(&[&[0], &d, &z]);
        nonces.mix(&[&[1], &d, &z]);
        d.zeroize();
        nonces
    }

    /// Sets `K = HMAC(K, V || parts)`, then `V = HMAC(K, V)`.
    fn mix(&mut self, parts: &[&[u8]; 3]) {
        let mut k = Secret::zeroed();
        let [one, two, three] = *parts;
        hmac_into(self.k.as_bytes(), &[self.v.as_bytes(), one, two, three], k.as_mut_bytes());
        *self.k.as_mut_bytes() = *k.as_bytes();
        self.step();
    }

    fn step(&mut self) {
        let mut v = Secret::zeroed();
        hmac_into(self.k.as_bytes(), &[self.v.as_bytes()], v.as_mut_bytes());
        *self.v.as_mut_bytes() = *v.as_bytes();
    }

    /// Returns the next candidate.
    #[inline(never)]
    fn next(&mut self) -> &Secret<32> {
        if self.has_given {
            self.mix(&[&[0], &[], &[]]);
        }
        self.has_given = true;
        self.step();
        &self.v
    }
}

#[cfg(test)]
mod tests;
