//! A secret key in the memory of this process.

use base64ct::{Base64UrlUnpadded, Encoding};
use getrandom::SysRng;
use getrandom::rand_core::TryRng;
use taskseal_core::keys::{
    AgreementKey, CoseKey, EncryptionKey, HmacKey, KeyAlgorithm, POINT_LEN, SigningKey,
};
use taskseal_core::{InvalidKey, KeyId, Secret};

use super::algorithm::Algorithm;

/// One secret key. Its memory is wiped on drop.
///
/// # Security
/// Use the key by reference. Moved out of its box, it leaves a copy in freed memory.
#[derive(Debug)]
#[non_exhaustive]
pub enum SecretKey {
    /// Signs with ES256.
    Sign(Box<SigningKey>),
    /// Decrypts bodies that are encrypted to its public key.
    Agree(Box<AgreementKey>),
    /// Authenticates with HMAC.
    Mac(Box<HmacKey>),
    /// Encrypts and decrypts with AES-256-GCM.
    Encrypt(Box<EncryptionKey>),
}

impl SecretKey {
    /// Returns the key in a COSE_Key.
    pub(super) fn from_cose_key(key: &CoseKey) -> Result<Self, InvalidKey> {
        let secret = || Secret::copy_from(key.secret().as_bytes());
        Ok(match key.algorithm() {
            KeyAlgorithm::Es256 => Self::Sign(Box::new(SigningKey::from_scalar(key.secret())?)),
            KeyAlgorithm::EcdhEs => Self::Agree(Box::new(AgreementKey::from_scalar(key.secret())?)),
            KeyAlgorithm::Hmac256 => Self::Mac(Box::new(HmacKey::new(key.kid(), secret()))),
            KeyAlgorithm::A256Gcm => Self::Encrypt(Box::new(EncryptionKey::new(key.kid(), secret()))),
            _ => return Err(InvalidKey),
        })
    }

    /// Generates a COSE_Key from the randomness of the operating system.
    pub(super) fn random(algorithm: Algorithm) -> Result<CoseKey, getrandom::Error> {
        let mut kid = [0; KeyId::LEN];
        SysRng.try_fill_bytes(&mut kid)?;
        loop {
            let mut secret = Secret::zeroed();
            SysRng.try_fill_bytes(secret.as_mut_bytes())?;
            // Fails once in 2^32 times: a scalar that is not below the order of the curve.
            if let Ok(key) = CoseKey::new(algorithm.cose(), KeyId::from_bytes(kid), &secret) {
                return Ok(key);
            }
        }
    }

    /// Returns the algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sign(_) => Algorithm::Es256,
            Self::Agree(_) => Algorithm::EcdhEs,
            Self::Mac(_) => Algorithm::Hs256,
            Self::Encrypt(_) => Algorithm::A256Gcm,
        }
    }

    /// Returns the kid.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        match self {
            Self::Sign(key) => key.verifying_key().kid(),
            Self::Agree(key) => key.public_key().kid(),
            Self::Mac(key) => key.kid(),
            Self::Encrypt(key) => key.kid(),
        }
    }

    /// Returns the public key as an uncompressed point; `None` for a symmetric key.
    #[must_use]
    pub fn point(&self) -> Option<[u8; POINT_LEN]> {
        match self {
            Self::Sign(key) => Some(key.verifying_key().to_point()),
            Self::Agree(key) => Some(key.public_key().to_point()),
            Self::Mac(_) | Self::Encrypt(_) => None,
        }
    }

    /// Returns the public key in the notation of keyset files; `None` for a symmetric key.
    #[must_use]
    pub fn public(&self) -> Option<String> {
        self.point().map(|point| public_text(&point))
    }
}

/// Returns a public key in the notation of keyset files: base64url of the uncompressed point.
#[must_use]
pub fn public_text(point: &[u8; POINT_LEN]) -> String {
    Base64UrlUnpadded::encode_string(point)
}
