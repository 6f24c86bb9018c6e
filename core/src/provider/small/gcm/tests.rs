//! Comparison with the general implementation.

use std::vec::Vec;

use super::*;
use crate::provider::general;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

#[test]
fn every_length_is_encrypted_as_by_the_general_implementation() {
    let (key, iv) = (Secret::copy_from(&[9; 32]), [3; 12]);
    for len in (0..100).chain([255, 256, 257, 1000]) {
        let (body, aad) = (bytes(len), bytes(len / 2 + 1));
        let (mut ours, mut theirs) = (body.clone(), body.clone());
        let (one, other) = aad.split_at(len / 5);

        let tag = encrypt(&key, &iv, &[one, &[], other], &mut ours).unwrap();
        assert_eq!(tag, general::gcm::encrypt(&key, &iv, &[&aad], &mut theirs).unwrap());
        assert_eq!(ours, theirs);
        assert_eq!(check(&key, &iv, &[&aad], &ours, &tag), Ok(()));
        assert_eq!(general::gcm::check(&key, &iv, &[one, other], &ours, &tag), Ok(()));
        assert_eq!(decrypt(&key, &iv, &[&aad], &mut ours, &tag), Ok(()));
        assert_eq!(general::gcm::decrypt(&key, &iv, &[one, other], &mut theirs, &tag), Ok(()));
        assert_eq!((&ours, &theirs), (&body, &body));
    }
}

#[test]
fn a_wrong_tag_leaves_the_ciphertext_unchanged() {
    let (key, iv) = (Secret::copy_from(&[9; 32]), [3; 12]);
    let mut ciphertext = bytes(40);
    let tag = encrypt(&key, &iv, &[b"aad"], &mut ciphertext).unwrap();
    let before = ciphertext.clone();
    for place in 0..16 {
        let mut other = tag;
        other[place] ^= 1;
        assert_eq!(decrypt(&key, &iv, &[b"aad"], &mut ciphertext, &other), Err(Rejected));
        assert_eq!(check(&key, &iv, &[b"aad"], &ciphertext, &other), Err(Rejected));
    }
    assert_eq!(decrypt(&key, &iv, &[b"aaD"], &mut ciphertext, &tag), Err(Rejected));
    assert_eq!(ciphertext, before);
}
