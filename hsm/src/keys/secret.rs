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
    for attribute in session.get_attributes(object, &[AttributeType::Value])? {
        if let Attribute::Value(mut bytes) = attribute {
            let secret = <&[u8; 32]>::try_from(bytes.as_slice()).map(boxed);
            bytes.zeroize();
            return Ok(secret.map_err(|_| Error::FaultyAnswer)?);
        }
    }
    Err(Error::FaultyAnswer.into())
}
