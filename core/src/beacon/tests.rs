//! Beacons that are refused, clocks that never run ahead, and the claims of a stamp.

use std::vec::Vec;

use super::*;
use crate::keys::VerifyingKey;
use crate::keyset::{KeyRecord, RecordKey};
use crate::seal::Sealer;
use crate::testing::{NOW, claims, keyset, mac_key, record, seal, signing_key};
use crate::{ContentType, Issuer, TaskId};

const AUDIENCE: &str = "plant/time";

fn audience() -> Audience<'static> {
    Audience::new(AUDIENCE).expect("a good name")
}

fn beacon(issued_at: u64) -> Claims<'static> {
    let issuer = Issuer::new("gateway-1").expect("a good name");
    Claims::new(issuer, BEACON, audience(), TaskId::from_bytes([1; 16]))
        .issued_at(issued_at)
        .expires_at(issued_at + 60)
}

fn signed(claims: &Claims<'_>) -> Vec<u8> {
    seal(&mut Sealer::sign(signing_key(1)), claims, b"")
}

fn hear_with(envelope: &[u8], record: KeyRecord<'_>, uptime: u64) -> Result<BeaconClock, OpenError> {
    BeaconClock::hear(Unverified::parse(envelope)?, &keyset([record]), audience(), uptime, 100)
}

fn key() -> VerifyingKey {
    signing_key(1).verifying_key()
}

fn hear(envelope: &[u8], uptime: u64) -> Result<BeaconClock, OpenError> {
    hear_with(envelope, record(RecordKey::Es256(&key())), uptime)
}

#[test]
fn a_beacon_whose_time_was_changed_is_rejected() {
    let mut envelope = signed(&beacon(NOW));
    let at = envelope.windows(6).position(|window| window[0] == 6 && window[1] == 0x1a).expect("iat");
    envelope[at + 5] ^= 1;
    assert_eq!(hear(&envelope, 0), Err(Refusal::Rejected.into()));
}

#[test]
fn another_task_of_the_same_key_is_not_a_beacon() {
    let envelope = signed(&Claims { audience: audience(), ..claims() });
    assert_eq!(hear(&envelope, 0), Err(Refusal::TypeNotHandled.into()));
}

#[test]
fn a_beacon_for_another_audience_is_refused() {
    let envelope = signed(&Claims { audience: Audience::new("other/time").unwrap(), ..beacon(NOW) });
    assert_eq!(hear(&envelope, 0), Err(Refusal::WrongAudience.into()));
}

#[test]
fn a_beacon_of_a_revoked_key_or_one_without_the_right_is_refused() {
    let (envelope, key) = (signed(&beacon(NOW)), key());
    let record = record(RecordKey::Es256(&key));
    let other = record.types(NameSet::new("reading:*"));
    assert_eq!(hear_with(&envelope, other, 0), Err(Refusal::TypeNotAllowed.into()));
    let revoked = KeyRecord { enabled: false, ..record };
    assert_eq!(hear_with(&envelope, revoked, 0), Err(Refusal::KeyNotValid.into()));
    let ended = KeyRecord { valid_until: NOW - 61, ..record };
    assert_eq!(hear_with(&envelope, ended, 0), Err(Refusal::KeyNotValid.into()));
}

#[test]
fn a_beacon_of_a_shared_key_is_refused() {
    let mac = mac_key(1);
    let envelope = seal(&mut Sealer::authenticate(&mac), &beacon(NOW), b"");
    let heard = hear_with(&envelope, record(RecordKey::Hmac256(&mac)), 0);
    assert_eq!(heard, Err(Refusal::SuiteNotAllowed.into()));
}

#[test]
fn a_beacon_based_on_a_beacon_is_refused() {
    let second_hand = beacon(NOW).clock(ClockSource::Beacon).beacon([1; 8]);
    assert_eq!(hear(&signed(&second_hand), 0), Err(Refusal::ClockNotAllowed.into()));
    let timeless = Claims { expires_at: None, issued_at: None, ..beacon(NOW) };
    let timeless = timeless.clock(ClockSource::None).sequence(1, 1);
    assert_eq!(hear(&signed(&timeless), 0), Err(Refusal::ClockNotAllowed.into()));
}

#[test]
fn time_advances_with_the_ticks_and_never_runs_ahead() {
    let clock = hear(&signed(&beacon(NOW)), 5_000).unwrap();
    assert_eq!(clock.at(5_000), NOW);
    // Ten seconds of an oscillator that is up to 100 ppm fast are at least 9.999 seconds.
    assert_eq!(clock.at(15_000), NOW + 9);
    // One day: the error is up to 8.64 seconds.
    assert_eq!(clock.at(5_000 + 86_400_000), NOW + 86_400 - 9);
    assert_eq!(clock.at(0), NOW, "ticks that step back count as none");
    assert_eq!(clock.window(15_000), TimeWindow { earliest: NOW + 9, latest: u64::MAX });
    assert!(clock.at(u64::MAX) >= NOW);
}

#[test]
fn an_older_beacon_does_not_set_the_time_back() {
    let key = key();
    let keys = keyset([record(RecordKey::Es256(&key))]);
    let mut clock = hear(&signed(&beacon(NOW)), 0).unwrap();
    let mut again = |issued_at, uptime| {
        let envelope = signed(&beacon(issued_at));
        clock.hear_again(Unverified::parse(&envelope).unwrap(), &keys, audience(), uptime)
    };
    assert_eq!(again(NOW, 0), Ok(false), "the same one at once");
    assert_eq!(again(NOW, 60_000), Ok(false), "the same one again");
    assert_eq!(again(NOW + 30, 60_000), Ok(false), "one that was held back");
    assert_eq!(again(NOW + 60, 60_000), Ok(true));
    assert_eq!(clock.at(70_000), NOW + 69);
}

#[test]
fn a_beacon_is_valid_for_years() {
    let lasting = beacon(NOW).expires_at(NOW + 10 * 366 * 86_400);
    assert_eq!(hear(&signed(&lasting), 0).map(|clock| clock.at(0)), Ok(NOW));
}

#[test]
fn a_stamp_names_the_beacon_it_is_based_on() {
    let envelope = signed(&beacon(NOW));
    let clock = hear(&envelope, 0).unwrap();
    let stamped = clock.stamp(Claims { issued_at: None, expires_at: None, ..claims() }, 10_000, 300);
    assert_eq!(stamped.issued_at, Some(NOW + 9));
    assert_eq!(stamped.expires_at, Some(NOW + 309));
    assert_eq!(stamped.clock, ClockSource::Beacon);
    let digest: [u8; 32] =
        sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), &envelope))
            .into();
    assert_eq!(stamped.beacon.unwrap(), digest[..8]);
    assert_eq!(stamped.check(crate::Kind::Task), Ok(()));
    let mut buffer = [0; 512];
    let mut sealer = Sealer::sign(signing_key(2));
    let sealed =
        sealer.seal(&stamped, ContentType::OCTETS, b"", &mut crate::testing::Counted::default(), &mut buffer);
    assert!(sealed.is_ok());
}
