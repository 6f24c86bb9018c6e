//! The routine for devices and the general one give the same verdicts.

use super::*;
use crate::keys::SigningKey;
use crate::provider::{Provider, Signer, Software};
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
fn verdicts_are_those_of_the_general_routine() {
    // With the keys 1 and -1 the four points coincide, or their sum is the identity.
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
                    Software.verify_es256(&verifying, &digest, &signature)
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
