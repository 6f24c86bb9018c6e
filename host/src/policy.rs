//! What a host accepts: the only place that fills the policies of the core.
//!
//! [`PolicySettings`] holds for all task types. A policy file has rules for single types ([`TypeRules`]). A [`PolicySet`] is both
//! together: a worker decides by one for each batch of tasks.

mod file;
mod fingerprint;
mod mode;
mod quota;
mod rule;
mod set;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use taskseal_core::{Audience, NameSet, Policy, SuiteSet};

pub use self::fingerprint::Fingerprint;
pub use self::mode::Mode;
pub use self::quota::IssuerQuota;
pub use self::rule::{TypeRule, Violation};
pub use self::set::{DefaultAction, PolicySet, RuleChoice, TypeRules};
use crate::config::value;

/// What a worker accepts as a task and a client as a result: the section `[policy]` of `taskseal.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicySettings {
    /// The file with the rules of task types. `None`: there are none, and every type is accepted that has a handler.
    pub file: Option<PathBuf>,
    /// Accepted suites. SE and SP by default: signed and encrypted.
    #[serde(deserialize_with = "value::suites")]
    pub suites: SuiteSet,
    /// Whether tasks are accepted whose signature also covers others. Off by default.
    pub batches: bool,
    /// Whether tasks of issuers without a clock are accepted. They do not expire, so the replay ledger keeps them
    /// permanently. Off by default.
    pub clockless: bool,
    /// Tolerated difference between two clocks. 60 seconds by default, at most [`Policy::MAX_SKEW`].
    #[serde(deserialize_with = "value::seconds::<_, 0, 300>")]
    pub skew: Duration,
    /// Maximum lifetime of a task. 24 hours by default.
    #[serde(deserialize_with = "value::seconds::<_, 1, { value::YEAR }>")]
    pub max_lifetime: Duration,
    /// Maximum size of a body, in bytes. 1 MiB by default.
    #[serde(deserialize_with = "value::size::<_, { taskseal_core::MAX_BODY as u64 }>")]
    pub max_body: usize,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            file: None,
            suites: SuiteSet::SIGNED_AND_ENCRYPTED,
            batches: false,
            clockless: false,
            skew: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(24 * 3600),
            max_body: 1 << 20,
        }
    }
}

impl PolicySettings {
    /// Returns the policy for tasks of one queue whose types are in `types`.
    #[must_use]
    pub fn for_tasks<'a>(&self, audience: Audience<'a>, types: NameSet<'a>) -> Policy<'a> {
        let mut policy = self.limit(Policy::for_tasks(audience));
        policy.types = types;
        policy.accept_batches = self.batches;
        policy.accept_clockless = self.clockless;
        policy.max_lifetime = self.max_lifetime.as_secs();
        policy
    }

    /// Returns the policy for the result of the request whose envelope has this SHA-256 digest.
    #[must_use]
    pub fn for_results<'a>(&self, audience: Audience<'a>, request: [u8; 32]) -> Policy<'a> {
        let mut policy = self.limit(Policy::for_result(audience, request));
        // Whether a worker signs its results one by one or in batches does not concern the client.
        policy.accept_batches = true;
        policy
    }

    fn limit<'a>(&self, mut policy: Policy<'a>) -> Policy<'a> {
        policy.suites = self.suites;
        policy.max_body = self.max_body;
        policy.skew = u32::try_from(self.skew.as_secs()).unwrap_or(Policy::MAX_SKEW);
        policy
    }
}
