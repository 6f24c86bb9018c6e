use std::vec::Vec;

use super::*;
use crate::keys::SigningKey;
use crate::keyset::signed::UnverifiedKeyset;
use crate::open::Unverified;
use crate::secret::Secret;

const KIND: StatementType = StatementType::AuditCheckpoint;

fn key(byte: u8) -> SigningKey {
    SigningKey::from_scalar(&Secret::copy_from(&[byte; 32])).unwrap()
}

fn signed(payload: &[u8]) -> Vec<u8> {
    let mut buffer = [0; MAX_STATEMENT + 192];
    sign_statement(&mut key(1), KIND, payload, &mut buffer).unwrap().to_vec()
}

fn verify(bytes: &[u8], key: &SigningKey) -> Result<Vec<u8>, Rejected> {
    UnverifiedStatement::parse(bytes, KIND)?.verify(&key.verifying_key()).map(<[u8]>::to_vec)
}

#[test]
fn statement_with_one_changed_bit_is_rejected() {
    let statement = signed(b"line 17");
    for at in 0..statement.len() * 8 {
        let mut changed = statement.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert_eq!(verify(&changed, &key(1)), Err(Rejected), "bit {at}");
    }
}

#[test]
fn statement_that_is_cut_or_longer_is_rejected() {
    let statement = signed(b"line 17");
    for len in 0..statement.len() {
        assert_eq!(verify(&statement[..len], &key(1)), Err(Rejected), "{len} bytes");
    }
    assert_eq!(verify(&[&statement[..], &[0]].concat(), &key(1)), Err(Rejected));
}

#[test]
fn statement_of_another_key_is_rejected() {
    assert_eq!(verify(&signed(b"line 17"), &key(2)), Err(Rejected));
}

#[test]
fn statement_is_not_a_task_and_not_a_keyset() {
    let statement = signed(b"line 17");
    assert!(Unverified::parse(&statement).is_err());
    assert!(UnverifiedKeyset::parse(&statement).is_err());
}

#[test]
fn payload_that_is_too_long_or_without_room_is_not_signed() {
    let mut buffer = [0; MAX_STATEMENT + 192];
    let too_long = [0; MAX_STATEMENT + 1];
    assert_eq!(sign_statement(&mut key(1), KIND, &too_long, &mut buffer), Err(SealError::BodyTooLong));
    assert_eq!(
        sign_statement(&mut key(1), KIND, b"line 17", &mut buffer[..100]),
        Err(SealError::BufferTooSmall)
    );
}

#[test]
fn statement_returns_its_payload() {
    for payload in [&b""[..], b"line 17", &[0; MAX_STATEMENT]] {
        assert_eq!(verify(&signed(payload), &key(1)).as_deref(), Ok(payload));
    }
}
