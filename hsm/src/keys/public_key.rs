//! The public half of a key in a token.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use taskseal_core::keys::POINT_LEN;

use crate::error::{Error, Failure, KeyDefect};
use crate::keys::selector::KeySelector;
use crate::pool::session::Session;

/// The point of the public object with this id, or else the one that the private object shows.
pub(crate) fn read(session: &Session, private: ObjectHandle, id: &[u8]) -> Result<[u8; POINT_LEN], Failure> {
    let public = KeySelector::id(id.to_vec()).find_all(session, ObjectClass::PUBLIC_KEY)?;
    match public.as_slice() {
        [] => point_of(session, private),
        [one] => point_of(session, *one),
        more => Err(Error::Ambiguous { what: "public keys", count: more.len() }.into()),
    }
}

/// The point that an object shows.
pub(crate) fn point_of(session: &Session, handle: ObjectHandle) -> Result<[u8; POINT_LEN], Failure> {
    for attribute in session.get_attributes(handle, &[AttributeType::EcPoint])? {
        if let Attribute::EcPoint(bytes) = attribute {
            return Ok(decode(&bytes).ok_or(KeyDefect::PublicKey)?);
        }
    }
    Err(KeyDefect::PublicKey.into())
}

/// PKCS#11 asks for a DER octet string around the point; some tokens leave it out.
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
    fn a_point_is_65_bytes_with_or_without_the_der_around_it() {
        let mut raw = [7; POINT_LEN];
        raw[0] = 4;
        let der = [&[0x04, 0x41], raw.as_slice()].concat();

        assert_eq!(decode(&raw), Some(raw));
        assert_eq!(decode(&der), Some(raw));
    }

    #[test]
    fn everything_else_is_no_point() {
        let mut compressed = [7; POINT_LEN];
        compressed[0] = 2;
        let long = [&[0x04, 0x81, 0x41, 0x04], [7; 64].as_slice()].concat();

        for bytes in [&[][..], &[4], &compressed, &compressed[..33], &long, &[4; 64], &[4; 66], &[4; 68]] {
            assert_eq!(decode(bytes), None, "{} bytes", bytes.len());
        }
    }
}
