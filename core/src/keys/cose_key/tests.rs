//! COSE_Keys that are refused, and the exact bytes of those that are accepted.

use std::format;
use std::vec::Vec;

use super::*;
use crate::testing::{ORDER, hex};

fn key(algorithm: KeyAlgorithm) -> CoseKey {
    CoseKey::new(algorithm, KeyId::from_bytes(*b"kid-kid-"), &Secret::copy_from(&[0x2a; 32])).unwrap()
}

fn encoded(algorithm: KeyAlgorithm) -> Vec<u8> {
    key(algorithm).encode().as_bytes().to_vec()
}

fn is_symmetric(algorithm: KeyAlgorithm) -> bool {
    matches!(algorithm, KeyAlgorithm::Hmac256 | KeyAlgorithm::A256Gcm)
}

fn refusal(bytes: &[u8]) -> Option<CoseKeyError> {
    CoseKey::decode(bytes).err()
}

#[test]
fn changing_a_bit_is_noticed_except_in_a_symmetric_secret_and_its_kid() {
    for algorithm in KeyAlgorithm::ALL {
        let good = encoded(algorithm);
        for index in 0..good.len() {
            let is_free = is_symmetric(algorithm)
                && ((5..13).contains(&index) || (good.len() - 32..good.len()).contains(&index));
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[index] ^= 1 << bit;
                assert_eq!(CoseKey::decode(&bad).is_ok(), is_free, "{algorithm:?}: byte {index}, bit {bit}");
            }
        }
    }
}

#[test]
fn shortened_and_extended_keys_are_malformed() {
    for algorithm in KeyAlgorithm::ALL {
        let good = encoded(algorithm);
        for len in 0..good.len() {
            assert_eq!(refusal(&good[..len]), Some(CoseKeyError::Malformed), "{algorithm:?}: {len} bytes");
        }
        let long = [good.as_slice(), &[0]].concat();
        assert_eq!(refusal(&long), Some(CoseKeyError::Malformed), "{algorithm:?}: one byte more");
    }
}

#[test]
fn scalars_out_of_range_are_refused() {
    let order: [u8; 32] = hex(ORDER).try_into().unwrap();
    for algorithm in [KeyAlgorithm::Es256, KeyAlgorithm::EcdhEs] {
        for scalar in [[0; 32], order, [0xff; 32]] {
            let mut bad = encoded(algorithm);
            let start = bad.len() - 32;
            bad[start..].copy_from_slice(&scalar);
            assert_eq!(refusal(&bad), Some(CoseKeyError::InvalidScalar));
            let secret = Secret::copy_from(&scalar);
            assert!(matches!(CoseKey::new(algorithm, KeyId::from_bytes([0; 8]), &secret), Err(InvalidKey)));
        }
    }
}

#[test]
fn a_public_key_or_kid_of_another_secret_is_a_mismatch() {
    let good = encoded(KeyAlgorithm::Es256);
    let (kid, x, y) = (5, 23, 58);
    for index in [kid, kid + 7, x, x + 31, y, y + 31] {
        let mut bad = good.clone();
        bad[index] ^= 1;
        assert_eq!(refusal(&bad), Some(CoseKeyError::Mismatch), "byte {index}");
    }
}

#[test]
fn other_spellings_of_a_key_are_malformed() {
    let good = encoded(KeyAlgorithm::Hmac256);
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).expect("the bytes to replace");
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    for (name, bad) in [
        ("a map of indefinite length", [&[0xbf], &good[1..], &[0xff]].concat()),
        ("a long head of the map", replaced(&[0xa5, 0x01], &[0xb8, 0x05, 0x01])),
        ("a long label", replaced(&[0x01, 0x04, 0x02], &[0x18, 0x01, 0x04, 0x02])),
        ("a long length of the kid", replaced(&[0x02, 0x48], &[0x02, 0x58, 0x08])),
        ("a long algorithm", replaced(&[0x03, 0x05], &[0x03, 0x18, 0x05])),
        ("a negative key type", replaced(&[0x01, 0x04], &[0x01, 0x24])),
        ("operations in another order", replaced(&[0x82, 0x09, 0x0a], &[0x82, 0x0a, 0x09])),
        ("one operation only", replaced(&[0x82, 0x09, 0x0a], &[0x81, 0x09])),
        ("a third operation", replaced(&[0x82, 0x09, 0x0a], &[0x83, 0x09, 0x0a, 0x01])),
        ("operations of another algorithm", replaced(&[0x82, 0x09, 0x0a], &[0x82, 0x03, 0x04])),
        ("no operations", [&[0xa4], &replaced(&[0x04, 0x82, 0x09, 0x0a], &[])[1..]].concat()),
        ("members in another order", [&[0xa5], &good[3..13], &good[1..3], &good[13..]].concat()),
        ("a member twice", [&[0xa6], &good[1..3], &good[1..]].concat()),
        ("one member more", [&[0xa6], &good[1..], &[0x21, 0x00]].concat()),
        ("the key type of a P-256 key", replaced(&[0x01, 0x04], &[0x01, 0x02])),
        ("a tag before it", [&[0xd8, 0x65], good.as_slice()].concat()),
    ] {
        assert_eq!(refusal(&bad), Some(CoseKeyError::Malformed), "{name}");
    }
}

#[test]
fn a_signing_key_is_not_an_agreement_key() {
    let (signing, agreement) = (encoded(KeyAlgorithm::Es256), encoded(KeyAlgorithm::EcdhEs));

    assert_eq!(CoseKey::decode(&signing).unwrap().algorithm(), KeyAlgorithm::Es256);
    assert_eq!(CoseKey::decode(&agreement).unwrap().algorithm(), KeyAlgorithm::EcdhEs);
}

#[test]
fn decoding_returns_what_was_encoded() {
    for algorithm in KeyAlgorithm::ALL {
        let (original, encoded) = (key(algorithm), encoded(algorithm));
        let decoded = CoseKey::decode(&encoded).unwrap();

        assert_eq!(decoded.algorithm(), algorithm);
        assert_eq!((decoded.kid(), decoded.point()), (original.kid(), original.point()));
        assert_eq!(decoded.secret().as_bytes(), &[0x2a; 32]);
        assert_eq!(decoded.encode().as_bytes(), encoded);
    }
    assert_eq!(encoded(KeyAlgorithm::EcdhEs).len(), CoseKey::MAX_LEN);
}

#[test]
fn symmetric_keys_have_these_bytes() {
    for (algorithm, parameters) in [
        (KeyAlgorithm::Hmac256, [0x03, 0x05, 0x04, 0x82, 0x09, 0x0a]),
        (KeyAlgorithm::A256Gcm, [0x03, 0x03, 0x04, 0x82, 0x03, 0x04]),
    ] {
        let head = [0xa5, 0x01, 0x04, 0x02, 0x48];
        let expected =
            [&head, b"kid-kid-".as_slice(), &parameters, &[0x20, 0x58, 0x20], &[0x2a; 32]].concat();
        assert_eq!(encoded(algorithm), expected);
    }
}

#[test]
fn p_256_keys_have_these_bytes() {
    for (algorithm, parameters) in [
        (KeyAlgorithm::Es256, [0x03, 0x26, 0x04, 0x81, 0x01, 0x20, 0x01].as_slice()),
        (KeyAlgorithm::EcdhEs, &[0x03, 0x38, 0x18, 0x04, 0x81, 0x07, 0x20, 0x01]),
    ] {
        let key = key(algorithm);
        let (x, y) = coordinates(key.point().unwrap());
        let expected = [
            &[0xa8, 0x01, 0x02, 0x02, 0x48],
            key.kid().as_bytes().as_slice(),
            parameters,
            &[0x21, 0x58, 0x20],
            x,
            &[0x22, 0x58, 0x20],
            y,
            &[0x23, 0x58, 0x20],
            &[0x2a; 32],
        ]
        .concat();
        assert_eq!(encoded(algorithm), expected);
    }
}

#[test]
fn debug_prints_no_secret() {
    for algorithm in KeyAlgorithm::ALL {
        let text = format!("{:?} {:?}", key(algorithm), key(algorithm).encode());
        assert!(!text.contains("42, 42") && !text.to_lowercase().contains("2a2a"), "{text}");
    }
}
