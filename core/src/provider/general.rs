//! General implementation of the arithmetic, by the crates of RustCrypto.

pub(super) mod gcm;

use p256::ecdsa::Signature;
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};

use crate::error::Rejected;
use crate::keys::VerifyingKey;

/// Signs a digest with the nonce of RFC 6979; returns `r || s`.
pub(super) fn sign(key: &p256::ecdsa::SigningKey, digest: &[u8; 32]) -> [u8; 64] {
    let signature: Signature = key.sign_prehash(digest).expect("a 32-byte digest is long enough to sign");
    signature.to_bytes().into()
}

/// Verifies the signature `r || s` over a digest.
pub(super) fn verify(key: &VerifyingKey, digest: &[u8; 32], signature: &[u8; 64]) -> Result<(), Rejected> {
    let signature = Signature::from_slice(signature).map_err(|_| Rejected)?;
    key.inner().verify_prehash(digest, &signature).map_err(|_| Rejected)
}
