//! Checks of an encrypted object before decryption.

use std::vec::Vec;

use super::*;
use crate::cbor::encoder::Writer;

const SHARED: KeyRef<'_> =
    KeyRef::Shared { kid: KeyId::from_bytes([1; 8]), salt_commit: &[2; SALT_COMMIT_LEN] };
const AGREED: KeyRef<'_> = KeyRef::Agreed { commit: &[2; COMMIT_LEN] };
const RECIPIENT: Recipient<'_> = Recipient { kid: KeyId::from_bytes([3; 8]), x: &[4; 32], y: &[5; 32] };

fn encoded(encode: impl FnOnce(&mut Writer<'_>) -> Result<(), SinkError>) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let mut writer = Writer::new(&mut buffer);
    encode(&mut writer).expect("enough room");
    writer.as_bytes().to_vec()
}

fn protected(key: KeyRef<'_>) -> Vec<u8> {
    encoded(|sink| Protected { content_type: ContentType::JSON, key }.encode(sink))
}

fn object(key: KeyRef<'_>, ciphertext: &[u8]) -> Vec<u8> {
    encoded(|sink| {
        let protected = Protected { content_type: ContentType::JSON, key };
        encode_before_ciphertext(&protected, &[6; IV_LEN], ciphertext.len(), sink)?;
        sink.put(ciphertext)?;
        if matches!(key, KeyRef::Agreed { .. }) { RECIPIENT.encode(sink) } else { Ok(()) }
    })
}

#[test]
fn a_ciphertext_shorter_than_its_tag_is_refused() {
    for key in [SHARED, AGREED] {
        assert!(Inner::decode(&object(key, &[7; TAG_LEN - 1])).is_err());
        assert!(Inner::decode(&object(key, &[])).is_err());
        assert!(Inner::decode(&object(key, &[7; TAG_LEN])).is_ok(), "an empty body");
    }
}

#[test]
fn a_changed_byte_of_the_recipient_changes_its_meaning_or_is_refused() {
    let good = object(AGREED, &[7; 20]);
    let start = good.len() - encoded(|sink| RECIPIENT.encode(sink)).len();
    // All of them take a minute under Miri.
    let bytes_apart = if cfg!(miri) { 8 } else { 1 };
    for at in (start..good.len()).step_by(bytes_apart) {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            let Ok(inner) = Inner::decode(&changed) else { continue };
            let recipient = inner.recipient.expect("it has one");
            let same = (recipient.kid, recipient.x, recipient.y) == (RECIPIENT.kid, RECIPIENT.x, RECIPIENT.y);
            assert!(!same, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn the_decryption_kid_is_that_of_the_key_or_of_the_recipient() {
    let kid = |bytes: &[u8]| Inner::decode(bytes).expect("well-formed").kid();
    assert_eq!(kid(&object(SHARED, &[7; 20])), Some(KeyId::from_bytes([1; 8])));
    assert_eq!(kid(&object(AGREED, &[7; 20])), Some(KeyId::from_bytes([3; 8])));
}

#[test]
fn a_protected_header_with_another_algorithm_label_or_length_is_refused() {
    for key in [SHARED, AGREED] {
        let good = protected(key);
        assert!(Protected::decode(&good).is_ok());
        for at in 0..good.len() {
            assert!(Protected::decode(&good[..at]).is_err(), "cut at {at}");
        }
        assert!(Protected::decode(&[&good[..], &[0]].concat()).is_err(), "a byte more");
        let mut other = good.clone();
        other[2] = 1; // A128GCM
        assert!(Protected::decode(&other).is_err());
        other[2] = 0x26; // ES256
        assert!(Protected::decode(&other).is_err());
    }
    let mut label = protected(AGREED);
    let at = label.windows(5).position(|bytes| bytes == [0x3a, 0, 1, 0x74, 0x73]).expect("-95348");
    label[at + 4] = 0x72;
    assert!(Protected::decode(&label).is_err(), "-95347");
}

#[test]
fn the_iv_is_one_pair_of_twelve_bytes() {
    let good = encoded(|sink| encode_iv(&[6; IV_LEN], sink));
    assert_eq!(decode_iv(&mut Decoder::new(&good)), Ok(&[6; IV_LEN]));
    let mut other = good.clone();
    other[1] = 6; // the label of a partial IV
    assert!(decode_iv(&mut Decoder::new(&other)).is_err());
    assert!(decode_iv(&mut Decoder::new(&[0xa0])).is_err());
    assert!(
        decode_iv(&mut Decoder::new(&encoded(|sink| {
            sink.map(1)?;
            sink.uint(label::IV)?;
            sink.bytes(&[6; 11])
        })))
        .is_err()
    );
}

#[test]
fn the_longest_protected_header_has_the_maximum_length() {
    let content = std::format!("a/{}", "x".repeat(62));
    let longest = Protected { content_type: ContentType::new(&content).expect("64 characters"), key: SHARED };
    assert_eq!(longest.encoded_len(), Ok(MAX_PROTECTED));
}
