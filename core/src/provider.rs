//! The seams to cryptography: who signs, who agrees on keys, and who does the bulk work.

mod keys_in_memory;
mod software;
// The tests compare the two implementations of the arithmetic, so they build both.
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

/// Signs digests with an ES256 key named by its kid: a software key, a secure element, a PKCS#11 token.
pub trait Signer {
    /// What can go wrong, for example a token that is away; `Infallible` for a software key.
    type Error;

    /// The key's kid, which is put into the protected header.
    fn kid(&self) -> KeyId;

    /// Signs a SHA-256 digest; returns `r || s`, both 32 bytes big-endian. A high `s` is normalised by the
    /// caller.
    ///
    /// # Errors
    /// The signer's own error. Nothing is sealed then.
    ///
    /// # Security
    /// The key must never sign anything but digests handed in here: a signature over chosen bytes is a task.
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

/// Authenticates with an HMAC-SHA256 key named by its kid: a key in memory, a PKCS#11 token. For suite M.
pub trait Authenticator {
    /// What can go wrong; `Infallible` for a key in memory.
    type Error;

    /// The key's kid, which is put into the protected header.
    fn kid(&self) -> KeyId;

    /// The tag of a message, all 32 bytes of it. Secret until it is sent.
    ///
    /// # Errors
    /// The authenticator's own error. Nothing is sealed then.
    ///
    /// # Security
    /// The key must never authenticate anything but messages handed in here: a tag over chosen bytes is a task.
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

/// Agrees on a secret by ECDH on P-256 with a private key named by its kid.
pub trait Agree {
    /// What can go wrong; `Infallible` for a software key.
    type Error;

    /// The key's kid.
    fn kid(&self) -> KeyId;

    /// The x-coordinate of the shared point.
    ///
    /// # Errors
    /// The key store's own error.
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

/// The operations worth replacing by a faster implementation: [`Software`] by default.
///
/// SHA-256, HMAC and HKDF are not part of it: the default is at the speed of the hardware already.
pub trait Provider {
    /// Verifies an ES256 signature `r || s` over a digest. A high `s` is the caller's business.
    ///
    /// # Errors
    /// [`Rejected`].
    fn verify_es256(
        &self,
        key: &VerifyingKey,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<(), Rejected>;

    /// Encrypts `buffer` in place with AES-256-GCM and returns the tag.
    ///
    /// # Errors
    /// [`Rejected`] if the buffer is longer than AES-GCM allows (64 GiB).
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

    /// Checks the tag without decrypting: no plaintext comes into being.
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

    /// Makes an ephemeral key of `scalar` and agrees with `peer`: the ephemeral public point and the shared
    /// x-coordinate. `None` if the scalar is zero or not below the order of the curve.
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
