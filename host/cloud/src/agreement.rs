//! Key agreement keys in a service.

use std::fmt;

use getrandom::SysRng;
use rand_core::TryRng as _;
use taskseal::keys::{RemoteAgreement, SignerFault};
use taskseal_core::keys::AgreementPublicKey;
use taskseal_core::{KeyId, Provider as _, Secret, Software, tags_match};

use crate::attempts::retrying;
use crate::fault::Fault;
use crate::public_key::Point;
use crate::timeouts::{Deadline, Timeouts};

/// A key of a service that agrees on secrets.
pub(crate) trait AgreementService: Send + Sync + fmt::Debug {
    /// Reads the public key. Fails if the key is not for ECDH on P-256.
    fn agreement_point(&self, deadline: &Deadline) -> Result<Point, Fault>;

    /// Returns the x-coordinate of the point shared with `peer`. In a box, so that a move leaves no copy.
    fn agree(&self, peer: &AgreementPublicKey, deadline: &Deadline) -> Result<Box<Secret<32>>, Fault>;
}

/// An ECDH key in a service.
#[derive(Debug)]
pub(crate) struct ServiceAgreement<S> {
    service: S,
    key: AgreementPublicKey,
    timeouts: Timeouts,
}

impl<S: AgreementService> ServiceAgreement<S> {
    /// Reads the public key and tests the key.
    pub(crate) fn open(service: S, timeouts: Timeouts) -> Result<Self, Fault> {
        let point = retrying(&timeouts, |deadline| service.agreement_point(deadline))?;
        let key = AgreementPublicKey::from_point(&point)
            .map_err(|_| Fault::faulty_answer("the public key is not on the curve"))?;
        let agreement = Self { service, key, timeouts };
        agreement.test()?;
        Ok(agreement)
    }

    fn shared_with(&self, peer: &AgreementPublicKey) -> Result<Box<Secret<32>>, Fault> {
        retrying(&self.timeouts, |deadline| self.service.agree(peer, deadline))
    }

    /// Agrees with an ephemeral key of this process and compares the results.
    fn test(&self) -> Result<(), Fault> {
        let mut scalar = Secret::zeroed();
        let (peer, expected) = loop {
            SysRng
                .try_fill_bytes(scalar.as_mut_bytes())
                .map_err(|_| Fault::refused("the random number generator of the operating system failed"))?;
            // Fails for about one scalar in 2^32.
            if let Some(pair) = Software.agree_ephemeral(&scalar, &self.key) {
                break pair;
            }
        };
        let shared = self.shared_with(&peer)?;
        if tags_match(shared.as_bytes(), expected.as_bytes()) { Ok(()) } else { Err(self.explain()) }
    }

    /// Returns why a shared secret is wrong: the name leads to another key, or the answer is wrong.
    fn explain(&self) -> Fault {
        match self.service.agreement_point(&self.timeouts.deadline()) {
            Ok(point) if point == self.key.to_point() => {
                Fault::faulty_answer("the shared secret does not match the public key of the key")
            }
            Ok(point) => {
                let found = AgreementPublicKey::from_point(&point).ok().map(|key| key.kid());
                Fault::replaced(self.key.kid(), found)
            }
            Err(fault) => fault,
        }
    }
}

impl<S: AgreementService> RemoteAgreement for ServiceAgreement<S> {
    fn kid(&self) -> KeyId {
        self.key.kid()
    }

    fn public_point(&self) -> Option<Point> {
        Some(self.key.to_point())
    }

    fn agree(&self, peer: &AgreementPublicKey) -> Result<Secret<32>, SignerFault> {
        let shared = self.shared_with(peer).map_err(Fault::into_signer_fault)?;
        Ok(Secret::copy_from(shared.as_bytes()))
    }

    fn self_test(&self) -> Result<(), SignerFault> {
        self.test().map_err(Fault::into_signer_fault)
    }
}
