//! Allowed combinations of claims, and round trips of every field.

use std::vec::Vec;

use super::*;
use crate::cbor::encoder::Writer;
use crate::name::Reference;
use crate::testing::{NOW, claims};

const NONE: ClockSource = ClockSource::None;

fn clockless() -> Claims<'static> {
    let mut claims = claims().clock(NONE).sequence(1, 2);
    (claims.issued_at, claims.expires_at) = (None, None);
    claims
}

fn beacon() -> Claims<'static> {
    claims().clock(ClockSource::Beacon).beacon([1; 8])
}

fn encoded(claims: &Claims<'_>) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let mut writer = Writer::new(&mut buffer);
    claims.encode(&mut writer).expect("enough room");
    writer.as_bytes().to_vec()
}

fn decoded(bytes: &[u8]) -> Result<Claims<'_>, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let mut claims = Claims::UNSET;
    claims.decode(&mut decoder)?;
    decoder.end()?;
    Ok(claims)
}

fn survives(claims: Claims<'_>) {
    assert_eq!(decoded(&encoded(&claims)), Ok(claims));
}

fn assert_all(kind: Kind, expected: Result<(), InconsistentClaims>, all: &[Claims<'_>]) {
    for claims in all {
        assert_eq!(claims.check(kind), expected, "{claims:?}");
    }
}

#[test]
fn inconsistent_combinations_are_refused() {
    let mut no_expiry = claims();
    no_expiry.expires_at = None;
    let mut no_issue = claims();
    no_issue.issued_at = None;
    let mut no_sequence = clockless();
    no_sequence.sequence = None;
    let mut no_beacon = beacon();
    no_beacon.beacon = None;
    let mut beacon_without_expiry = beacon();
    beacon_without_expiry.expires_at = None;
    assert_all(
        Kind::Task,
        Err(InconsistentClaims),
        &[
            no_expiry,
            no_issue,
            no_sequence,
            no_beacon,
            beacon_without_expiry,
            clockless().expires_at(NOW),
            clockless().issued_at(NOW),
            clockless().not_before(NOW),
            clockless().beacon([1; 8]),
            claims().ttl(1),
            beacon().ttl(1),
            claims().beacon([1; 8]),
            claims().expires_at(MAX_TIME),
            claims().issued_at(MAX_TIME),
            claims().not_before(MAX_TIME),
            claims().expires_at(u64::MAX),
            claims().request([0; 32]),
        ],
    );
}

#[test]
fn consistent_combinations_are_allowed() {
    let all = [
        claims(),
        claims().not_before(NOW),
        claims().expires_at(MAX_TIME - 1),
        claims().sequence(0, 0),
        clockless(),
        clockless().ttl(0),
        beacon(),
        beacon().sequence(1, 1),
    ];
    assert_all(Kind::Task, Ok(()), &all);
    assert_all(Kind::Result, Err(InconsistentClaims), &all);
    assert_all(Kind::Result, Ok(()), &all.map(|claims| claims.request([0; 32])));
}

#[test]
fn every_field_round_trips_by_itself() {
    survives(claims());
    survives(claims().not_before(0));
    survives(claims().expires_at(0));
    survives(claims().issued_at(u64::MAX));
    survives(claims().clock(ClockSource::Beacon));
    survives(claims().clock(NONE));
    survives(claims().sequence(u32::MAX, u64::MAX));
    survives(claims().schema(u32::MAX));
    survives(claims().trace([9; 25]));
    survives(claims().reference(Reference::new("a").unwrap()));
    survives(claims().beacon([9; 8]));
    survives(claims().ttl(0));
    survives(claims().attempts(u16::MAX));
    survives(claims().timeout(0));
    survives(claims().retention(u32::MAX));
    survives(claims().request([9; 32]));
}

#[test]
fn all_fields_round_trip_together() {
    survives(
        beacon()
            .sequence(1, 2)
            .schema(3)
            .trace([4; 25])
            .attempts(8)
            .ttl(7)
            .timeout(9)
            .retention(10)
            .request([11; 32]),
    );
}

#[test]
fn the_default_clock_is_not_written() {
    assert_eq!(encoded(&claims()), encoded(&claims().clock(ClockSource::Synchronised)));
    assert!(encoded(&claims().clock(NONE)).len() > encoded(&claims()).len());
}

#[test]
fn claims_of_more_members_than_there_are_labels_are_refused() {
    let mut bytes = encoded(&claims().schema(1));
    assert_eq!(bytes[0], 0xa7);
    bytes[0] = 0xa9;
    assert!(decoded(&bytes).is_err());
}

#[test]
fn extension_values_of_another_type_are_refused() {
    let plain = encoded(&claims());
    for member in 1..=12_u8 {
        // An integer, a byte string, a text, an array, a map, null: at most one has the right type.
        let values: [&[u8]; 6] = [&[0x01], &[0x41, 0], &[0x61, b'x'], &[0x80], &[0xa0], &[0xf6]];
        let accepted = values.iter().filter(|value| {
            let mut bytes = plain.clone();
            bytes[0] += 1;
            bytes.extend_from_slice(&[0x3a, 0x00, 0x01, 0x74, 0x73, 0xa1, member]);
            bytes.extend_from_slice(value);
            decoded(&bytes).is_ok()
        });
        let taking_one_of_these = matches!(member, 1 | 3 | 5 | 7..=10);
        assert_eq!(accepted.count(), usize::from(taking_one_of_these), "extension {member}");
    }
}

#[test]
fn the_error_for_contradicting_claims_has_a_message() {
    assert_eq!(std::format!("{InconsistentClaims}"), "the claims contradict each other");
}
