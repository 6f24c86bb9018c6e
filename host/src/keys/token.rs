//! Keys in PKCS#11 tokens: to sign, to authenticate and to decrypt.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taskseal_core::keys::AgreementPublicKey;
use taskseal_core::provider::MacStructure;
use taskseal_core::{Authenticator, KeyId, Secret};
use taskseal_hsm::{EcKey, Error, KeyClass, KeySelector, KeyUri, MacKey, Token, Usage};

use super::agreement::RemoteAgreement;
use super::authenticator::RemoteAuthenticator;
use super::location::InvalidLocation;
use super::signer::{RemoteSigner, SignerFault};
use crate::file_error::FileError;
use crate::tokens;

/// A key that never leaves its token, by name. `Display` leaves out where the PIN is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey(Box<KeyUri>);

impl TokenKey {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidLocation> {
        let uri = KeyUri::parse(text).map_err(|error| InvalidLocation(error.to_string()))?;
        Ok(Self(Box::new(uri)))
    }

    /// The whole name.
    #[must_use]
    pub fn uri(&self) -> &KeyUri {
        &self.0
    }

    pub(crate) fn fault(&self, message: impl Into<String>) -> FileError {
        FileError::new(Path::new(&self.to_string()), message)
    }

    pub(super) fn signer(&self) -> Result<Arc<dyn RemoteSigner>, FileError> {
        Ok(Arc::new(InToken(self.load(Usage::Sign)?)))
    }

    pub(super) fn agreement(&self) -> Result<Arc<dyn RemoteAgreement>, FileError> {
        Ok(Arc::new(InToken(self.load(Usage::Agree)?)))
    }

    pub(super) fn authenticator(&self) -> Result<Arc<dyn RemoteAuthenticator>, FileError> {
        if self.0.class() == Some(KeyClass::Private) {
            return Err(self
                .fault("the uri names a private key, and suite M authenticates with a shared one")
                .hint("seal with suite S, SE or SP, or name an HMAC key: `type=secret-key`"));
        }
        let key = MacKey::load(&self.open()?, &KeySelector::from(&*self.0));
        let key = key.map_err(|error| match &error {
            Error::NoSuchKey | Error::WrongKey(_) => {
                self.fault(error.to_string()).out_of_reach().hint(MAC_HINT)
            }
            _ => self.unusable(&error),
        })?;
        Ok(Arc::new(MacInToken(key)))
    }

    fn load(&self, usage: Usage) -> Result<EcKey, FileError> {
        if self.0.class() == Some(KeyClass::Secret) {
            return Err(self
                .fault("the uri names a shared key, and a private one is needed")
                .hint("a shared key in a token seals with suite M, and does nothing else"));
        }
        EcKey::load(&self.open()?, &KeySelector::from(&*self.0), usage).map_err(|error| self.unusable(&error))
    }

    fn open(&self) -> Result<Token, FileError> {
        tokens::open(self.0.token_uri()).map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &Error) -> FileError {
        let fault = self.fault(error.to_string()).out_of_reach();
        match tokens::hint(error) {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }
}

const MAC_HINT: &str = "suite M takes a secret key of 32 bytes for HMAC and nothing else, its id a kid of 8 bytes, imported with \
                        the token's own tools; `taskseal token check URI` shows the keys of a token";

impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.name().fmt(f)
    }
}

/// A key of a token, which many threads may use.
#[derive(Debug)]
struct InToken(EcKey);

impl RemoteSigner for InToken {
    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        self.0.sign_digest(digest).map_err(fault)
    }
}

impl RemoteAgreement for InToken {
    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        self.0.agree(peer).map_err(fault)
    }

    /// A token that fails is down until its keys pass the same test.
    fn self_test(&self) -> Result<(), SignerFault> {
        self.0.self_test().map_err(fault)
    }
}

/// An HMAC key of a token, which many threads may use.
#[derive(Debug)]
struct MacInToken(MacKey);

impl RemoteAuthenticator for MacInToken {
    fn kid(&self) -> KeyId {
        self.0.kid()
    }

    fn authenticate(&self, message: &MacStructure<'_>) -> Result<Secret<32>, SignerFault> {
        (&self.0).authenticate(message).map_err(fault)
    }
}

/// How soon a token is asked again that does not say when it is worth it.
const SOON: Duration = Duration::from_millis(200);

fn fault(error: Error) -> SignerFault {
    match &error {
        Error::Transient { retry_after } => {
            let retry_after = *retry_after;
            SignerFault::transient(error, retry_after)
        }
        error if error.is_transient() => SignerFault::transient(error.clone(), SOON),
        Error::TooLong { .. } => SignerFault::refusing(error),
        _ => SignerFault::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_that_is_too_long_for_a_token_is_at_fault_itself() {
        let refused = fault(Error::TooLong { len: 70_000 });
        assert!(refused.refuses_message() && refused.retry_after().is_none());
        assert_eq!(refused.to_string(), "the token does not accept a message of 70000 bytes");
        assert!(!fault(Error::NoSuchKey).refuses_message());
        assert!(!fault(Error::Timeout).refuses_message());
    }
}
