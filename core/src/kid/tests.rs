//! The text form of a kid.

use std::string::ToString;

use super::*;

#[test]
fn a_kid_is_sixteen_hex_digits() {
    let kid = KeyId::parse_hex("9ffa76fec6561675").unwrap();
    assert_eq!(kid.as_bytes(), &[0x9f, 0xfa, 0x76, 0xfe, 0xc6, 0x56, 0x16, 0x75]);
    assert_eq!(kid.to_string(), "9ffa76fec6561675");
    assert_eq!(KeyId::parse_hex("9FFA76FEC6561675"), Ok(kid));
}

#[test]
fn other_texts_are_refused() {
    for text in [
        "",
        "9ffa76fec656167",
        "9ffa76fec65616755",
        "9ffa76fec656167g",
        "0x9ffa76fec65616",
        "9ffa76fec65616é",
        "9ffa 6fec6561675",
    ] {
        assert_eq!(KeyId::parse_hex(text), Err(InvalidKey), "{text}");
    }
}
