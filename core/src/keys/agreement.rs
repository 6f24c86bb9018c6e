//! ECDH keys on P-256 (RFC 9053 section 6.3.1): workers decrypt with the private key, producers encrypt to the public
//! key.

use core::fmt;

use p256::ecdh::diffie_hellman;
use zeroize::Zeroize;

use super::{POINT_LEN, affine, thumbprint_kid, uncompressed};
use crate::error::InvalidKey;
use crate::kid::KeyId;
use crate::secret::Secret;
use crate::stack::{Depth, clear_registers, with_wiped_stack};

/// A private key agreement key in memory. Wiped on drop; `Debug` prints the kid only.
pub struct AgreementKey {
    key: p256::SecretKey,
    public: AgreementPublicKey,
}

impl AgreementKey {
    /// Creates a key from its scalar, big-endian.
    ///
    /// # Errors
    /// [`InvalidKey`] if the scalar is zero or not below the order of the curve.
    ///
    /// # Security
    /// The scalar must come from a cryptographic source of randomness, and must not be that of a signing key.
    pub fn from_scalar(scalar: &Secret<32>) -> Result<Self, InvalidKey> {
        with_wiped_stack(Depth::Curve, || {
            let key = p256::SecretKey::from_slice(scalar.as_bytes()).map_err(|_| InvalidKey)?;
            let public = AgreementPublicKey::of(key.public_key());
            Ok(Self { key, public })
        })
    }

    /// Returns the public key.
    #[must_use]
    pub const fn public_key(&self) -> AgreementPublicKey {
        self.public
    }

    /// Returns the x-coordinate of the shared point (SP 800-56A section 5.7.1.2). P-256 has cofactor 1 and both points
    /// were checked, so the shared point is never the identity.
    pub(crate) fn shared_x(&self, peer: &AgreementPublicKey) -> Secret<32> {
        with_wiped_stack(Depth::Curve, || {
            // This is a copy of the private scalar that nothing else wipes.
            let mut scalar = self.key.to_nonzero_scalar();
            let shared = diffie_hellman(&scalar, peer.key.as_affine());
            scalar.zeroize();
            let mut z = Secret::zeroed();
            z.as_mut_bytes().copy_from_slice(shared.raw_secret_bytes());
            z
        })
    }
}

/// The scalar wipes itself. This clears copies that moves of the key left in vector registers.
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

/// A P-256 public key for key agreement: a point that was checked to be on the curve and is not the identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AgreementPublicKey {
    key: p256::PublicKey,
    kid: KeyId,
}

impl AgreementPublicKey {
    /// Creates a key from an uncompressed point, `04 || x || y`.
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

    /// Returns the kid: the first 8 bytes of the key's thumbprint (RFC 9679).
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// Returns the uncompressed point, `04 || x || y`.
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
