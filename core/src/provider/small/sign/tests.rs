//! Comparison with the general implementation: signatures of both are deterministic.

use sha2::{Digest, Sha256};

use super::*;
use crate::provider::general;

#[test]
fn signatures_equal_those_of_the_general_implementation() {
    let mut seed = [0_u8; 32];
    for round in 0..200_u32 {
        seed = Sha256::new().chain_update(seed).chain_update(round.to_be_bytes()).finalize().into();
        let Ok(key) = p256::ecdsa::SigningKey::from_slice(&seed) else { continue };
        let digest: [u8; 32] = Sha256::digest(seed).into();
        assert_eq!(sign(&key, &digest), general::sign(&key, &digest));
    }
}

#[test]
fn extreme_digests_and_keys_sign_as_by_the_general_implementation() {
    let mut one = [0; 32];
    one[31] = 1;
    let mut minus_one = (-Scalar::ONE).to_repr();
    for scalar in [one, minus_one.into(), [0x80; 32]] {
        let key = p256::ecdsa::SigningKey::from_slice(&scalar).expect("a scalar");
        for digest in [[0; 32], [0xff; 32], scalar, one] {
            assert_eq!(sign(&key, &digest), general::sign(&key, &digest));
        }
    }
    minus_one.zeroize();
}

#[test]
fn the_example_of_rfc_6979_a_2_5() {
    let hex = |text: &str| -> [u8; 32] {
        core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex"))
    };
    let key = hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let key = p256::ecdsa::SigningKey::from_slice(&key).expect("a scalar");
    let signature = sign(&key, &Sha256::digest(b"sample").into());
    assert_eq!(signature[..32], hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"));
    assert_eq!(signature[32..], hex("f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"));
}

#[test]
fn a_nonce_out_of_range_gives_no_signature() {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a scalar");
    for nonce in [[0; 32], [0xff; 32]] {
        assert_eq!(sign_with(&key, &Scalar::ONE, &Secret::copy_from(&nonce), &[1; 32].into()), None);
    }
}
