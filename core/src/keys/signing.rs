//! ES256 keys (RFC 9053 section 2.1): signing keys and verifying keys.

use core::fmt;

use super::{POINT_LEN, affine, thumbprint_kid, uncompressed};
use crate::error::InvalidKey;
use crate::kid::KeyId;
use crate::secret::Secret;
use crate::stack::{Depth, clear_registers, with_wiped_stack};

/// An ES256 signing key in memory. Wiped on drop; `Debug` prints the kid only.
pub struct SigningKey {
    key: p256::ecdsa::SigningKey,
    kid: KeyId,
}

impl SigningKey {
    /// Creates a key from its scalar, big-endian.
    ///
    /// # Errors
    /// [`InvalidKey`] if the scalar is zero or not below the order of the curve.
    ///
    /// # Security
    /// The scalar must come from a cryptographic source of randomness.
    pub fn from_scalar(scalar: &Secret<32>) -> Result<Self, InvalidKey> {
        with_wiped_stack(Depth::Curve, || {
            let key = p256::ecdsa::SigningKey::from_slice(scalar.as_bytes()).map_err(|_| InvalidKey)?;
            let kid = VerifyingKey::of(*key.verifying_key()).kid;
            Ok(Self { key, kid })
        })
    }

    /// Returns the kid, which is that of the verifying key.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// Returns the verifying key.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::of(*self.key.verifying_key())
    }

    pub(crate) const fn inner(&self) -> &p256::ecdsa::SigningKey {
        &self.key
    }
}

/// The scalar wipes itself. This clears copies that moves of the key left in vector registers.
impl Drop for SigningKey {
    fn drop(&mut self) {
        clear_registers();
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// An ES256 public key: a point that was checked to be on P-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey {
    key: p256::ecdsa::VerifyingKey,
    kid: KeyId,
}

impl VerifyingKey {
    /// Creates a key from an uncompressed point, `04 || x || y`.
    ///
    /// # Errors
    /// [`InvalidKey`] if the point is not on the curve or is the identity.
    pub fn from_point(point: &[u8; POINT_LEN]) -> Result<Self, InvalidKey> {
        let key = p256::ecdsa::VerifyingKey::from_affine(affine(point)?).map_err(|_| InvalidKey)?;
        Ok(Self::of(key))
    }

    fn of(key: p256::ecdsa::VerifyingKey) -> Self {
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

    #[cfg(any(test, target_os = "none", taskseal_small))]
    pub(crate) fn point(&self) -> p256::ProjectivePoint {
        (*self.key.as_affine()).into()
    }

    #[cfg(any(test, not(any(target_os = "none", taskseal_small))))]
    pub(crate) const fn inner(&self) -> &p256::ecdsa::VerifyingKey {
        &self.key
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}
