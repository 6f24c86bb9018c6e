//! What a worker asks the ledger.

use std::time::Duration;

use crate::time::UnixMillis;

/// The identity of a task: its issuer and the id that the issuer chose. Both are signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct TaskKey {
    /// Issuer that sealed the task.
    pub issuer: String,
    /// Task id.
    pub task_id: [u8; 16],
}

/// A verified task that a worker wants to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct ReplayQuery {
    /// Issuer that sealed the task.
    pub issuer: String,
    /// Task id.
    pub task_id: [u8; 16],
    /// SHA-256 of the whole envelope: two envelopes with one id are a conflict, not a redelivery.
    pub digest: [u8; 32],
    /// When the issuer sealed it, according to its signed claims. `None` if the issuer has no clock.
    pub issued_at: Option<UnixMillis>,
    /// When no worker accepts the task any longer: its expiry and the tolerance for clock skew.
    pub expires_at: UnixMillis,
    /// Maximum number of attempts, the first included; signed by the issuer.
    pub max_attempts: u32,
    /// How long after the first attempt another may begin; signed by an issuer that has no clock to set an expiry by.
    pub ttl: Option<Duration>,
}

impl ReplayQuery {
    /// Returns the identity of the task.
    #[must_use]
    pub fn key(&self) -> TaskKey {
        TaskKey { issuer: self.issuer.clone(), task_id: self.task_id }
    }
}
