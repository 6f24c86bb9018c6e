//! The exact bytes of the structures, and HMAC compared with RFC 4231.

use std::borrow::ToOwned;

use super::*;
use crate::testing::hex;

#[test]
fn the_signature_structure_follows_rfc_9052() {
    // ["Signature1", h'a10126', h'', h'0102']
    let spelled = hex("846a5369676e61747572653143a1012640420102");
    let expected: [u8; 32] = Sha256::digest(&spelled).into();
    assert_eq!(signature_digest(&hex("a10126"), &[1, 2]), expected);
}

#[test]
fn the_mac_structure_follows_rfc_9052() {
    // ["MAC0", h'a10105', h'', h'0102']
    let spelled = hex("84644d41433043a1010540420102");
    let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
    Mac::update(&mut mac, &spelled);
    let expected: [u8; 32] = mac.finalize().into_bytes().into();
    assert_eq!(tag(&hex("a10105"), &[1, 2]).as_bytes(), &expected);
}

#[test]
fn the_pieces_of_the_mac_structure_have_its_bytes_and_length() {
    // Hashing the longest takes minutes under Miri.
    let longest = if cfg!(miri) { 300 } else { 65_536 };
    for len in [0, 23, 24, 255, 256, longest] {
        let payload = std::vec![9; len];
        let structure = MacStructure::new(&[7; 30], &payload);
        let mut whole = std::vec::Vec::new();
        structure.pieces(|piece| whole.extend_from_slice(piece));
        let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
        Mac::update(&mut mac, &whole);
        let expected: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!((structure.len(), tag(&[7; 30], &payload).as_bytes()), (whole.len(), &expected));
    }
}

#[test]
fn moving_bytes_between_header_and_payload_changes_the_digest() {
    assert_ne!(signature_digest(&[1, 2], &[3]), signature_digest(&[1], &[2, 3]));
    assert_ne!(tag(&[1, 2], &[3]).as_bytes(), tag(&[1], &[2, 3]).as_bytes());
}

#[test]
fn the_encryption_structure_follows_rfc_9052() {
    let plain = enc_structure(EncryptContext::Encrypt0, &hex("a10103"), &[]).unwrap();
    assert_eq!(plain, hex("8368456e63727970743043a1010340"));
    let bound = enc_structure(EncryptContext::Encrypt, &hex("a10103"), &[9, 8]).unwrap();
    assert_eq!(bound, hex("8367456e637279707443a10103420908"));
}

#[test]
fn the_encryption_structure_holds_the_longest_headers() {
    let (protected, outer) = ([0; MAX_PROTECTED], [0; MAX_HEADER]);
    assert!(enc_structure(EncryptContext::Encrypt0, &protected, &outer).is_ok());
    assert!(enc_structure(EncryptContext::Encrypt0, &outer, &[]).is_ok());
    assert!(enc_structure(EncryptContext::Encrypt0, &[0; EncStructure::MAX_LEN], &[]).is_err());
}

#[test]
fn the_hmac_sink_matches_rfc_4231() {
    // Test cases 1, 2 and 6: key, data, tag.
    let cases = [
        ("0b".repeat(20), "4869205468657265".into(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            "4a656665".into(),
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f".into(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "aa".repeat(131),
            "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374"
                .to_owned(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for (key, data, expected) in cases {
        let mut mac = Hmac::<Sha256>::new_from_slice(&hex(&key)).unwrap();
        for byte in hex(&data) {
            Sink::put(&mut mac, &[byte]).unwrap();
        }
        assert_eq!(mac.finalize().into_bytes().as_slice(), hex(expected));
    }
}

fn tag(protected: &[u8], payload: &[u8]) -> Secret<32> {
    MacStructure::new(protected, payload).tag(&Secret::copy_from(&[7; 32]))
}

fn enc_structure(
    context: EncryptContext,
    protected: &[u8],
    external: &[u8],
) -> Result<std::vec::Vec<u8>, SinkError> {
    EncStructure::new(context, protected, external).map(|structure| structure.pieces().concat())
}
