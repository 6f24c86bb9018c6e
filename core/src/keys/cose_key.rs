//! Secret keys as COSE_Key objects (RFC 9052 section 7, RFC 9053 section 7) in deterministic CBOR (RFC 8949 section
//! 4.2.1).
//!
//! There are four forms. Each has all of its members, in one order, so every key has exactly one encoding.
//!
//! ```cddl
//! ec2 = { 1: 2, 2: kid, 3: -7, 4: [1], -1: 1, -2: b32, -3: b32, -4: b32 }    ; ES256, sign
//!     / { 1: 2, 2: kid, 3: -25, 4: [7], -1: 1, -2: b32, -3: b32, -4: b32 }   ; ECDH-ES + HKDF-256, derive key
//! symmetric = { 1: 4, 2: kid, 3: 5, 4: [9, 10], -1: b32 }                    ; HMAC 256/256, create and verify
//!           / { 1: 4, 2: kid, 3: 3, 4: [3, 4], -1: b32 }                     ; A256GCM, encrypt and decrypt
//! kid = bstr .size 8
//! b32 = bstr .size 32
//! ```

use core::fmt;

use super::{AgreementKey, POINT_LEN, SigningKey, coordinates};
use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Sink, SinkError, Writer};
use crate::error::InvalidKey;
use crate::kid::KeyId;
use crate::label;
use crate::secret::Secret;
use crate::stack::{Depth, with_wiped_stack};

/// The algorithm of a key, which fixes its key type and its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ES256 (RFC 9053 section 2.1): signs.
    Es256,
    /// ECDH-ES + HKDF-256 (RFC 9053 section 6.3.1): agrees on content keys.
    EcdhEs,
    /// HMAC 256/256 (RFC 9053 section 3.1): creates and verifies tags.
    Hmac256,
    /// A256GCM (RFC 9053 section 4.1): encrypts and decrypts.
    A256Gcm,
}

impl KeyAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EcdhEs, Self::Hmac256, Self::A256Gcm];

    const fn number(self) -> i64 {
        match self {
            Self::Es256 => label::ES256,
            Self::EcdhEs => label::ECDH_ES_HKDF_256,
            Self::Hmac256 => label::HMAC_256,
            Self::A256Gcm => label::A256GCM,
        }
    }

    /// Returns the number of members in the map, and the key type.
    const fn shape(self) -> (u64, i64) {
        match self {
            Self::Es256 | Self::EcdhEs => (8, label::KTY_EC2),
            Self::Hmac256 | Self::A256Gcm => (5, label::KTY_SYMMETRIC),
        }
    }

    const fn operations(self) -> &'static [i64] {
        match self {
            Self::Es256 => &[label::KEY_OP_SIGN],
            Self::EcdhEs => &[label::KEY_OP_DERIVE_KEY],
            Self::Hmac256 => &[label::KEY_OP_MAC_CREATE, label::KEY_OP_MAC_VERIFY],
            Self::A256Gcm => &[label::KEY_OP_ENCRYPT, label::KEY_OP_DECRYPT],
        }
    }
}

/// Why bytes are not a COSE_Key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CoseKeyError {
    /// The bytes are not the deterministic encoding of one of the four forms.
    Malformed,
    /// The scalar of a P-256 key is zero or not below the order of the curve.
    InvalidScalar,
    /// The public key or the kid of a P-256 key does not belong to its scalar.
    Mismatch,
}

/// A secret key with its algorithm and kid. Wiped on drop, prints no secret.
///
/// ```
/// use taskseal_core::keys::{CoseKey, KeyAlgorithm};
/// use taskseal_core::{KeyId, Secret};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = Secret::copy_from(&[7; 32]); // from a cryptographic source of randomness
/// let key = CoseKey::new(KeyAlgorithm::Hmac256, KeyId::from_bytes(*b"sensor17"), &secret)?;
/// let encoded = key.encode();
/// assert_eq!(CoseKey::decode(encoded.as_bytes())?.kid(), key.kid());
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// As for [`Secret`], moving a value may leave a copy of the key on the stack.
pub struct CoseKey {
    algorithm: KeyAlgorithm,
    kid: KeyId,
    point: Option<[u8; POINT_LEN]>,
    secret: Secret<32>,
}

impl CoseKey {
    /// Maximum size of an encoded key, in bytes: that of an ECDH-ES key.
    pub const MAX_LEN: usize = 3 + 10 + 3 + 3 + 2 + 3 * 35;

    /// Creates a key from its 32 secret bytes. A P-256 key has the kid of its thumbprint (RFC 9679) instead of `kid`.
    ///
    /// # Errors
    /// [`InvalidKey`] if the scalar of a P-256 key is zero or not below the order of the curve.
    pub fn new(algorithm: KeyAlgorithm, kid: KeyId, secret: &Secret<32>) -> Result<Self, InvalidKey> {
        let (kid, point) = match algorithm {
            KeyAlgorithm::Es256 => {
                let key = SigningKey::from_scalar(secret)?.verifying_key();
                (key.kid(), Some(key.to_point()))
            }
            KeyAlgorithm::EcdhEs => {
                let key = AgreementKey::from_scalar(secret)?.public_key();
                (key.kid(), Some(key.to_point()))
            }
            KeyAlgorithm::Hmac256 | KeyAlgorithm::A256Gcm => (kid, None),
        };
        Ok(Self { algorithm, kid, point, secret: Secret::copy_from(secret.as_bytes()) })
    }

    /// Decodes `bytes`, which must hold one key and nothing else.
    ///
    /// # Errors
    /// [`CoseKeyError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CoseKeyError> {
        with_wiped_stack(Depth::Curve, || {
            let members = Members::decode(bytes).map_err(|DecodeError| CoseKeyError::Malformed)?;
            let secret = Secret::copy_from(members.secret);
            let key = Self::new(members.algorithm, members.kid, &secret)
                .map_err(|InvalidKey| CoseKeyError::InvalidScalar)?;
            let is_same_point = key.point.as_ref().map(coordinates) == members.coordinates;
            if key.kid != members.kid || !is_same_point {
                return Err(CoseKeyError::Mismatch);
            }
            Ok(key)
        })
    }

    /// Encodes the key, secret included.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "MAX_LEN bytes hold the longest form")]
    pub fn encode(&self) -> EncodedCoseKey {
        with_wiped_stack(Depth::Hash, || {
            let mut encoded = EncodedCoseKey { bytes: Secret::zeroed(), len: 0 };
            let mut writer = Writer::new(encoded.bytes.as_mut_bytes());
            self.write(&mut writer).expect("MAX_LEN bytes hold the longest form");
            encoded.len = writer.position();
            encoded
        })
    }

    /// Returns the algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Returns the kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// Returns the uncompressed public point of a P-256 key; `None` for a symmetric key.
    #[must_use]
    pub const fn point(&self) -> Option<&[u8; POINT_LEN]> {
        self.point.as_ref()
    }

    /// Returns the scalar of a P-256 key, big-endian, or the bytes of a symmetric key.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    fn write(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        let ((members, key_type), operations) = (self.algorithm.shape(), self.algorithm.operations());
        sink.map(members)?;
        sink.int(label::KEY_KTY)?;
        sink.int(key_type)?;
        sink.int(label::KEY_KID)?;
        sink.bytes(self.kid.as_bytes())?;
        sink.int(label::KEY_ALG)?;
        sink.int(self.algorithm.number())?;
        sink.int(label::KEY_OPS)?;
        sink.array(operations.len() as u64)?;
        operations.iter().try_for_each(|operation| sink.int(*operation))?;
        let Some((x, y)) = self.point.as_ref().map(coordinates) else {
            sink.int(label::KEY_K)?;
            return sink.bytes(self.secret.as_bytes());
        };
        sink.int(label::KEY_CRV)?;
        sink.int(label::CRV_P256)?;
        for (member, value) in [(label::KEY_X, x), (label::KEY_Y, y), (label::KEY_D, self.secret.as_bytes())]
        {
            sink.int(member)?;
            sink.bytes(value)?;
        }
        Ok(())
    }
}

/// The members of a well-formed COSE_Key. Public and secret half need not belong together.
struct Members<'a> {
    algorithm: KeyAlgorithm,
    kid: KeyId,
    coordinates: Option<(&'a [u8; 32], &'a [u8; 32])>,
    secret: &'a [u8; 32],
}

impl<'a> Members<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let decoder = &mut Decoder::new(bytes);
        let members = decoder.map(8)?;
        expect(decoder, label::KEY_KTY)?;
        let key_type = decoder.int()?;
        expect(decoder, label::KEY_KID)?;
        let kid = KeyId::from_bytes(*decoder.bytes_exact()?);
        expect(decoder, label::KEY_ALG)?;
        let number = decoder.int()?;
        let algorithm = KeyAlgorithm::ALL.into_iter().find(|algorithm| algorithm.number() == number);
        let algorithm = algorithm.ok_or(DecodeError)?;
        if (members, key_type) != algorithm.shape() {
            return Err(DecodeError);
        }
        expect(decoder, label::KEY_OPS)?;
        decoder.array(algorithm.operations().len() as u64)?;
        algorithm.operations().iter().try_for_each(|operation| expect(decoder, *operation))?;
        let mut coordinates = None;
        if key_type == label::KTY_EC2 {
            expect(decoder, label::KEY_CRV)?;
            expect(decoder, label::CRV_P256)?;
            coordinates = Some((field(decoder, label::KEY_X)?, field(decoder, label::KEY_Y)?));
        }
        let member = if coordinates.is_some() { label::KEY_D } else { label::KEY_K };
        let secret = field(decoder, member)?;
        decoder.end()?;
        Ok(Self { algorithm, kid, coordinates, secret })
    }
}

/// Reads an integer that must have this value.
fn expect(decoder: &mut Decoder<'_>, expected: i64) -> Result<(), DecodeError> {
    if decoder.int()? == expected { Ok(()) } else { Err(DecodeError) }
}

/// Reads a label and its 32 bytes.
fn field<'a>(decoder: &mut Decoder<'a>, member: i64) -> Result<&'a [u8; 32], DecodeError> {
    expect(decoder, member)?;
    decoder.bytes_exact()
}

/// The encoding of a [`CoseKey`]. Wiped on drop, prints nothing.
#[derive(Debug)]
pub struct EncodedCoseKey {
    bytes: Secret<{ CoseKey::MAX_LEN }>,
    len: usize,
}

impl EncodedCoseKey {
    /// Returns the bytes of the COSE_Key.
    ///
    /// # Security
    /// They contain the secret. The caller must not let a copy outlive its use.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_bytes().get(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for CoseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CoseKey");
        shown.field("algorithm", &self.algorithm).field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl fmt::Display for CoseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a COSE_Key of a supported form",
            Self::InvalidScalar => "the scalar is out of range",
            Self::Mismatch => "the public key or the kid does not belong to the secret",
        })
    }
}

impl core::error::Error for CoseKeyError {}

#[cfg(test)]
mod tests;
