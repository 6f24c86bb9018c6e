//! Separation of the detached and the attached form, and binding of the body.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::keyset::RecordKey;
use crate::open::Unverified;
use crate::suite::SuiteSet;
use crate::testing::{
    NOW, claims, encryption_key, keyset, mac_key, record, seal as seal_attached, signing_key,
};
use crate::{OpenError, Policy, Refusal, TimeWindow};

const BODY: &[u8] = b"[[1, 2], {}, {\"callbacks\": null}]";

fn sealed_s() -> Vec<u8> {
    let mut sealer = Sealer::sign(signing_key(1));
    let mut buffer = vec![0; sealer.detached_len(&claims(), ContentType::JSON)];
    let len = sealer.seal_detached(&claims(), ContentType::JSON, BODY, &mut buffer).unwrap().len();
    assert_eq!(len, buffer.len());
    buffer
}

fn sealed_m() -> Vec<u8> {
    let key = mac_key(2);
    let mut sealer = Sealer::authenticate(&key);
    let mut buffer = vec![0; sealer.detached_len(&claims(), ContentType::JSON)];
    let len = sealer.seal_detached(&claims(), ContentType::JSON, BODY, &mut buffer).unwrap().len();
    assert_eq!(len, buffer.len());
    buffer
}

fn open(envelope: &[u8], body: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (key, mac) = (signing_key(1).verifying_key(), mac_key(2));
    let keys = keyset([record(RecordKey::Es256(&key)), record(RecordKey::Hmac256(&mac))]);
    let suites = SuiteSet::NONE.with(Suite::S).with(Suite::M);
    let policy = Policy { suites, ..Policy::for_tasks(claims().audience) };
    let parsed = Unverified::parse_detached(envelope, body)?;
    let verified = parsed.verify(&keys, &policy, &mut TimeWindow::exact(NOW))?;
    let opened = verified.danger_open_without_replay_guard(&mut (), &mut [])?;
    Ok(opened.body().to_vec())
}

#[test]
fn another_body_is_rejected() {
    for envelope in [sealed_s(), sealed_m()] {
        for body in [&BODY[1..], b"", b"[[1, 3], {}, {\"callbacks\": null}]"] {
            assert_eq!(open(&envelope, body), Err(Refusal::Rejected.into()));
        }
    }
}

#[test]
fn the_attached_call_refuses_the_detached_form() {
    for envelope in [sealed_s(), sealed_m()] {
        assert_eq!(Unverified::parse(&envelope).unwrap_err(), Refusal::Malformed.into());
    }
}

#[test]
fn the_detached_call_refuses_the_attached_form() {
    let (mac, shared) = (mac_key(2), encryption_key(3));
    let attached = [
        seal_attached(&mut Sealer::sign(signing_key(1)), &claims(), BODY),
        seal_attached(&mut Sealer::authenticate(&mac), &claims(), BODY),
        seal_attached(&mut Sealer::encrypt(&shared), &claims(), BODY),
        seal_attached(&mut Sealer::sign_encrypt(signing_key(1), &shared), &claims(), BODY),
    ];
    for envelope in attached {
        assert_eq!(Unverified::parse_detached(&envelope, BODY).unwrap_err(), Refusal::Malformed.into());
    }
}

#[test]
fn an_encrypted_object_cannot_be_detached() {
    let shared = encryption_key(3);
    let attached = seal_attached(&mut Sealer::sign_encrypt(signing_key(1), &shared), &claims(), BODY);
    let parsed = Unverified::parse(&attached).unwrap();
    let payload = parsed.envelope.payload;
    let at = attached.windows(payload.len()).position(|window| window == payload).unwrap();
    // Null replaces the payload and its two-byte head.
    let detached = [&attached[..at - 2], &[0xf6], &attached[at + payload.len()..]].concat();
    assert_eq!(Unverified::parse_detached(&detached, payload).unwrap_err(), Refusal::Malformed.into());
}

#[test]
fn flipped_bits_are_refused() {
    for envelope in [sealed_s(), sealed_m()] {
        for bit in 0..envelope.len() * 8 {
            let mut flipped = envelope.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&flipped, BODY).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn contradictory_claims_are_not_sealed() {
    let mut sealer = Sealer::sign(signing_key(1));
    let claims = Claims { expires_at: None, ..claims() };
    let sealed = sealer.seal_detached(&claims, ContentType::JSON, BODY, &mut [0; 512]).map(|_| ());
    assert_eq!(sealed, Err(SealError::InconsistentClaims));
}

#[test]
fn the_body_is_returned_unchanged() {
    for envelope in [sealed_s(), sealed_m()] {
        assert_eq!(open(&envelope, BODY).unwrap(), BODY);
    }
}
