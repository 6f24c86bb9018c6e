//! ECDH keys on P-256 (RFC 9053 section 6.3.1): what a worker decrypts with, and what a producer encrypts to.

use core::fmt;

use p256::ecdh::diffie_hellman;
use zeroize::Zeroize;

use super::{POINT_LEN, affine, thumbprint_kid, uncompressed};
use crate::error::InvalidKey;
use crate::kid::KeyId;
use crate::secret::Secret;
use crate::stack::{Depth, clear_registers, leaving_nothing};

/// A key agreement key in memory. Wiped on drop, prints only its kid.
pub struct AgreementKey {
    key: p256::SecretKey,
    public: AgreementPublicKey,
}

impl AgreementKey {
    /// Takes a scalar, big-endian.
    ///
    /// # Errors
    /// [`InvalidKey`] if the scalar is zero or not below the order of the curve.
    ///
    /// # Security
    /// The scalar must come from a cryptographic source of randomness, and must not be a signing key's.
    pub fn from_scalar(scalar: &Secret<32>) -> Result<Self, InvalidKey> {
        leaving_nothing(Depth::Curve, || {
            let key = p256::SecretKey::from_slice(scalar.as_bytes()).map_err(|_| InvalidKey)?;
            let public = AgreementPublicKey::of(key.public_key());
            Ok(Self { key, public })
        })
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> AgreementPublicKey {
        self.public
    }

    /// Returns the x-coordinate of the shared point (SP 800-56A section 5.7.1.2). P-256 has cofactor 1 and both points
    /// were checked, so the shared point is never the identity.
    pub(crate) fn shared_x(&self, peer: &AgreementPublicKey) -> Secret<32> {
        leaving_nothing(Depth::Curve, || {
            // A copy of the private scalar that nothing else wipes.
            let mut scalar = self.key.to_nonzero_scalar();
            let shared = diffie_hellman(&scalar, peer.key.as_affine());
            scalar.zeroize();
            let mut z = Secret::zeroed();
            z.as_mut_bytes().copy_from_slice(shared.raw_secret_bytes());
            z
        })
    }
}

/// The scalar wipes itself; this is for what moving the key left in the vector registers.
impl Drop for AgreementKey {
    fn drop(&mut self) {
        clear_registers();
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgreementKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

/// A P-256 public key to agree with: a point on the curve, checked, never the identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AgreementPublicKey {
    key: p256::PublicKey,
    kid: KeyId,
}

impl AgreementPublicKey {
    /// Takes an uncompressed point, `04 || x || y`.
    ///
    /// # Errors
    /// [`InvalidKey`] if the point is not on the curve or is the identity.
    pub fn from_point(point: &[u8; POINT_LEN]) -> Result<Self, InvalidKey> {
        p256::PublicKey::from_affine(affine(point)?).map(Self::of).map_err(|_| InvalidKey)
    }

    fn of(key: p256::PublicKey) -> Self {
        let kid = thumbprint_kid(&uncompressed(key.as_affine()));
        Self { key, kid }
    }

    /// The first 8 bytes of the key's thumbprint (RFC 9679).
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// The uncompressed point, `04 || x || y`.
    #[must_use]
    pub fn to_point(&self) -> [u8; POINT_LEN] {
        uncompressed(self.key.as_affine())
    }
}

impl fmt::Debug for AgreementPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgreementPublicKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}
