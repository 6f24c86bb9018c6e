//! The algorithms of keys, by the names that keyset files use.

use std::fmt;

use serde::Deserialize;
use taskseal_core::keys::KeyAlgorithm;

/// The algorithm of a key. A key has one algorithm and one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: signs.
    #[serde(rename = "ES256")]
    Es256,
    /// HMAC with SHA-256: authenticates.
    #[serde(rename = "HS256")]
    Hs256,
    /// AES-256-GCM: encrypts and authenticates.
    #[serde(rename = "A256GCM")]
    A256Gcm,
    /// ECDH on P-256: bodies are encrypted to its public key.
    #[serde(rename = "ECDH-ES")]
    EcdhEs,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Es256, Self::Hs256, Self::A256Gcm, Self::EcdhEs];

    /// Returns the name in keyset files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
            Self::A256Gcm => "A256GCM",
            Self::EcdhEs => "ECDH-ES",
        }
    }

    /// Returns whether the same secret seals and opens.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::A256Gcm)
    }

    /// Returns the algorithm of the COSE_Key.
    pub(super) const fn cose(self) -> KeyAlgorithm {
        match self {
            Self::Es256 => KeyAlgorithm::Es256,
            Self::Hs256 => KeyAlgorithm::Hmac256,
            Self::A256Gcm => KeyAlgorithm::A256Gcm,
            Self::EcdhEs => KeyAlgorithm::EcdhEs,
        }
    }

    /// Returns what a secret key of this algorithm does, as a verb.
    pub(super) const fn verb(self) -> &'static str {
        match self {
            Self::Es256 => "signs",
            Self::Hs256 => "authenticates",
            Self::A256Gcm => "encrypts and decrypts",
            Self::EcdhEs => "decrypts",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
