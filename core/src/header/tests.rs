//! Outer headers that are refused: unknown, duplicate and reordered labels. The longest header.

use std::vec::Vec;

use super::*;
use crate::cbor::encoder::Writer;
use crate::claims::ClockSource;
use crate::envelope::MAX_HEADER;
use crate::name::{Audience, Issuer, Reference, TaskType};
use crate::testing::claims;

fn decode(bytes: &[u8]) -> Result<Header<'_>, DecodeError> {
    let mut header = Header::UNSET;
    header.decode(bytes).map(|()| header)
}

/// The pairs of a header, each encoded.
fn pairs(header: &Header<'_>) -> Vec<Vec<u8>> {
    let mut encoded = Vec::new();
    let mut pair = |encode: &dyn Fn(&mut Writer<'_>) -> Result<(), SinkError>| {
        let mut buffer = [0; 1024];
        let mut writer = Writer::new(&mut buffer);
        encode(&mut writer).expect("enough room");
        encoded.push(writer.as_bytes().to_vec());
    };
    pair(&|sink| sink.uint(1).and_then(|()| sink.int(header.algorithm.number())));
    pair(&|sink| sink.uint(3).and_then(|()| sink.text("application/json")));
    pair(&|sink| sink.uint(4).and_then(|()| sink.bytes(header.kid.as_bytes())));
    pair(&|sink| sink.uint(15).and_then(|()| header.claims.encode(sink)));
    pair(&|sink| sink.uint(16).and_then(|()| sink.text(header.kind.typ())));
    encoded
}

fn join(pairs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = std::vec![0xa0 | u8::try_from(pairs.len()).expect("a short map")];
    pairs.iter().for_each(|pair| bytes.extend_from_slice(pair));
    bytes
}

fn header() -> Header<'static> {
    Header {
        algorithm: Algorithm::Es256,
        content: Content::Body(ContentType::JSON),
        kid: KeyId::from_bytes([1; 8]),
        claims: claims(),
        kind: Kind::Task,
        salt_commit: None,
    }
}

#[test]
fn the_header_in_order_is_decoded() {
    assert_eq!(decode(&join(&pairs(&header()))), Ok(header()));
}

#[test]
fn every_other_order_is_refused() {
    let pairs = pairs(&header());
    for left in 0..pairs.len() {
        for right in left + 1..pairs.len() {
            let mut swapped = pairs.clone();
            swapped.swap(left, right);
            assert_eq!(decode(&join(&swapped)), Err(DecodeError), "{left} and {right}");
        }
    }
}

#[test]
fn missing_and_duplicate_labels_are_refused() {
    let pairs = pairs(&header());
    for index in 0..pairs.len() {
        let mut missing = pairs.clone();
        let pair = missing.remove(index);
        assert_eq!(decode(&join(&missing)), Err(DecodeError), "{index} missing");
        for place in 0..=pairs.len() {
            let mut twice = pairs.clone();
            twice.insert(place, pair.clone());
            assert_eq!(decode(&join(&twice)), Err(DecodeError), "{index} again at {place}");
        }
    }
}

#[test]
fn every_unknown_label_is_refused_at_every_position() {
    let pairs = pairs(&header());
    for label in [0_i64, 2, 5, 6, 7, 10, 11, 12, 33, 258, 394, -1, -2, -65_537, -95_347, -95_349] {
        let mut buffer = [0; 16];
        let mut writer = Writer::new(&mut buffer);
        writer.int(label).and_then(|()| writer.uint(1)).unwrap();
        for place in 0..=pairs.len() {
            let mut more = pairs.clone();
            more.insert(place, writer.as_bytes().to_vec());
            assert_eq!(decode(&join(&more)), Err(DecodeError), "{label} at {place}");
        }
    }
}

#[test]
fn bytes_after_the_map_are_refused() {
    for byte in [0x00, 0x40, 0xa0, 0xf6, 0xff] {
        let mut bytes = join(&pairs(&header()));
        bytes.push(byte);
        assert_eq!(decode(&bytes), Err(DecodeError));
    }
}

#[test]
fn the_longest_header_of_every_kind_fits() {
    let long = |len| "x".repeat(len);
    let (issuer, name, reference, content) = (long(64), long(128), long(64), std::format!("a/{}", long(62)));
    let mut claims = Claims::new(
        Issuer::new(&issuer).unwrap(),
        TaskType::new(&name).unwrap(),
        Audience::new(&name).unwrap(),
        crate::TaskId::from_bytes([0xff; 16]),
    )
    .issued_at(crate::claims::MAX_TIME - 1)
    .not_before(crate::claims::MAX_TIME - 1)
    .expires_at(crate::claims::MAX_TIME - 1)
    .clock(ClockSource::Beacon)
    .beacon([1; 8])
    .sequence(u32::MAX, u64::MAX)
    .schema(u32::MAX)
    .trace([1; 25])
    .attempts(u16::MAX)
    .timeout(u32::MAX)
    .retention(u32::MAX)
    .request([1; 32]);
    claims.reference = Some(Reference::new(&reference).unwrap());
    let longest = Header {
        algorithm: Algorithm::A256Gcm,
        content: Content::Body(ContentType::new(&content).unwrap()),
        kind: Kind::Result,
        claims,
        salt_commit: Some(&[0; SALT_COMMIT_LEN]),
        ..header()
    };

    assert_eq!(claims.check(Kind::Result), Ok(()));
    assert_eq!(longest.encoded_len(), Ok(742));
    assert!(longest.encoded_len().unwrap() <= MAX_HEADER);
}
