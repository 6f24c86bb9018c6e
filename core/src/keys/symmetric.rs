//! Symmetric keys: HMAC keys for suite M, encryption keys for suites E and SE.

use crate::kid::KeyId;
use crate::secret::Secret;

/// An HMAC 256/256 key (RFC 9053 section 3.1) of 32 bytes. Wiped on drop; `Debug` prints the kid only.
#[derive(Debug)]
pub struct HmacKey {
    kid: KeyId,
    key: Secret<32>,
}

impl HmacKey {
    /// Creates a key from its kid and 32 secret bytes.
    ///
    /// # Security
    /// The bytes must come from a cryptographic source of randomness and be used for nothing else. The kid
    /// must not be computed from them.
    #[must_use]
    pub const fn new(kid: KeyId, key: Secret<32>) -> Self {
        Self { kid, key }
    }

    /// Returns the kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    pub(crate) const fn key(&self) -> &Secret<32> {
        &self.key
    }
}

/// A shared key of 32 bytes from which one content key per message is derived. Wiped on drop; `Debug` prints the kid
/// only.
#[derive(Debug)]
pub struct EncryptionKey {
    kid: KeyId,
    key: Secret<32>,
}

impl EncryptionKey {
    /// Creates a key from its kid and 32 secret bytes.
    ///
    /// # Security
    /// The bytes must come from a cryptographic source of randomness and be used for nothing else. The kid
    /// must not be computed from them.
    #[must_use]
    pub const fn new(kid: KeyId, key: Secret<32>) -> Self {
        Self { kid, key }
    }

    /// Returns the kid.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    pub(crate) const fn key(&self) -> &Secret<32> {
        &self.key
    }
}
