//! Keys in memory as signers, authenticators and key agreements. None of them can fail.

use core::convert::Infallible;

use super::{Agree, Authenticator, MacStructure, Signer, arithmetic};
use crate::keys::{AgreementKey, AgreementPublicKey, HmacKey, SigningKey};
use crate::kid::KeyId;
use crate::secret::Secret;
use crate::stack::{Depth, with_wiped_stack};

/// Deterministic ECDSA (RFC 6979), which needs no randomness.
impl Signer for SigningKey {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.kid()
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Infallible> {
        Ok(sign(self, digest))
    }
}

/// Several threads can use one key at the same time.
impl Signer for &SigningKey {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        SigningKey::kid(self)
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Infallible> {
        Ok(sign(self, digest))
    }
}

fn sign(key: &SigningKey, digest: &[u8; 32]) -> [u8; 64] {
    with_wiped_stack(Depth::Signature, || arithmetic::sign(key.inner(), digest))
}

impl Authenticator for HmacKey {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.kid()
    }

    #[inline]
    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, Infallible> {
        Ok(message.tag(self.key()))
    }
}

/// Several threads can use one key at the same time.
impl Authenticator for &HmacKey {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        HmacKey::kid(self)
    }

    #[inline]
    fn authenticate(&mut self, message: &MacStructure<'_>) -> Result<Secret<32>, Infallible> {
        Ok(message.tag(self.key()))
    }
}

impl Agree for AgreementKey {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.public_key().kid()
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Infallible> {
        Ok(self.shared_x(peer))
    }
}

/// Several threads can use one key at the same time.
impl Agree for &AgreementKey {
    type Error = Infallible;

    fn kid(&self) -> KeyId {
        self.public_key().kid()
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, Infallible> {
        Ok(self.shared_x(peer))
    }
}
