//! Damaged keysets: flipped bits, prefixes, missing bytes, and invalid signatures.

use super::*;
use crate::testing::twin;

#[test]
fn every_flipped_bit_is_refused() {
    let good = signed(&first(), &entries());
    let mut bytes = good.clone();
    for bit in 0..8 * good.len() {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&bytes, &roots(), None, NOW).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(verify(&bytes, &roots(), None, NOW).is_ok());
}

#[test]
fn every_truncation_and_every_missing_byte_is_refused() {
    let good = signed(&first(), &entries());
    for at in 0..good.len() {
        assert_eq!(refused(&good[..at]), KeysetRefusal::Malformed, "{at}");
        let without = [&good[..at], &good[at + 1..]].concat();
        assert!(verify(&without, &roots(), None, NOW).is_err(), "{at}");
    }
}

#[test]
fn the_other_signature_of_the_same_keyset_is_refused() {
    let mut bytes = signed(&first(), &entries());
    let start = bytes.len() - 64;
    let high = twin(bytes[start..].try_into().unwrap());
    bytes[start..].copy_from_slice(&high);

    assert_eq!(refused(&bytes), KeysetRefusal::Rejected);

    let low = twin(high);
    bytes[start..].copy_from_slice(&low);
    assert!(verify(&bytes, &roots(), None, NOW).is_ok());
}

#[test]
fn signatures_out_of_range_are_refused() {
    let good = signed(&first(), &entries());
    let start = good.len() - 64;
    for (half, filler) in [(start, 0), (start, 0xff), (start + 32, 0), (start + 32, 0xff)] {
        let mut bytes = good.clone();
        bytes[half..half + 32].fill(filler);
        assert_eq!(refused(&bytes), KeysetRefusal::Rejected);
    }
}

#[test]
fn the_signature_of_another_key_under_the_kid_of_the_root_is_refused() {
    let (mine, theirs) =
        (signed(&first(), &entries()), sign(&signing_key(9), &payload(&first(), &entries())));
    let start = mine.len() - 64;
    assert_eq!(refused(&[&mine[..start], &theirs[start..]].concat()), KeysetRefusal::Rejected);
}

#[test]
fn an_envelope_is_not_a_keyset_and_a_keyset_is_not_an_envelope() {
    let envelope =
        crate::testing::seal(&mut crate::Sealer::sign(root()), &crate::testing::claims(), b"a body");
    assert_eq!(refused(&envelope), KeysetRefusal::Malformed);
    let keyset = signed(&first(), &entries());
    let refusal = crate::Unverified::parse(&keyset).unwrap_err().refusal();
    assert_eq!(refusal, Some(crate::Refusal::Malformed));
}
