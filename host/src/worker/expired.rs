//! Authentic tasks that come after their expiry. They never run; but one that has ended, and whose end the queue never
//! heard of, is settled now, or it would pass for one that was never done.

use std::time::Duration;

use sha2::{Digest, Sha256};
use taskseal_core::{Refusal, Unverified};

use super::intake::retention;
use super::refuse::Refused;
use super::settle::End;
use crate::keys::Keyring;
use crate::replay::{Decision, ReplayQuery, TaskKey};
use crate::time::UnixMillis;

/// An expired task with a good signature.
#[derive(Debug)]
pub(super) struct Expired {
    key: TaskKey,
    digest: [u8; 32],
    retention: Duration,
    refused: Refused,
}

impl Expired {
    /// `unverified` was refused as expired, which comes after its signature was verified.
    pub(super) fn new(unverified: &Unverified<'_>, envelope: &[u8], keyring: &Keyring) -> Self {
        let claims = unverified.danger_claims_unverified();
        Self {
            key: TaskKey { issuer: claims.issuer.to_string(), task_id: *claims.task_id.as_bytes() },
            digest: Sha256::digest(envelope).into(),
            retention: retention(claims),
            refused: Refused::new(Refusal::Expired, Some(unverified), keyring),
        }
    }

    /// Asks and claims nothing: a task that may be started no time at all is never admitted.
    pub(super) fn sighting(&self) -> ReplayQuery {
        ReplayQuery {
            issuer: self.key.issuer.clone(),
            task_id: self.key.task_id,
            digest: self.digest,
            expires_at: UnixMillis(i64::MAX),
            max_attempts: 0,
            ttl: None,
        }
    }

    /// What becomes of it.
    pub(super) fn end(self, key: TaskKey, admission: Decision) -> End {
        match admission {
            Decision::Finished { outcome } => End::SettledAgain { key, outcome, retention: self.retention },
            // It was in time when that run began.
            Decision::InProgress { until } => End::PutOff { at: until, claimed: None },
            _ => End::Refused { refused: self.refused, claimed: None },
        }
    }
}
