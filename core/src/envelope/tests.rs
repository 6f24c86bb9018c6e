//! Length limits, and the check of the first byte.

use std::vec;

use super::*;

fn decode(bytes: &[u8]) -> Result<(), Refusal> {
    let mut envelope = Envelope::UNSET;
    envelope.decode(bytes, None)
}

#[test]
fn the_first_byte_distinguishes_an_envelope_from_other_payloads() {
    for first in 0..=0xff_u8 {
        let refusal = decode(&[first]).expect_err("one byte is not an envelope");
        let expected =
            if matches!(first, 0x83 | 0xd0..=0xd2) { Refusal::Malformed } else { Refusal::Unsealed };
        assert_eq!(refusal, expected, "{first:02x}");
    }
    assert_eq!(decode(&[]), Err(Refusal::Unsealed));
}

#[test]
fn input_longer_than_any_envelope_is_refused_before_decoding() {
    let most = MAX_BODY + MAX_HEADER + MAX_FRAME;
    let mut bytes = vec![0; most + 1];
    bytes[0] = 0xd2;
    assert_eq!(decode(&bytes[..most]), Err(Refusal::Malformed));
    assert_eq!(decode(&bytes), Err(Refusal::TooLarge));
    bytes[0] = b'{';
    assert_eq!(decode(&bytes), Err(Refusal::Unsealed));
}
