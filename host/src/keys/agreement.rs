//! Key agreement keys, which decrypt bodies of suite SP: in memory, or kept elsewhere.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use taskseal_core::keys::{AgreementKey, AgreementPublicKey, POINT_LEN};
use taskseal_core::{Agree, KeyId, Secret};

use super::signer::SignerFault;

/// A P-256 key agreement key kept elsewhere: in a token or in a key service.
///
/// Calls may block; async code makes them on blocking threads.
pub trait RemoteAgreement: Send + Sync + fmt::Debug {
    /// Returns the kid of the key.
    fn kid(&self) -> KeyId;

    /// Returns the public key as an uncompressed point, if the key can say it.
    fn public_point(&self) -> Option<[u8; POINT_LEN]> {
        None
    }

    /// Returns the x-coordinate of the point shared with `peer`.
    ///
    /// # Errors
    /// [`SignerFault`]. The task stays sealed then, and may be retried.
    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault>;

    /// Tests the key against a key pair generated for the test, whose shared secret is known.
    ///
    /// Called when an authentic body does not decrypt, to tell a faulty token from a task that was sealed wrongly. A token
    /// that fails must be taken out of use until it passes.
    ///
    /// # Errors
    /// [`SignerFault`] if the answer is wrong or missing. The task stays sealed then, and may be retried.
    ///
    /// # Security
    /// The verdict must depend only on the key and its token. If it depended on received data, a producer of wrongly sealed
    /// tasks could take a good token out of use.
    fn self_test(&self) -> Result<(), SignerFault>;
}

/// One decryption key of a [`Keyring`](super::Keyring).
#[derive(Debug)]
pub(super) enum Agreement {
    Software(Box<AgreementKey>),
    Remote(RemoteKey),
}

/// A key kept elsewhere, and the time of its last self-test that passed.
#[derive(Debug)]
pub(super) struct RemoteKey {
    pub(super) key: Arc<dyn RemoteAgreement>,
    /// Locked during a test, so that one runs at a time.
    passed: Mutex<Option<Instant>>,
}

impl RemoteKey {
    pub(super) const fn new(key: Arc<dyn RemoteAgreement>) -> Self {
        Self { key, passed: Mutex::new(None) }
    }

    /// Returns whether the key passes its self-test, or has passed it in the last [`TEST_VALID_FOR`]. A producer of wrongly sealed
    /// tasks could otherwise make the token test its key for each of them.
    pub(super) fn is_sound(&self, now: impl Fn() -> Instant) -> bool {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.is_some_and(|at| now().saturating_duration_since(at) < TEST_VALID_FOR) {
            return true;
        }
        *passed = self.key.self_test().is_ok().then(now);
        passed.is_some()
    }
}

/// How long a self-test that passed is not repeated.
pub(super) const TEST_VALID_FOR: Duration = Duration::from_secs(5);

/// Implemented for the reference, so that many threads can decrypt with one key.
impl Agree for &Agreement {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        match self {
            Agreement::Software(key) => key.public_key().kid(),
            Agreement::Remote(remote) => remote.key.kid(),
        }
    }

    fn agree(&mut self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        match self {
            Agreement::Software(key) => {
                let mut key: &AgreementKey = key;
                key.agree(peer).map_err(|never| match never {})
            }
            Agreement::Remote(remote) => remote.key.agree(peer),
        }
    }
}
