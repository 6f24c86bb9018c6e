//! ES256 in a token: `CKM_ECDSA` over a digest that the host computes.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use p256::ecdsa::Signature;
use taskseal_core::keys::VerifyingKey;
use taskseal_core::{Provider, Software};

use crate::error::{Error, Failure, if_mechanism_missing};
use crate::pool::session::Session;

/// Signs a digest. Returns `r || s` with the smaller of the two possible values of `s`.
///
/// The argument is a digest of fixed size because a token signs only the first 32 bytes of longer data without an
/// error, and some tokens have no mechanism that hashes.
pub(crate) fn sign(session: &Session, key: ObjectHandle, digest: &[u8; 32]) -> Result<[u8; 64], Failure> {
    let signature = session
        .sign(&Mechanism::Ecdsa, key, digest)
        .map_err(|error| if_mechanism_missing(error, "CKM_ECDSA"))?;
    let signature = Signature::from_slice(&signature).map_err(|_| Error::FaultyAnswer)?;
    Ok(signature.normalize_s().to_bytes().into())
}

/// Fails unless the signature verifies in software.
pub(crate) fn verify(key: &VerifyingKey, digest: &[u8; 32], signature: &[u8; 64]) -> Result<(), Error> {
    Software.verify_es256(key, digest, signature).map_err(|_| Error::FaultyAnswer)
}

/// Has the key sign [`SELF_TEST`].
pub(crate) fn self_test(session: &Session, key: ObjectHandle, public: &VerifyingKey) -> Result<(), Failure> {
    let signature = sign(session, key, &SELF_TEST)?;
    Ok(verify(public, &SELF_TEST, &signature)?)
}

/// SHA-256 of `taskseal-hsm self-test`. No signed structure starts with a letter, so this signature is of no use.
pub(crate) const SELF_TEST: [u8; 32] = [
    0x47, 0xeb, 0xaa, 0x4d, 0x2f, 0x47, 0xcf, 0x1c, 0xee, 0xa4, 0x5c, 0x38, 0xb6, 0x62, 0xba, 0x6c, 0x35,
    0x6f, 0x3d, 0x99, 0x5d, 0x36, 0xa0, 0xa0, 0xd2, 0x7b, 0xee, 0x36, 0xea, 0x42, 0x1b, 0x50,
];
