//! A signing key that counts its signatures, and that a test can hold up, make fail or make panic.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::panic)]

use std::sync::{Condvar, Mutex};

use taskseal::keyring::{RemoteSigner, SignerFault};
use taskseal_core::keys::SigningKey;
use taskseal_core::{KeyId, Signer};

/// As slow as a token, for as long as a test wants.
#[derive(Debug)]
pub struct TestSigner {
    key: SigningKey,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asked: usize,
    held: bool,
    then: Then,
}

/// What comes of asking for a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Then {
    #[default]
    Signs,
    Fails,
    Panics,
}

impl TestSigner {
    /// Signs at once.
    #[must_use]
    pub fn new(key: SigningKey) -> Self {
        Self { key, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Lets whoever asks wait until it is [let go](Self::let_go).
    pub fn hold(&self) {
        self.state.lock().unwrap().held = true;
    }

    /// Answers those who wait, and from now on at once.
    pub fn let_go(&self) {
        self.state.lock().unwrap().held = false;
        self.changed.notify_all();
    }

    /// What comes of asking from now on.
    pub fn from_now_on(&self, then: Then) {
        self.state.lock().unwrap().then = then;
    }

    /// Waits while it is held; says what is to come of it.
    fn asked_for_one(&self) -> Then {
        let mut state = self.state.lock().unwrap();
        state.asked += 1;
        self.changed.wait_while(state, |state| state.held).unwrap().then
    }

    /// How often it was asked for a signature.
    pub fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }
}

impl RemoteSigner for TestSigner {
    fn kid(&self) -> KeyId {
        self.key.verifying_key().kid()
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        match self.asked_for_one() {
            Then::Signs => {
                let mut key = &self.key;
                key.sign_digest(digest).map_err(|never| match never {})
            }
            Then::Fails => Err(SignerFault::new("the token was pulled")),
            Then::Panics => panic!("as the test wants it"),
        }
    }
}
