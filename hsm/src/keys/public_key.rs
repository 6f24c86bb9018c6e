//! The public half of a key pair in a token.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use taskseal_core::keys::POINT_LEN;

use super::selector::KeySelector;
use crate::error::{Error, Failure, KeyDefect};
use crate::pool::session::Session;

/// Returns the point of the public object with the id or label of the pair, or of the private object if there is no public one.
pub(crate) fn read(
    session: &Session,
    private: ObjectHandle,
    pair: &KeySelector,
) -> Result<[u8; POINT_LEN], Failure> {
    let public = pair.find_all(session, ObjectClass::PUBLIC_KEY)?;
    match public.as_slice() {
        [] => point_of(session, private),
        [one] => point_of(session, *one),
        more => Err(Error::Ambiguous { what: "public keys", count: more.len() }.into()),
    }
}

/// Fails if the token has another public key than `pinned`. A missing one is accepted, because only the right private
/// key can pass the self-test.
pub(crate) fn check_pinned(
    session: &Session,
    private: ObjectHandle,
    pair: &KeySelector,
    pinned: &[u8; POINT_LEN],
) -> Result<(), Failure> {
    match read(session, private, pair) {
        Ok(point) if point == *pinned => Ok(()),
        Ok(_) => Err(Error::KeyChanged.into()),
        Err(Failure::Final(Error::WrongKey(KeyDefect::PublicKey))) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Returns the point of an object (`CKA_EC_POINT`).
pub(crate) fn point_of(session: &Session, handle: ObjectHandle) -> Result<[u8; POINT_LEN], Failure> {
    for attribute in session.get_attributes(handle, &[AttributeType::EcPoint])? {
        if let Attribute::EcPoint(bytes) = attribute {
            return Ok(decode(&bytes).ok_or(KeyDefect::PublicKey)?);
        }
    }
    Err(KeyDefect::PublicKey.into())
}

/// Decodes a point. PKCS#11 requires a DER octet string around it, which some tokens omit.
fn decode(bytes: &[u8]) -> Option<[u8; POINT_LEN]> {
    let point = match bytes.len() {
        POINT_LEN => bytes,
        _ => bytes.strip_prefix(&[0x04, 0x41])?,
    };
    let point: [u8; POINT_LEN] = point.try_into().ok()?;
    (point.first() == Some(&0x04)).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_has_65_bytes_with_or_without_a_der_header() {
        let mut raw = [7; POINT_LEN];
        raw[0] = 4;
        let der = [&[0x04, 0x41], raw.as_slice()].concat();

        assert_eq!(decode(&raw), Some(raw));
        assert_eq!(decode(&der), Some(raw));
    }

    #[test]
    fn other_encodings_are_rejected() {
        let mut compressed = [7; POINT_LEN];
        compressed[0] = 2;
        let long = [&[0x04, 0x81, 0x41, 0x04], [7; 64].as_slice()].concat();

        for bytes in [&[][..], &[4], &compressed, &compressed[..33], &long, &[4; 64], &[4; 66], &[4; 68]] {
            assert_eq!(decode(bytes), None, "{} bytes", bytes.len());
        }
    }
}
