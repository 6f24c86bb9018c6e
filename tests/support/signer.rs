//! Keys that behave like keys in a token: they count requests, and a test can delay them, make them unavailable, fail or
//! panic.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, clippy::missing_panics_doc, clippy::panic)]

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use taskseal::keys::{RemoteAgreement, RemoteAuthenticator, RemoteSigner, SignerFault};
use taskseal_core::keys::{AgreementKey, AgreementPublicKey, HmacKey, SigningKey};
use taskseal_core::provider::MacStructure;
use taskseal_core::{Agree, Authenticator, KeyId, Secret, Signer};

/// A key to sign with.
pub type TestSigner = Token<SigningKey>;

/// A key to authenticate with.
pub type TestAuthenticator = Token<HmacKey>;

/// A key to decrypt with.
pub type TestAgreement = Token<AgreementKey>;

/// As slow as a token, for as long as a test wants.
#[derive(Debug)]
pub struct Token<K> {
    key: K,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asked: usize,
    held: bool,
    then: Then,
}

/// The effect of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Then {
    #[default]
    Signs,
    IsUnavailable,
    /// Is unavailable, and requires the longest delay that there is.
    IsUnavailableWithoutEnd,
    Fails,
    /// Answers, and not with what it should.
    SignsWrongly,
    /// Refuses what is longer than so many bytes, as those do that authenticate.
    TakesAtMost(usize),
    Panics,
}

impl<K> Token<K> {
    /// Answers at once.
    #[must_use]
    pub fn new(key: K) -> Self {
        Self { key, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Delays requests until [`let_go`](Self::let_go).
    pub fn hold(&self) {
        self.state.lock().unwrap().held = true;
    }

    /// Completes the delayed requests, and all later ones at once.
    pub fn let_go(&self) {
        self.state.lock().unwrap().held = false;
        self.changed.notify_all();
    }

    /// Sets the effect of all later requests.
    pub fn from_now_on(&self, then: Then) {
        self.state.lock().unwrap().then = then;
    }

    /// Waits while it is held; fails if that is its effect.
    fn answer(&self) -> Result<Then, SignerFault> {
        let mut state = self.state.lock().unwrap();
        state.asked += 1;
        let then = self.changed.wait_while(state, |state| state.held).unwrap().then;
        match then {
            Then::Signs | Then::SignsWrongly | Then::TakesAtMost(_) => Ok(then),
            Then::IsUnavailable => {
                Err(SignerFault::transient("the token is unavailable", Duration::from_millis(20)))
            }
            Then::IsUnavailableWithoutEnd => {
                Err(SignerFault::transient("the token is unavailable", Duration::MAX))
            }
            Then::Fails => Err(SignerFault::new("the token was pulled")),
            Then::Panics => panic!("as the test wants it"),
        }
    }

    /// Number of requests.
    pub fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }
}

impl RemoteSigner for TestSigner {
    fn kid(&self) -> KeyId {
        self.key.verifying_key().kid()
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        if self.answer()? == Then::SignsWrongly {
            return Ok([0; 64]);
        }
        let mut key = &self.key;
        key.sign_digest(digest).map_err(|never| match never {})
    }
}

impl RemoteAuthenticator for TestAuthenticator {
    fn kid(&self) -> KeyId {
        self.key.kid()
    }

    fn authenticate(&self, message: &MacStructure<'_>) -> Result<Secret<32>, SignerFault> {
        match self.answer()? {
            Then::SignsWrongly => return Ok(Secret::zeroed()),
            Then::TakesAtMost(most) if message.len() > most => {
                return Err(SignerFault::refusing("the token takes no message of this length"));
            }
            _ => {}
        }
        let mut key = &self.key;
        key.authenticate(message).map_err(|never| match never {})
    }
}

impl RemoteAgreement for TestAgreement {
    fn kid(&self) -> KeyId {
        self.key.public_key().kid()
    }

    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        if self.answer()? == Then::SignsWrongly {
            return Ok(Secret::zeroed());
        }
        let mut key = &self.key;
        key.agree(peer).map_err(|never| match never {})
    }

    fn self_test(&self) -> Result<(), SignerFault> {
        match self.answer()? {
            Then::SignsWrongly => Err(SignerFault::new("the token calculated wrongly")),
            _ => Ok(()),
        }
    }
}
