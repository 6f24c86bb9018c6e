//! Symmetric keys: HMAC keys of suite M, encryption keys of suites E and SE.

use crate::kid::KeyId;
use crate::secret::Secret;

/// An HMAC 256/256 key (RFC 9053 section 3.1) of 32 bytes. Wiped on drop, prints only its kid.
#[derive(Debug)]
pub struct HmacKey {
    kid: KeyId,
    key: Secret<32>,
}

impl HmacKey {
    /// Takes 32 bytes and the kid they go by.
    ///
    /// # Security
    /// The bytes must come from a cryptographic source of randomness and be used for nothing else. The kid
    /// must not be computed from them.
    #[must_use]
    pub const fn new(kid: KeyId, key: Secret<32>) -> Self {
        Self { kid, key }
    }

    /// The kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    pub(crate) const fn key(&self) -> &Secret<32> {
        &self.key
    }
}

/// A shared key of 32 bytes from which one content key per message is derived. Wiped on drop, prints only
/// its kid.
#[derive(Debug)]
pub struct EncryptionKey {
    kid: KeyId,
    key: Secret<32>,
}

impl EncryptionKey {
    /// Takes 32 bytes and the kid they go by.
    ///
    /// # Security
    /// The bytes must come from a cryptographic source of randomness and be used for nothing else. The kid
    /// must not be computed from them.
    #[must_use]
    pub const fn new(kid: KeyId, key: Secret<32>) -> Self {
        Self { kid, key }
    }

    /// The kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    pub(crate) const fn key(&self) -> &Secret<32> {
        &self.key
    }
}
