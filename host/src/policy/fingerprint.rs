//! The fingerprint of a policy: equal on hosts that accept the same tasks, however their files are written.

use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};
use taskseal_core::{Suite, SuiteSet};

use super::{DefaultAction, IssuerQuota, PolicySettings, TypeRule, TypeRules};

/// SHA-256 of the canonical form of a policy. `Display` shows its first 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(super) fn of(settings: &PolicySettings, rules: &TypeRules) -> Fingerprint {
    Fingerprint(Sha256::digest(canonical(settings, rules)).into())
}

/// Returns one line for the settings, one for each rule, and one for each quota, in the order of the patterns. Neither a pattern nor a name contains
/// a space or a line break, so that no two policies have the same form.
fn canonical(settings: &PolicySettings, rules: &TypeRules) -> String {
    let default = match rules.default_action() {
        DefaultAction::Allow => "allow",
        DefaultAction::Deny => "deny",
    };
    let mut text = format!("taskseal-policy-1 default={default}");
    push_settings(&mut text, settings);
    let _ = write!(text, " clockless={} skew={}", settings.clockless, settings.skew.as_secs());
    let mut sorted: Vec<&TypeRule> = rules.all().iter().collect();
    sorted.sort_by(|a, b| a.pattern.cmp(&b.pattern));
    for rule in sorted {
        let _ = write!(text, "\n{}", rule.pattern);
        push_settings(&mut text, &rule.settings(settings));
        push_rule(&mut text, rule);
    }
    let mut quotas: Vec<&IssuerQuota> = rules.quotas().iter().collect();
    quotas.sort_by(|a, b| a.issuer.cmp(&b.issuer));
    for quota in quotas {
        let _ = write!(text, "\nissuer {} tasks_per_minute={}", quota.issuer, quota.tasks_per_minute);
    }
    text
}

fn push_settings(text: &mut String, settings: &PolicySettings) {
    let _ = write!(
        text,
        " suites={} batches={} max_lifetime={} max_body={}",
        suites(settings.suites).join(","),
        settings.batches,
        settings.max_lifetime.as_secs(),
        settings.max_body
    );
}

fn push_rule(text: &mut String, rule: &TypeRule) {
    if let Some(issuers) = &rule.issuers {
        push_list(text, "issuers", issuers.split(' '));
    }
    if let Some(queues) = &rule.queues {
        push_list(text, "queues", queues);
    }
    if let Some(kids) = &rule.kids {
        push_list(text, "kids", kids);
    }
    let _ = write!(text, " mode={}", rule.mode);
    if let Some(until) = rule.until {
        let _ = write!(text, " until={}", until.0);
    }
    if rule.detached {
        text.push_str(" detached=true");
    }
    if let Some(max_age) = rule.max_age {
        let _ = write!(text, " max_age={}", max_age.as_secs());
    }
}

/// Adds a list in a fixed order, each value once. Values may contain a comma, so each is preceded by its field.
fn push_list(text: &mut String, field: &str, values: impl IntoIterator<Item = impl ToString>) {
    let mut sorted: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    sorted.sort();
    sorted.dedup();
    let _ = write!(text, " {field}:{}", sorted.len());
    for value in sorted {
        let _ = write!(text, " {field}={value}");
    }
}

/// Returns the short names of suites.
pub(super) fn suites(suites: SuiteSet) -> Vec<&'static str> {
    let accepted = Suite::ALL.into_iter().filter(|suite| suites.contains(*suite));
    accepted.map(Suite::short_name).collect()
}
