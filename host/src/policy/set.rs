//! The settings of all task types and the rules of single ones, as one value that a worker decides by.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use taskseal_core::claims::Claims;
use taskseal_core::{Audience, KeyId, NameSet, Policy, Suite, SuiteSet};

use super::quota::precedence;
use super::rule::Verified;
use super::{Fingerprint, IssuerQuota, Mode, PolicySettings, TypeRule, Violation, fingerprint};
use crate::file_error::FileError;
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// What holds for a task type without a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefaultAction {
    /// Its tasks are accepted by the settings that hold for all types.
    #[default]
    Allow,
    /// Its tasks are refused.
    Deny,
}

/// The rules of a policy file. By default there is none, and no type is denied. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct TypeRules(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    file: Option<PathBuf>,
    default: DefaultAction,
    rules: Vec<TypeRule>,
    quotas: Vec<IssuerQuota>,
}

/// The rule that a task type has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleChoice<'a> {
    /// A rule.
    Rule(&'a TypeRule),
    /// None: the settings that hold for all types decide.
    Settings,
    /// None: the type is denied.
    Denied,
}

impl RuleChoice<'_> {
    /// Returns whether the type has no rule.
    #[must_use]
    pub const fn is_none(self) -> bool {
        !matches!(self, Self::Rule(_))
    }
}

impl TypeRules {
    /// Creates the rules of a policy file.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn new(file: PathBuf, default: DefaultAction, rules: Vec<TypeRule>) -> Self {
        Self::with_quotas(file, default, rules, Vec::new())
    }

    /// Creates the rules of a policy file that also limits issuers.
    #[must_use]
    pub(crate) fn with_quotas(
        file: PathBuf,
        default: DefaultAction,
        rules: Vec<TypeRule>,
        quotas: Vec<IssuerQuota>,
    ) -> Self {
        Self(Arc::new(Rules { file: Some(file), default, rules, quotas }))
    }

    /// Returns the quotas of issuers, in the order of the file.
    #[must_use]
    pub fn quotas(&self) -> &[IssuerQuota] {
        &self.0.quotas
    }

    /// Returns the quota of an issuer.
    #[must_use]
    pub fn quota_of(&self, issuer: &str) -> Option<&IssuerQuota> {
        let quotas = self.0.quotas.iter();
        let matching = quotas.filter_map(|quota| Some((precedence(&quota.issuer, issuer)?, quota)));
        matching.max_by_key(|(precedence, _)| *precedence).map(|(_, quota)| quota)
    }

    /// Returns the file that they were read from.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        self.0.file.as_ref()
    }

    /// Returns what holds for a type without a rule.
    #[must_use]
    pub fn default_action(&self) -> DefaultAction {
        self.0.default
    }

    /// Returns the rules, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[TypeRule] {
        &self.0.rules
    }

    /// Returns the mode of each pattern at a time.
    #[must_use]
    pub fn modes_at(&self, now: UnixMillis) -> Vec<(String, Mode)> {
        self.0.rules.iter().map(|rule| (rule.pattern.clone(), rule.mode_at(now))).collect()
    }

    /// Returns the rule of a task type.
    #[must_use]
    pub fn choose(&self, task_type: &str) -> RuleChoice<'_> {
        let matching = self.0.rules.iter().filter_map(|rule| Some((rule.precedence(task_type)?, rule)));
        match (matching.max_by_key(|(precedence, _)| *precedence), self.0.default) {
            (Some((_, rule)), _) => RuleChoice::Rule(rule),
            (None, DefaultAction::Allow) => RuleChoice::Settings,
            (None, DefaultAction::Deny) => RuleChoice::Denied,
        }
    }
}

/// The policy of a host: what holds for all task types, and the rules of single ones. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    settings: Arc<PolicySettings>,
    rules: TypeRules,
}

impl PolicySet {
    /// Creates a policy.
    #[must_use]
    pub fn new(settings: PolicySettings, rules: TypeRules) -> Self {
        Self { settings: Arc::new(settings), rules }
    }

    /// Returns what holds for all task types.
    #[must_use]
    pub fn settings(&self) -> &PolicySettings {
        &self.settings
    }

    /// Returns the rules of single types.
    #[must_use]
    pub fn rules(&self) -> &TypeRules {
        &self.rules
    }

    /// Returns the settings of one task type.
    #[must_use]
    pub fn settings_of(&self, rule: &TypeRule) -> PolicySettings {
        rule.settings(&self.settings)
    }

    /// Returns what the core checks of a task of one queue that states `task_type`, if the types in `handled` have a handler.
    ///
    /// # Security
    /// The type may be unverified: the signature covers it, so a task that states another type is not authentic. The core checks
    /// what does not depend on further claims; [`check`](Self::check) checks the others.
    #[must_use]
    pub fn for_task<'a>(&self, task_type: &str, audience: Audience<'a>, handled: NameSet<'a>) -> Policy<'a> {
        let mut policy = self.settings.for_tasks(audience, handled);
        if let RuleChoice::Rule(rule) = self.rules.choose(task_type) {
            rule.apply(&mut policy);
        }
        policy
    }

    /// Returns what the core checks of a task with a detached envelope, as [`for_task`](Self::for_task) does. `mode_of` returns the
    /// mode that holds for a rule. Suite S is accepted if the rule accepts clear bodies, whatever suites it accepts besides.
    #[must_use]
    pub fn for_detached_task<'a>(
        &self,
        task_type: &str,
        audience: Audience<'a>,
        handled: NameSet<'a>,
        mode_of: impl FnOnce(&TypeRule) -> Mode,
    ) -> Policy<'a> {
        let mut policy = self.for_task(task_type, audience, handled);
        policy.suites = match self.rules.choose(task_type) {
            RuleChoice::Rule(rule) if rule.accepts_detached(mode_of(rule)) => SuiteSet::NONE.with(Suite::S),
            _ => SuiteSet::NONE,
        };
        policy
    }

    /// Checks the verified claims of a task that `kid` has sealed, taken from `queue` at the Unix time `now`.
    ///
    /// # Errors
    /// [`Violation`] if the rule of its type does not accept it, or if it needs a rule and has none.
    pub fn check(
        &self,
        claims: &Claims<'_>,
        kid: KeyId,
        queue: &QueueName,
        now: u64,
    ) -> Result<(), Violation> {
        match self.rules.choose(claims.task_type.as_str()) {
            RuleChoice::Rule(rule) => {
                let checked = rule.check(&Verified { claims, kid, queue, now, skew: self.settings.skew });
                checked.map_err(|violation| self.located(violation, Some(rule)))
            }
            RuleChoice::Settings => Ok(()),
            RuleChoice::Denied => Err(self.located(Violation::no_rule(claims.task_type.as_str()), None)),
        }
    }

    /// Checks the queue from which a task of a rule was taken.
    pub(crate) fn check_queue(&self, rule: &TypeRule, queue: &QueueName) -> Result<(), Violation> {
        rule.check_queue(queue).map_err(|violation| self.located(violation, Some(rule)))
    }

    fn located(&self, violation: Violation, rule: Option<&TypeRule>) -> Violation {
        violation.at(self.rules.file().map(PathBuf::as_path), rule.and_then(|rule| rule.line))
    }

    /// Reads the policy file again. The settings of all types stay: they are part of the configuration.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be used, or has lost all its rules.
    pub(crate) fn reload(&self) -> Result<Self, FileError> {
        let Some(file) = self.rules.file() else { return Ok(self.clone()) };
        let rules = TypeRules::load(file)?;
        if rules.all().is_empty() && !self.rules.all().is_empty() {
            return Err(FileError::new(file, "the policy file has lost all its rules").hint(
                "restore its [[type]] entries; if all types shall be without a rule, restart the worker",
            ));
        }
        Ok(Self { settings: Arc::clone(&self.settings), rules })
    }

    /// Returns the Unix time in seconds from which the task does not run: its expiry, or the end of its maximum age if that is
    /// earlier.
    #[must_use]
    pub fn ends_at(&self, claims: &Claims<'_>) -> Option<u64> {
        let RuleChoice::Rule(TypeRule { max_age: Some(max_age), .. }) =
            self.rules.choose(claims.task_type.as_str())
        else {
            return claims.expires_at;
        };
        let oldest = claims.issued_at.map(|issued_at| issued_at.saturating_add(max_age.as_secs()));
        claims.expires_at.into_iter().chain(oldest).min()
    }

    /// Returns the size of the largest body that any task type may have, in bytes.
    #[must_use]
    pub fn largest_body(&self) -> usize {
        let rules = self.rules.all().iter().filter_map(|rule| rule.max_body);
        rules.fold(self.settings.max_body, usize::max)
    }

    /// Returns the tolerated difference between two clocks.
    #[must_use]
    pub fn skew(&self) -> Duration {
        self.settings.skew
    }

    /// Returns whether another policy accepts the same tasks.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_shared =
            Arc::ptr_eq(&self.settings, &other.settings) && Arc::ptr_eq(&self.rules.0, &other.rules.0);
        is_shared || self.fingerprint() == other.fingerprint()
    }

    /// Returns a value that two hosts with the same policy have in common.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint::of(&self.settings, &self.rules)
    }
}

#[cfg(test)]
mod tests;
