//! Keys of tokens as the traits for keys kept elsewhere.

use std::time::Duration;

use taskseal_core::keys::AgreementPublicKey;
use taskseal_core::provider::MacStructure;
use taskseal_core::{Authenticator as _, KeyId, Secret};
use taskseal_hsm::{EcKey, Error, MacKey};

use crate::keys::agreement::RemoteAgreement;
use crate::keys::authenticator::RemoteAuthenticator;
use crate::keys::signer::{RemoteSigner, SignerFault};

/// A private key in a token, to sign or to decrypt. Many threads may use it.
#[derive(Debug)]
pub(super) struct Pair(pub(super) EcKey);

impl RemoteSigner for Pair {
    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        self.0.sign_digest(digest).map_err(fault)
    }
}

impl RemoteAgreement for Pair {
    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        self.0.agree(peer).map_err(fault)
    }

    /// A token that fails is out of use until its keys pass the same test.
    fn self_test(&self) -> Result<(), SignerFault> {
        self.0.self_test().map_err(fault)
    }
}

/// An HMAC key in a token. Many threads may use it.
#[derive(Debug)]
pub(super) struct Authenticator(pub(super) MacKey);

impl RemoteAuthenticator for Authenticator {
    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn authenticate(&self, message: &MacStructure<'_>) -> Result<Secret<32>, SignerFault> {
        (&self.0).authenticate(message).map_err(fault)
    }
}

/// Retry delay for a token that does not give one.
const DEFAULT_RETRY: Duration = Duration::from_millis(200);

fn fault(error: Error) -> SignerFault {
    match &error {
        Error::Transient { retry_after } => {
            let retry_after = *retry_after;
            SignerFault::transient(error, retry_after)
        }
        error if error.is_transient() => SignerFault::transient(error.clone(), DEFAULT_RETRY),
        Error::TooLong { .. } => SignerFault::refusing(error),
        _ => SignerFault::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_that_is_too_long_for_the_token_is_itself_at_fault() {
        let error = Error::TooLong { len: 70_000 };
        let text = error.to_string();
        let refused = fault(error);
        assert!(refused.refuses_message() && refused.retry_after().is_none());
        assert_eq!(refused.to_string(), text);
        assert!(text.contains("70000 bytes"), "{text}");
        assert!(!fault(Error::NoSuchKey).refuses_message());
        assert!(!fault(Error::Timeout).refuses_message());
    }
}
