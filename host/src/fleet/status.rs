//! What a process states about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::keys::Keyring;
use crate::policy::{Mode, PolicySet, TypeRules};
use crate::time::{UnixMillis, unix_seconds};

/// Version of the format of a status.
pub(super) const VERSION: u32 = 1;

/// What a process states about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "the worker and the tests set every field")]
pub struct ProcessStatus {
    /// Version of this format: 1.
    pub v: u32,
    /// What it does.
    pub role: Role,
    /// The issuer of its results or tasks.
    pub id: String,
    /// Name of its host.
    pub host: String,
    /// Number of the process on its host.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// When it started, in seconds of Unix time.
    pub started_at: u64,
    /// When it stated this, in seconds of Unix time.
    pub at: u64,
    /// Queues that it takes tasks from.
    pub queues: Vec<String>,
    /// Sequence number of its keyset; `None` if that is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Fingerprint of its keyset.
    pub keyset: String,
    /// Fingerprint of its policy.
    pub policy: String,
    /// Task types whose mode is not `enforce`, and their modes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modes: BTreeMap<String, String>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Seals tasks.
    Producer,
    /// Runs tasks.
    Worker,
}

impl Role {
    /// Returns the word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Worker => "worker",
        }
    }
}

impl ProcessStatus {
    /// Creates the status of this process, without queues and policy.
    #[must_use]
    pub fn of_this_process(role: Role, id: &str, started_at: u64, keyring: &Keyring) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            v: VERSION,
            role,
            id: id.to_owned(),
            host,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at,
            at: unix_seconds(),
            queues: Vec::new(),
            sequence: keyring.head().map(|head| head.sequence),
            keyset: keyring.fingerprint(),
            policy: String::new(),
            modes: BTreeMap::new(),
        }
    }

    /// Sets fingerprint and modes of the policy.
    #[must_use]
    pub fn with_policy(mut self, policy: &PolicySet, rules: &TypeRules) -> Self {
        self.policy = policy.fingerprint().to_string();
        let modes = rules.modes_at(UnixMillis::now()).into_iter();
        let modes = modes.filter(|(_, mode)| *mode != Mode::Enforce);
        self.modes = modes.map(|(pattern, mode)| (pattern, mode.name().to_owned())).collect();
        self
    }

    /// Returns the name under which the broker stores it: one for each process.
    #[must_use]
    pub fn process(&self) -> String {
        format!("{}:{}:{}:{}", self.role.as_str(), self.id, self.host, self.pid)
    }
}
