//! The places of the keys that seal, as a configuration names them.

use taskseal_core::{KeyId, Suite};

use crate::keys::recipients::NamedRecipient;
use crate::keys::reference::KeyRef;

/// A suite and the places of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealingSource {
    /// The suite.
    pub suite: Suite,
    /// The key that authenticates: ES256 for S, SE and SP, HS256 for M, A256GCM for E.
    pub key: KeyRef,
    /// The key that encrypts, A256GCM: for SE only.
    pub encryption_key: Option<KeyRef>,
    /// The recipient, an ECDH-ES key of the keyset: for SP only. Without it, the keyset chooses one for each body.
    pub recipient: Option<NamedRecipient>,
}

impl SealingSource {
    /// Creates the source of a suite and the key that authenticates. Suite SE needs one more key.
    #[must_use]
    pub fn new(suite: Suite, key: impl Into<KeyRef>) -> Self {
        Self { suite, key: key.into(), encryption_key: None, recipient: None }
    }

    /// Sets the shared key that encrypts: suite SE.
    #[must_use]
    pub fn encryption_key(mut self, key: impl Into<KeyRef>) -> Self {
        self.encryption_key = Some(key.into());
        self
    }

    /// Sets the key of the keyset to encrypt every body to: suite SP.
    #[must_use]
    pub fn recipient(mut self, kid: KeyId) -> Self {
        self.recipient = Some(NamedRecipient::new(kid));
        self
    }
}
