//! Traits for cryptography: signing, authentication, key agreement, and bulk operations.

mod keys_in_memory;
mod software;
// Tests compare the two implementations of the arithmetic, so they build both.
#[cfg(any(test, not(any(target_os = "none", taskseal_small))))]
mod general;
#[cfg(any(test, target_os = "none", taskseal_small))]
mod small;

pub use self::software::Software;
pub use crate::error::Rejected;
pub use crate::structure::MacStructure;

#[cfg(not(any(target_os = "none", taskseal_small)))]
use self::general as arithmetic;
#[cfg(any(target_os = "none", taskseal_small))]
use self::small as arithmetic;

use crate::keys::{AgreementPublicKey, VerifyingKey};
use crate::kid::KeyId;
use crate::secret::Secret;

/// An ES256 signing key: a software key, or a key in a secure element or a PKCS#11 token.
pub trait Signer {
    /// The error of a failed operation, for example an unavailable token; `Infallible` for a software key.
    type Error;

    /// Returns the kid, which is written into the protected header.
    fn kid(&self) -> KeyId;

    /// Signs a SHA-256 digest and returns `r || s`, both 32 bytes big-endian. The caller normalises a high `s`.
    ///
    /// # Errors
    /// The signer's error. Nothing is sealed in this case.
    ///
    /// # Security
    /// The key must sign digests from this method only: a signature over chosen bytes can be a task.
    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error>;
}

impl<S: Signer + ?Sized> Signer for &mut S {
    type Error = S::Error;

    fn kid(&self) -> KeyId {
        (**self).kid()
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error> {
        (**self).sign_digest(digest)
    }
}

/// An HMAC-SHA256 key for suite M: a key in memory or in a PKCS#11 token.
pub trait Authenticator {
    /// The error of a failed operation; `Infallible` for a key in memory.
    type Error;

    /// Returns the kid, which is written into the protected header.
    fn kid(&self) -> KeyId;

    /// Returns the tag of a message, all 32 bytes. It is secret until it is sent.
    ///
    /// # Errors
    /// The authenticator's error. Nothing is sealed in this case.
    ///
    /// # Security
    /// The key must authenticate messages from this method only: a tag over chosen bytes can be a task.
    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, Self::Error>;
}

impl<A: Authenticator + ?Sized> Authenticator for &mut A {
    type Error = A::Error;

    fn kid(&self) -> KeyId {
        (**self).kid()
    }

    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, Self::Error> {
        (**self).authenticate(message)
    }
}

/// A private ECDH key on P-256.
pub trait Agree {
    /// The error of a failed operation; `Infallible` for a software key.
    type Error;

    /// Returns the kid.
    fn kid(&self) -> KeyId;

    /// Returns the x-coordinate of the shared point.
    ///
    /// # Errors
    /// The key store's error.
    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Self::Error>;
}

impl<A: Agree + ?Sized> Agree for &mut A {
    type Error = A::Error;

    fn kid(&self) -> KeyId {
        (**self).kid()
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Self::Error> {
        (**self).agree(peer)
    }
}

/// The operations that a faster implementation can replace. The default is [`Software`].
///
/// SHA-256, HMAC and HKDF are not part of it, because the default already uses the instructions of the processor.
pub trait Provider {
    /// Verifies an ES256 signature `r || s` over a digest. The caller checks for a high `s`.
    ///
    /// # Errors
    /// [`Rejected`].
    fn verify_es256(
        &self,
        key: &VerifyingKey,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Rejected>;

    /// Encrypts `buffer` in place with AES-256-GCM and returns the tag. The associated data is the concatenation of the
    /// pieces in `aad`; for an envelope, its length is at most 919 bytes.
    ///
    /// # Errors
    /// [`Rejected`] if `buffer` is longer than AES-GCM allows (64 GiB). [`Software`] also rejects several pieces of
    /// associated data with more than 919 bytes together; a single piece may have any length.
    ///
    /// # Security
    /// `key` and `iv` must never be used together for two different buffers.
    fn encrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
    ) -> Result<[u8; 16], Rejected>;

    /// Checks the tag and decrypts `buffer` in place.
    ///
    /// # Errors
    /// [`Rejected`]; `buffer` then holds no plaintext.
    fn decrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected>;

    /// Checks the tag without decrypting.
    ///
    /// # Errors
    /// [`Rejected`].
    fn check_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        ciphertext: &[u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected>;

    /// Performs ECDH between the ephemeral key with this `scalar` and `peer`. Returns the ephemeral public key and the
    /// shared x-coordinate, or `None` if the scalar is zero or not below the order of the curve.
    fn agree_ephemeral(
        &self,
        scalar: &Secret<32>,
        peer: &AgreementPublicKey,
    ) -> Option<(AgreementPublicKey, Secret<32>)>;
}

impl<P: Provider + ?Sized> Provider for &P {
    fn verify_es256(
        &self,
        key: &VerifyingKey,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Rejected> {
        (**self).verify_es256(key, digest, signature)
    }

    fn encrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
    ) -> Result<[u8; 16], Rejected> {
        (**self).encrypt_a256gcm(key, iv, aad, buffer)
    }

    fn decrypt_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        (**self).decrypt_a256gcm(key, iv, aad, buffer, tag)
    }

    fn check_a256gcm(
        &self,
        key: &Secret<32>,
        iv: &[u8; 12],
        aad: &[&[u8]],
        ciphertext: &[u8],
        tag: &[u8; 16],
    ) -> Result<(), Rejected> {
        (**self).check_a256gcm(key, iv, aad, ciphertext, tag)
    }

    fn agree_ephemeral(
        &self,
        scalar: &Secret<32>,
        peer: &AgreementPublicKey,
    ) -> Option<(AgreementPublicKey, Secret<32>)> {
        (**self).agree_ephemeral(scalar, peer)
    }
}
