//! Agreement of the two checks of a GCM tag, and published vectors of the primitives.

use std::vec;

use super::*;
use crate::testing::{ORDER, agreement_key, hex, signing_key};

fn sealed(len: usize, aad: &[u8]) -> (vec::Vec<u8>, [u8; 16]) {
    let mut buffer: vec::Vec<u8> = (0..len).map(|index| index.to_le_bytes()[0]).collect();
    let tag = Software.encrypt_a256gcm(&KEY, &IV, &[aad], &mut buffer).expect("a short buffer");
    (buffer, tag)
}

const KEY: Secret<32> = Secret::copy_from(&[0x42; 32]);
const IV: [u8; 12] = [0x24; 12];

/// Returns whether the tag is accepted, which both checks must agree on.
fn both(key: &Secret<32>, iv: &[u8; 12], aad: &[u8], ciphertext: &[u8], tag: &[u8; 16]) -> bool {
    let checked = Software.check_a256gcm(key, iv, &[aad], ciphertext, tag);
    let decrypted = Software.decrypt_a256gcm(key, iv, &[aad], &mut ciphertext.to_vec(), tag);
    assert_eq!(checked, decrypted);
    checked.is_ok()
}

#[test]
fn checking_and_decrypting_agree_at_every_length() {
    for len in 0..=200 {
        let aad = vec![0xad; (len * 7) % 201];
        let (ciphertext, tag) = sealed(len, &aad);
        let flip = |bytes: &[u8], at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            bytes
        };

        assert!(both(&KEY, &IV, &aad, &ciphertext, &tag), "{len}");
        assert!(!both(&KEY, &IV, &aad, &ciphertext, &flip(&tag, len % 16).try_into().unwrap()));
        assert!(!both(&KEY, &flip(&IV, len % 12).try_into().unwrap(), &aad, &ciphertext, &tag));
        assert!(!both(&Secret::copy_from(&[0x43; 32]), &IV, &aad, &ciphertext, &tag));
        if !aad.is_empty() {
            assert!(!both(&KEY, &IV, &flip(&aad, len % aad.len()), &ciphertext, &tag));
            assert!(!both(&KEY, &IV, &aad[1..], &ciphertext, &tag));
        }
        if len > 0 {
            assert!(!both(&KEY, &IV, &aad, &flip(&ciphertext, len - 1), &tag));
            assert!(!both(&KEY, &IV, &aad, &ciphertext[1..], &tag));
        }
    }
}

#[test]
fn associated_data_and_ciphertext_are_separated() {
    let (ciphertext, tag) = sealed(32, &[0; 16]);
    let joined = [&[0; 16], ciphertext.as_slice()].concat();
    assert!(!both(&KEY, &IV, &[], &joined, &tag));
    assert!(!both(&KEY, &IV, &joined, &[], &tag));
}

#[test]
fn gcm_matches_the_vectors_of_its_specification() {
    // McGrew and Viega, test cases 13, 14 and 16.
    let cases = [
        ("00", "00", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        (
            "00",
            "00",
            "",
            "00000000000000000000000000000000",
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919",
        ),
        (
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ];
    for (key, iv, aad, plaintext, ciphertext, tag) in cases {
        let filled = |text: &str, len| if text == "00" { vec![0; len] } else { hex(text) };
        let key = Secret::copy_from(&filled(key, 32).try_into().unwrap());
        let iv = filled(iv, 12).try_into().unwrap();
        let mut buffer = hex(plaintext);

        let made = Software.encrypt_a256gcm(&key, &iv, &[&hex(aad)], &mut buffer).unwrap();

        assert_eq!((buffer.as_slice(), made.as_slice()), (hex(ciphertext).as_slice(), hex(tag).as_slice()));
        assert!(both(&key, &iv, &hex(aad), &buffer, &made));
    }
}

#[test]
fn a_wrong_tag_leaves_no_plaintext() {
    let (ciphertext, _) = sealed(64, b"");
    let mut buffer = ciphertext.clone();
    assert_eq!(Software.decrypt_a256gcm(&KEY, &IV, &[], &mut buffer, &[0; 16]), Err(Rejected));
    assert!(buffer == ciphertext || buffer.iter().all(|byte| *byte == 0));
}

#[test]
fn signatures_out_of_range_are_rejected() {
    let key = signing_key(1).verifying_key();
    let order = hex(ORDER);
    let one = [&[0; 31][..], &[1]].concat();
    for r in [&[0; 32][..], &order, &[0xff; 32], &one] {
        for s in [&[0; 32][..], &order, &[0xff; 32], &one] {
            let signature = [r, s].concat().try_into().unwrap();
            assert_eq!(Software.verify_es256(&key, &[0; 32], &signature), Err(Rejected));
        }
    }
}

#[test]
fn an_ephemeral_scalar_out_of_range_gives_none() {
    let peer = agreement_key(2).public_key();
    let order = hex(ORDER);
    for scalar in [vec![0; 32], order, vec![0xff; 32]] {
        assert!(Software.agree_ephemeral(&Secret::copy_from(&scalar.try_into().unwrap()), &peer).is_none());
    }
}

#[test]
fn both_sides_agree_on_the_same_secret() {
    let (mut left, right) = (agreement_key(3), agreement_key(4));
    let (public, z) = Software.agree_ephemeral(&Secret::copy_from(&[4; 32]), &left.public_key()).unwrap();
    assert_eq!(public, right.public_key());
    let Ok(other) = left.agree(&public);
    assert_eq!(z.as_bytes(), other.as_bytes());
}
