//! A secret key as a COSE_Key (RFC 9052 section 7) in deterministic CBOR (RFC 8949 section 4.2.1).
//!
//! Four shapes, each with every member there and in order, so that reading is a comparison: whatever is not one
//! of the variable fields has exactly one spelling.
//!
//! ```cddl
//! ec2 = { 1: 2, 2: kid, 3: -7, 4: [1], -1: 1, -2: b32, -3: b32, -4: b32 }    ; ES256, sign
//!     / { 1: 2, 2: kid, 3: -25, 4: [7], -1: 1, -2: b32, -3: b32, -4: b32 }   ; ECDH-ES + HKDF-256, derive key
//! symmetric = { 1: 4, 2: kid, 3: 5, 4: [9, 10], -1: b32 }                    ; HMAC 256/256, create and verify
//!           / { 1: 4, 2: kid, 3: 3, 4: [3, 4], -1: b32 }                     ; A256GCM, encrypt and decrypt
//! kid = bstr .size 8
//! b32 = bstr .size 32
//! ```

use taskseal_core::keys::{AgreementKey, EncryptionKey, MacKey, POINT_LEN, SigningKey};
use taskseal_core::{KeyId, Secret};
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::secret_key::SecretKey;

#[cfg(test)]
mod tests;

/// Bytes of the longest shape: an ECDH-ES key.
pub(super) const MAX_LEN: usize = 3 + 10 + 3 + 3 + 2 + 3 * 35;

/// Not one of the four shapes, or the members contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidCoseKey;

/// Encodes a key with its secret.
pub(super) fn encode(
    algorithm: Algorithm,
    kid: KeyId,
    point: Option<&[u8; POINT_LEN]>,
    secret: &Secret<32>,
) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(MAX_LEN));
    let [kty, parameters] = fixed(algorithm);
    out.extend_from_slice(kty);
    out.extend_from_slice(KID);
    out.extend_from_slice(kid.as_bytes());
    out.extend_from_slice(parameters);
    if let Some([_, coordinates @ ..]) = point {
        let (x, y) = coordinates.split_at(32);
        for (head, coordinate) in [(X, x), (Y, y)] {
            out.extend_from_slice(head);
            out.extend_from_slice(coordinate);
        }
        out.extend_from_slice(D);
    } else {
        out.extend_from_slice(K);
    }
    out.extend_from_slice(secret.as_bytes());
    out
}

/// Decodes a key; its public half and its kid must belong to the secret.
pub(super) fn decode(bytes: &[u8]) -> Result<(SecretKey, Secret<32>), InvalidCoseKey> {
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| Reader(bytes).head(*algorithm).is_some());
    let algorithm = algorithm.ok_or(InvalidCoseKey)?;
    let mut reader = Reader(bytes);
    let kid = reader.head(algorithm).ok_or(InvalidCoseKey)?;
    let point = match algorithm {
        Algorithm::Es256 | Algorithm::EcdhEs => Some(reader.point().ok_or(InvalidCoseKey)?),
        Algorithm::Hs256 | Algorithm::A256Gcm => None,
    };
    let head = if point.is_some() { D } else { K };
    let secret = reader.secret(head).ok_or(InvalidCoseKey)?;
    let key = SecretKey::from_secret(algorithm, kid, &secret).map_err(|_| InvalidCoseKey)?;
    if key.kid() != kid || key.point() != point {
        return Err(InvalidCoseKey);
    }
    Ok((key, secret))
}

impl SecretKey {
    /// The key with this secret. A P-256 key makes its own kid and does not look at `kid`.
    pub(super) fn from_secret(
        algorithm: Algorithm,
        kid: KeyId,
        secret: &Secret<32>,
    ) -> Result<Self, taskseal_core::InvalidKey> {
        let copy = || Secret::copy_from(secret.as_bytes());
        Ok(match algorithm {
            Algorithm::Es256 => Self::Sign(Box::new(SigningKey::from_scalar(secret)?)),
            Algorithm::EcdhEs => Self::Agree(Box::new(AgreementKey::from_scalar(secret)?)),
            Algorithm::Hs256 => Self::Mac(Box::new(MacKey::new(kid, copy()))),
            Algorithm::A256Gcm => Self::Encrypt(Box::new(EncryptionKey::new(kid, copy()))),
        })
    }
}

/// Takes what must stand there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn fixed(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    /// Everything up to the public key, with the kid in it.
    fn head(&mut self, algorithm: Algorithm) -> Option<KeyId> {
        let [kty, parameters] = fixed(algorithm);
        self.fixed(kty)?;
        self.fixed(KID)?;
        let kid = KeyId::from_bytes(*self.take()?);
        self.fixed(parameters)?;
        Some(kid)
    }

    fn point(&mut self) -> Option<[u8; POINT_LEN]> {
        let mut point = [4; POINT_LEN];
        let [_, coordinates @ ..] = &mut point;
        let (to_x, to_y) = coordinates.split_at_mut(32);
        for (head, to) in [(X, to_x), (Y, to_y)] {
            self.fixed(head)?;
            to.copy_from_slice(self.take::<32>()?);
        }
        Some(point)
    }

    /// The last member: nothing may follow.
    fn secret(mut self, head: &[u8]) -> Option<Secret<32>> {
        self.fixed(head)?;
        let secret = Secret::copy_from(self.take()?);
        self.0.is_empty().then_some(secret)
    }
}

/// What stands before the kid, and between the kid and the key.
const fn fixed(algorithm: Algorithm) -> [&'static [u8]; 2] {
    match algorithm {
        // { 1: 2 (EC2), … 3: -7 (ES256), 4: [1 (sign)], -1: 1 (P-256), …
        Algorithm::Es256 => [&[0xa8, 0x01, 0x02], &[0x03, 0x26, 0x04, 0x81, 0x01, 0x20, 0x01]],
        // { 1: 2 (EC2), … 3: -25 (ECDH-ES + HKDF-256), 4: [7 (derive key)], -1: 1 (P-256), …
        Algorithm::EcdhEs => [&[0xa8, 0x01, 0x02], &[0x03, 0x38, 0x18, 0x04, 0x81, 0x07, 0x20, 0x01]],
        // { 1: 4 (Symmetric), … 3: 5 (HMAC 256/256), 4: [9 (MAC create), 10 (MAC verify)], …
        Algorithm::Hs256 => [&[0xa5, 0x01, 0x04], &[0x03, 0x05, 0x04, 0x82, 0x09, 0x0a]],
        // { 1: 4 (Symmetric), … 3: 3 (A256GCM), 4: [3 (encrypt), 4 (decrypt)], …
        Algorithm::A256Gcm => [&[0xa5, 0x01, 0x04], &[0x03, 0x03, 0x04, 0x82, 0x03, 0x04]],
    }
}

/// `2: bstr .size 8`
const KID: &[u8] = &[0x02, 0x48];
/// `-2: bstr .size 32`
const X: &[u8] = &[0x21, 0x58, 0x20];
/// `-3: bstr .size 32`
const Y: &[u8] = &[0x22, 0x58, 0x20];
/// `-4: bstr .size 32`, of an EC2 key
const D: &[u8] = &[0x23, 0x58, 0x20];
/// `-1: bstr .size 32`, of a symmetric key
const K: &[u8] = &[0x20, 0x58, 0x20];
