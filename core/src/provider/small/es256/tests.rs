//! Comparison with the general implementation.

use super::*;
use crate::keys::SigningKey;
use crate::provider::{Signer, general};
use crate::secret::Secret;

fn key(scalar: [u8; 32]) -> SigningKey {
    SigningKey::from_scalar(&Secret::copy_from(&scalar)).expect("a scalar")
}

fn small(scalar: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[31] = scalar;
    bytes
}

#[test]
fn verification_agrees_with_the_general_implementation() {
    // With the keys 1 and -1, some of the four points coincide or are the identity.
    let mut minus_one = *b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
    minus_one[31] -= 1;
    for scalar in [small(1), small(2), minus_one, [7; 32], [0x5a; 32]] {
        let mut key = key(scalar);
        let verifying = key.verifying_key();
        for round in 0..24_u8 {
            let digest = [round.wrapping_mul(37); 32];
            let Ok(mut signature) = key.sign_digest(&digest);
            assert_eq!(verify(&verifying, &digest, &signature), Ok(()));
            for place in [0, 31, 32, 63] {
                signature[place] ^= 1 << (round % 8);
                assert_eq!(
                    verify(&verifying, &digest, &signature),
                    general::verify(&verifying, &digest, &signature)
                );
                assert_eq!(verify(&verifying, &digest, &signature), Err(Rejected));
                signature[place] ^= 1 << (round % 8);
            }
            assert_eq!(verify(&verifying, &[round; 32].map(|byte| !byte), &signature), Err(Rejected));
        }
    }
}

#[test]
fn zeros_and_numbers_out_of_range_are_rejected() {
    let verifying = key([7; 32]).verifying_key();
    for signature in [[0; 64], [0xff; 64]] {
        assert_eq!(verify(&verifying, &[1; 32], &signature), Err(Rejected));
    }
    let order: [u8; 32] = crate::testing::hex(crate::testing::ORDER).try_into().expect("32 bytes");
    let Ok(good) = key([7; 32]).sign_digest(&[1; 32]);
    assert_eq!(verify(&verifying, &[1; 32], &good), Ok(()));
    for half in [0..32, 32..64] {
        for number in [[0; 32], order, [0xff; 32]] {
            let mut signature = good;
            signature[half.clone()].copy_from_slice(&number);
            assert_eq!(verify(&verifying, &[1; 32], &signature), Err(Rejected));
        }
    }
}

fn signature(r: &Scalar, s: &Scalar) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r.to_bytes());
    signature[32..].copy_from_slice(&s.to_bytes());
    signature
}

#[test]
fn a_sum_that_is_the_identity_is_rejected() {
    for d in [1_u64, 2, 5, 0xdead_beef] {
        let d = Scalar::from(d);
        let verifying = key(d.to_bytes().into()).verifying_key();
        for (r, s) in [(1_u64, 1_u64), (3, 7), (0xffff_ffff, 2)] {
            let (r, s) = (Scalar::from(r), Scalar::from(s));
            // With this digest, u G + v Q is the identity.
            let digest: [u8; 32] = (-(r * d)).to_bytes().into();
            assert_eq!(verify(&verifying, &digest, &signature(&r, &s)), Err(Rejected));
        }
    }
}

#[test]
fn sums_are_those_of_the_curve() {
    let q = ProjectivePoint::GENERATOR * Scalar::from(0x5a5a_1234_u64);
    for u in 0..12_u64 {
        for v in 0..12_u64 {
            for (u, v) in [(1, 1), (1, -1), (-1, 1), (-1, -1)].map(|(signs_u, signs_v)| {
                let signed = |number: u64, sign: i32| {
                    if sign < 0 { -Scalar::from(number) } else { Scalar::from(number) }
                };
                (signed(u, signs_u), signed(v, signs_v))
            }) {
                let expected = ProjectivePoint::GENERATOR * u + q * v;
                assert_eq!(combine(&Digits::of(&u), &Digits::of(&v), &q), expected);
            }
        }
    }
}

#[test]
fn digits_are_those_of_the_scalar() {
    for scalar in [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(0xdead_beef_u64)] {
        let digits = Digits::of(&scalar);
        let (mut sum, mut neighbour) = (Scalar::ZERO, 0);
        for index in (0..=256).rev() {
            let digit = digits.at(index);
            assert!(digit == 0 || neighbour == 0, "two neighbours are not both digits");
            neighbour = digit;
            sum = sum.double();
            match digit {
                1 => sum += Scalar::ONE,
                -1 => sum -= Scalar::ONE,
                _ => assert_eq!(digit, 0),
            }
        }
        assert_eq!(sum, scalar);
    }
}
