//! Secrets on the heap, and reading them from session objects. Secrets pass between threads by moving the pointer: a
//! move of the bytes would leave a copy.

use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use taskseal_core::Secret;
use zeroize::Zeroize;

use crate::error::{Error, Failure};
use crate::pool::session::Session;

/// A secret on the heap.
pub(crate) type BoxedSecret = Box<Secret<32>>;

/// Copies `bytes` to the heap. The caller wipes the original.
pub(crate) fn boxed(bytes: &[u8; 32]) -> BoxedSecret {
    let mut secret = Box::new(Secret::zeroed());
    secret.as_mut_bytes().copy_from_slice(bytes);
    secret
}

/// Copies the secret out of its box, which is wiped when it is dropped.
pub(crate) fn unboxed(secret: &BoxedSecret) -> Secret<32> {
    // A move out of the box would leave the bytes on the heap.
    Secret::copy_from(secret.as_bytes())
}

/// Reads the 32-byte value of a session object.
pub(crate) fn read_value(session: &Session, object: ObjectHandle) -> Result<BoxedSecret, Failure> {
    read_with(session, object, |bytes| <&[u8; 32]>::try_from(bytes).map(boxed).ok())
}

/// Reads the value of a session object that is a coordinate. Tokens that omit leading zeros return fewer than 32 bytes.
pub(crate) fn read_coordinate(session: &Session, object: ObjectHandle) -> Result<BoxedSecret, Failure> {
    read_with(session, object, padded)
}

fn read_with(
    session: &Session,
    object: ObjectHandle,
    decode: impl Fn(&[u8]) -> Option<BoxedSecret>,
) -> Result<BoxedSecret, Failure> {
    for attribute in session.get_attributes(object, &[AttributeType::Value])? {
        if let Attribute::Value(mut bytes) = attribute {
            let (secret, len) = (decode(&bytes), bytes.len());
            bytes.zeroize();
            overwrite_freed(len);
            return Ok(secret.ok_or(Error::FaultyAnswer)?);
        }
    }
    Err(Error::FaultyAnswer.into())
}

/// Overwrites what the heap has freed last in blocks of `len` bytes.
///
/// The PKCS#11 binding reads an attribute into a buffer of its length, copies it, and frees the buffer without wiping it. The
/// heap hands recently freed blocks of a size out first, so that a few new ones cover that buffer.
fn overwrite_freed(len: usize) {
    const BLOCKS: usize = 16;
    // Not zeros: memory that is requested as zeros is not written by this thread.
    let mut blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| vec![0xa5; len]).collect();
    blocks.iter_mut().for_each(Zeroize::zeroize);
}

/// Returns `bytes` with zeros in front, up to 32 bytes; `None` if there are none or more.
fn padded(bytes: &[u8]) -> Option<BoxedSecret> {
    let mut secret = Box::new(Secret::zeroed());
    let start = secret.as_bytes().len().checked_sub(bytes.len()).filter(|_| !bytes.is_empty())?;
    secret.as_mut_bytes().get_mut(start..)?.copy_from_slice(bytes);
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinate_that_is_missing_or_too_long_is_refused() {
        assert!(padded(&[]).is_none());
        assert!(padded(&[1; 33]).is_none());
    }

    #[test]
    fn a_coordinate_without_its_leading_zeros_is_padded_on_the_left() {
        assert_eq!(padded(&[7; 32]).unwrap().as_bytes(), &[7; 32]);
        let mut expected = [0; 32];
        expected[2..].fill(9);
        assert_eq!(padded(&[9; 30]).unwrap().as_bytes(), &expected);
    }
}
