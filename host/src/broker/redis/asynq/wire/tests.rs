//! The codec against bytes: malformed input first, then the canonical form.

use super::{DecodeMessageError, Message};

fn full() -> Message {
    Message {
        task_type: "email:deliver".to_owned(),
        payload: vec![0, 1, 0xff, 0x80].into(),
        id: "6f1a".to_owned(),
        queue: "mail".to_owned(),
        retry: 25,
        retried: -1,
        error_msg: "späť".to_owned(),
        timeout: 1800,
        deadline: i64::MAX,
        unique_key: "asynq:{mail}:unique:email:deliver:00".to_owned(),
        last_failed_at: i64::MIN,
        retention: 1,
        completed_at: 1_767_225_600,
        group_key: "user:42".to_owned(),
        headers: [("b".to_owned(), String::new()), (String::new(), "v".to_owned())].into(),
    }
}

#[test]
fn decode_rejects_every_truncation_inside_a_field() {
    let bytes = full().encode();
    let ends: Vec<usize> = (0..=bytes.len()).filter(|&len| Message::decode(&bytes[..len]).is_ok()).collect();

    // Whole fields may be missing, half a field may not: one end before each of 14 fields and 2 headers.
    assert_eq!(ends.len(), 17);
    assert_eq!(ends.last(), Some(&bytes.len()));
}

#[test]
fn decode_rejects_a_known_field_of_another_wire_type() {
    assert_eq!(Message::decode(&[0x08, 1]), Err(DecodeMessageError::WireType(1)));
    assert_eq!(Message::decode(&[0x2a, 1, b'x']), Err(DecodeMessageError::WireType(5)));
    assert_eq!(Message::decode(&[0x2d, 0, 0, 0, 0]), Err(DecodeMessageError::WireType(5)));
    assert_eq!(Message::decode(&[0x78, 1]), Err(DecodeMessageError::WireType(15)));
}

#[test]
fn decode_rejects_groups_and_reserved_wire_types() {
    for wire_type in [3u8, 4, 6, 7] {
        assert!(matches!(Message::decode(&[0x80 | wire_type, 0x01]), Err(DecodeMessageError::WireType(16))));
    }
}

#[test]
fn decode_rejects_malformed_numbers() {
    let eleven_bytes = [0x40, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0];
    let too_many_bits = [0x40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];

    assert_eq!(Message::decode(&eleven_bytes), Err(DecodeMessageError::Number));
    assert_eq!(Message::decode(&too_many_bits), Err(DecodeMessageError::Number));
    assert_eq!(Message::decode(&[0x40, 0x80]), Err(DecodeMessageError::Truncated));
}

#[test]
fn decode_rejects_invalid_field_numbers() {
    assert_eq!(Message::decode(&[0x00, 0]), Err(DecodeMessageError::FieldNumber));
    assert_eq!(Message::decode(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), Err(DecodeMessageError::FieldNumber));
}

#[test]
fn decode_rejects_text_that_is_not_utf8_but_takes_any_payload() {
    assert_eq!(Message::decode(&[0x0a, 1, 0xff]), Err(DecodeMessageError::Utf8(1)));
    assert_eq!(Message::decode(&[0x7a, 3, 0x0a, 1, 0xff]), Err(DecodeMessageError::Utf8(15)));
    assert_eq!(Message::decode(&[0x12, 1, 0xff]).map(|message| message.payload), Ok(vec![0xff].into()));
}

#[test]
fn decode_rejects_a_count_that_does_not_fit_32_bits() {
    assert_eq!(Message::decode(&[0x28, 0x80, 0x80, 0x80, 0x80, 0x08]), Err(DecodeMessageError::Range(5)));
}

#[test]
fn decode_rejects_a_length_beyond_the_end_whatever_its_size() {
    let huge = [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0];

    assert_eq!(Message::decode(&huge), Err(DecodeMessageError::Truncated));
    assert_eq!(Message::decode(&[0x12, 2, 0]), Err(DecodeMessageError::Truncated));
}

#[test]
fn decode_rejects_too_many_headers_and_too_many_bytes() {
    let mut message = Message::default();
    for number in 0..=Message::MAX_HEADERS {
        message.headers.insert(number.to_string(), String::new());
    }

    assert_eq!(Message::decode(&message.encode()), Err(DecodeMessageError::TooManyHeaders));
    assert_eq!(Message::decode(&vec![0; Message::MAX_ENCODED_LEN + 1]), Err(DecodeMessageError::TooLong));
}

#[test]
fn decode_never_panics_on_damaged_bytes() {
    let bytes = full().encode();

    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(message) = Message::decode(&damaged) {
                assert_eq!(Message::decode(&message.encode()), Ok(message));
            }
        }
    }
}

#[test]
fn decode_skips_unknown_fields_and_lets_the_last_value_count() {
    let bytes = [
        0x28, 1, // retry = 1
        0x80, 0x01, 7, // field 16, a number
        0x89, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, // field 17, 64 bits
        0x92, 0x01, 2, 9, 9, // field 18, bytes
        0x9d, 0x01, 0, 0, 0, 0, // field 19, 32 bits
        0x28, 2, // retry = 2
    ];

    assert_eq!(Message::decode(&bytes), Ok(Message { retry: 2, ..Message::default() }));
}

#[test]
fn a_message_survives_encoding_and_an_empty_one_takes_no_bytes() {
    assert_eq!(Message::decode(&full().encode()), Ok(full()));
    assert!(Message::default().encode().is_empty());
}

#[test]
fn headers_are_written_in_order_of_their_keys_with_both_halves() {
    let message = Message { headers: full().headers, ..Message::default() };

    assert_eq!(message.encode(), [0x7a, 5, 0x0a, 0, 0x12, 1, b'v', 0x7a, 5, 0x0a, 1, b'b', 0x12, 0]);
}
