//! Signing keys in a service: each signature is verified before it is used.

use std::fmt;

use p256::ecdsa::Signature;
use taskseal::keys::{RemoteSigner, SignerFault};
use taskseal_core::keys::VerifyingKey;
use taskseal_core::{KeyId, Provider as _, Software};

use crate::attempts::retrying;
use crate::fault::Fault;
use crate::public_key::Point;
use crate::timeouts::{Deadline, Timeouts};

/// A key of a service that signs.
pub(crate) trait SigningService: Send + Sync + fmt::Debug {
    /// Reads the public key. Fails if the key is not for ES256.
    fn verifying_point(&self, deadline: &Deadline) -> Result<Point, Fault>;

    /// Signs a SHA-256 digest.
    fn sign(&self, digest: &[u8; 32], deadline: &Deadline) -> Result<Signature, Fault>;
}

/// An ES256 key in a service.
#[derive(Debug)]
pub(crate) struct ServiceSigner<S> {
    service: S,
    key: VerifyingKey,
    timeouts: Timeouts,
}

impl<S: SigningService> ServiceSigner<S> {
    /// Reads the public key, and has the key sign a digest, so that a missing permission is found now.
    pub(crate) fn open(service: S, timeouts: Timeouts) -> Result<Self, Fault> {
        let point = retrying(&timeouts, |deadline| service.verifying_point(deadline))?;
        let key = VerifyingKey::from_point(&point)
            .map_err(|_| Fault::faulty_answer("the public key is not on the curve"))?;
        let signer = Self { service, key, timeouts };
        signer.sign_verified(&SELF_TEST)?;
        Ok(signer)
    }

    fn sign_verified(&self, digest: &[u8; 32]) -> Result<[u8; 64], Fault> {
        retrying(&self.timeouts, |deadline| {
            // Verifiers refuse the larger of the two values of `s`.
            let signature = self.service.sign(digest, deadline)?.normalize_s().to_bytes().into();
            match Software.verify_es256(&self.key, digest, &signature) {
                Ok(()) => Ok(signature),
                Err(_) => Err(self.explain(deadline)),
            }
        })
    }

    /// Returns why a signature does not verify: the name leads to another key, or the answer is wrong.
    fn explain(&self, deadline: &Deadline) -> Fault {
        match self.service.verifying_point(deadline) {
            Ok(point) if point == self.key.to_point() => {
                Fault::faulty_answer("the signature does not verify with the public key of the key")
            }
            Ok(point) => {
                Fault::replaced(self.key.kid(), VerifyingKey::from_point(&point).ok().map(|key| key.kid()))
            }
            Err(fault) => fault,
        }
    }
}

impl<S: SigningService> RemoteSigner for ServiceSigner<S> {
    fn kid(&self) -> KeyId {
        self.key.kid()
    }

    fn public_point(&self) -> Option<Point> {
        Some(self.key.to_point())
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        self.sign_verified(digest).map_err(Fault::into_signer_fault)
    }
}

/// SHA-256 of `taskseal-cloud self-test`. No signed structure starts with a letter, so this signature is of no use.
const SELF_TEST: [u8; 32] = [
    0x69, 0xbb, 0xf5, 0x6d, 0x2e, 0x22, 0x72, 0x93, 0x36, 0xdc, 0x9e, 0x54, 0x39, 0x04, 0x33, 0x94, 0x46,
    0xd2, 0x5f, 0x61, 0xb1, 0x97, 0xdd, 0x85, 0x9d, 0xcb, 0x82, 0x96, 0xcb, 0x5a, 0x72, 0xa8,
];
