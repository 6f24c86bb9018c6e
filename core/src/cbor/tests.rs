//! Heads of every width, and heads that are not in the shortest form.

use std::vec::Vec;

use super::decoder::{DecodeError, Decoder};
use super::encoder::{Comparer, Counter, Sink, SinkError, Writer};
use super::{UINT, head_len};
use crate::testing::hex;

/// Values at both sides of every width limit, with their encoding as major type 0.
const WIDTHS: [(u64, &str); 10] = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (255, "18ff"),
    (256, "190100"),
    (65_535, "19ffff"),
    (65_536, "1a00010000"),
    (0xffff_ffff, "1affffffff"),
    (0x1_0000_0000, "1b0000000100000000"),
    (u64::MAX, "1bffffffffffffffff"),
];

fn encoded(encode: impl FnOnce(&mut Writer<'_>) -> Result<(), SinkError>) -> Vec<u8> {
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer);
    encode(&mut writer).unwrap();
    writer.as_bytes().to_vec()
}

fn read<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder)?;
    decoder.end()?;
    Ok(value)
}

#[test]
fn heads_are_as_short_as_they_can_be() {
    for (value, expected) in WIDTHS {
        let bytes = encoded(|sink| sink.uint(value));

        assert_eq!(bytes, hex(expected), "{value}");
        assert_eq!(head_len(value), bytes.len());
        assert_eq!(read(&bytes, Decoder::uint), Ok(value));
    }
}

#[test]
fn longer_heads_than_needed_are_refused() {
    for (value, _) in WIDTHS {
        for (extra, width) in [(24, 1), (25, 2), (26, 4), (27, 8)] {
            let digits = &value.to_be_bytes()[8 - width..];
            let fits = u128::from(value) < 1 << (8 * width);
            let bytes: Vec<u8> = [extra].iter().chain(digits).copied().collect();
            let shortest = head_len(value) == 1 + width;

            if fits {
                assert_eq!(read(&bytes, Decoder::uint).is_ok(), shortest, "{value} in {width} bytes");
            }
        }
    }
}

#[test]
fn reserved_and_indefinite_heads_are_refused() {
    for major in 0..8 {
        for info in 28..32 {
            let bytes = [major << 5 | info, 0, 0, 0, 0, 0, 0, 0, 0, 0xff];
            assert!(Decoder::new(&bytes).uint().is_err());
            assert!(Decoder::new(&bytes).bytes().is_err());
            assert!(Decoder::new(&bytes).text().is_err());
            assert!(Decoder::new(&bytes).array(0).is_err());
            assert!(Decoder::new(&bytes).map(9).is_err());
            assert!(Decoder::new(&bytes).tag().is_err());
            assert!(Decoder::new(&bytes).int().is_err());
        }
    }
}

#[test]
fn a_head_cut_short_is_refused() {
    for (_, text) in WIDTHS {
        let bytes = hex(text);
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len], Decoder::uint).is_err());
        }
    }
}

#[test]
fn simple_values_and_floats_are_refused() {
    for bytes in ["f4", "f5", "f6", "f7", "f8ff", "f90000", "fa00000000", "fb0000000000000000", "ff"] {
        let bytes = hex(bytes);
        assert!(Decoder::new(&bytes).uint().is_err());
        assert!(Decoder::new(&bytes).int().is_err());
        assert!(Decoder::new(&bytes).bytes().is_err());
        assert!(Decoder::new(&bytes).tag().is_err());
    }
}

#[test]
fn each_reader_accepts_its_own_major_type_only() {
    for major in 0..7_u8 {
        let bytes = [major << 5];
        let accepted = [
            Decoder::new(&bytes).uint().is_ok(),
            Decoder::new(&bytes).int().is_ok(),
            Decoder::new(&bytes).bytes().is_ok(),
            Decoder::new(&bytes).text().is_ok(),
            Decoder::new(&bytes).array(0).is_ok(),
            Decoder::new(&bytes).map(0).is_ok(),
            Decoder::new(&bytes).tag().is_ok(),
        ];
        let expected = [major == 0, major < 2, major == 2, major == 3, major == 4, major == 5, major == 6];
        assert_eq!(accepted, expected, "major type {major}");
        assert_eq!(Decoder::new(&bytes).peek_major(), Ok(major));
    }
    assert_eq!(Decoder::new(&[]).peek_major(), Err(DecodeError));
}

#[test]
fn integers_of_either_sign_round_trip_at_their_limits() {
    let cases = [
        (0, "00"),
        (-1, "20"),
        (-24, "37"),
        (-25, "3818"),
        (-95_348, "3a00017473"),
        (i64::MAX, "1b7fffffffffffffff"),
        (i64::MIN, "3b7fffffffffffffff"),
    ];
    for (value, expected) in cases {
        assert_eq!(encoded(|sink| sink.int(value)), hex(expected), "{value}");
        assert_eq!(read(&hex(expected), Decoder::int), Ok(value));
    }
    for beyond in ["1b8000000000000000", "3b8000000000000000", "3bffffffffffffffff"] {
        assert!(read(&hex(beyond), Decoder::int).is_err());
    }
}

#[test]
fn declared_lengths_beyond_the_input_are_refused() {
    for bytes in [
        "41",
        "42ff",
        "58",
        "5818",
        "59ffff00",
        "5affffffff00",
        "5b7fffffffffffffff00",
        "5bffffffffffffffff00",
    ] {
        assert!(Decoder::new(&hex(bytes)).bytes().is_err(), "{bytes}");
        let text: Vec<u8> =
            hex(bytes).iter().enumerate().map(|(i, b)| if i == 0 { b | 0x20 } else { *b }).collect();
        assert!(Decoder::new(&text).text().is_err(), "{bytes}");
    }
}

#[test]
fn text_is_utf_8() {
    assert_eq!(read(&hex("62c3a9"), |decoder| decoder.text().map(str::len)), Ok(2));
    for bytes in ["61ff", "62c328", "63eda080", "62c080"] {
        assert!(Decoder::new(&hex(bytes)).text().is_err(), "{bytes}");
    }
}

#[test]
fn byte_strings_of_another_length_are_refused() {
    assert_eq!(read(&hex("420102"), |decoder| decoder.bytes_exact().copied()), Ok([1, 2]));
    assert!(Decoder::new(&hex("420102")).bytes_exact::<1>().is_err());
    assert!(Decoder::new(&hex("420102")).bytes_exact::<3>().is_err());
    assert!(Decoder::new(&[0x82]).array(3).is_err());
    assert!(Decoder::new(&[0xa3]).map(2).is_err());
    assert_eq!(Decoder::new(&[0xa2]).map(2), Ok(2));
    assert!(Decoder::new(&[0]).end().is_err());
}

#[test]
fn a_full_writer_returns_an_error() {
    let mut buffer = [0xee; 4];
    let mut writer = Writer::new(&mut buffer);

    assert_eq!(writer.bytes(&[1, 2, 3]), Ok(()));
    assert_eq!(writer.put(&[9]), Err(SinkError));
    assert_eq!(writer.put(&[]), Ok(()));

    assert_eq!(writer.as_bytes(), [0x43, 1, 2, 3]);
}

#[test]
fn a_counter_that_would_overflow_returns_an_error() {
    let mut counter = Counter(usize::MAX - 1);
    assert_eq!(counter.put(&[0]), Ok(()));
    assert_eq!(counter.put(&[0]), Err(SinkError));
}

#[test]
fn a_comparer_finds_the_first_difference() {
    let mut comparer = Comparer(&[0x01, 0x18, 0x18]);
    assert_eq!(comparer.uint(1), Ok(()));
    assert_eq!(comparer.uint(24), Ok(()));
    assert!(comparer.0.is_empty());
    assert_eq!(comparer.head(UINT, 0), Err(SinkError));
    assert_eq!(Comparer(&[0x02]).uint(1), Err(SinkError));
}
