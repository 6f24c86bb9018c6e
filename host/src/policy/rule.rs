//! The rule of one task type, and what it checks once the signature has proven the claims.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use taskseal_core::claims::Claims;
use taskseal_core::{KeyId, NameSet, Policy, Refusal, SuiteSet};

use super::quota::precedence;
use super::{Mode, PolicySettings};
use crate::queue::QueueName;
use crate::time::UnixMillis;

/// A rule for the task types of one pattern. What it does not state is as in [`PolicySettings`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeRule {
    /// The task type, or a prefix of task types followed by `*`.
    pub pattern: String,
    /// Accepted suites.
    pub suites: Option<SuiteSet>,
    /// Whether tasks are accepted whose signature also covers others.
    pub batches: Option<bool>,
    /// Patterns of the accepted issuers, in the form of a [`NameSet`].
    pub issuers: Option<String>,
    /// Queues from which such tasks are accepted.
    pub queues: Option<Vec<QueueName>>,
    /// Keys that may seal such tasks.
    pub kids: Option<Vec<KeyId>>,
    /// Maximum age of a task, counted from the time at which it was sealed.
    pub max_age: Option<Duration>,
    /// Maximum lifetime of a task.
    pub max_lifetime: Option<Duration>,
    /// Maximum size of a body, in bytes.
    pub max_body: Option<usize>,
    /// Whether unsealed tasks run.
    pub mode: Mode,
    /// When the mode becomes [`Mode::Enforce`].
    pub until: Option<UnixMillis>,
    /// Line of the rule in its file, from 1.
    pub line: Option<usize>,
    /// Whether signed tasks with a clear body are accepted in [`Mode::Enforce`] too.
    pub detached: bool,
}

/// Why a rule does not accept a verified task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The refusal.
    pub refusal: Refusal,
    /// What the rule requires.
    pub required: String,
    /// The policy file, with the line of the rule if there is one.
    place: Option<String>,
}

/// What a rule decides about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified<'a> {
    pub(super) claims: &'a Claims<'a>,
    pub(super) kid: KeyId,
    pub(super) queue: &'a QueueName,
    /// Unix time in seconds.
    pub(super) now: u64,
    pub(super) skew: Duration,
}

impl TypeRule {
    /// Returns the precedence among the rules for `task_type`, or `None` if the rule is not for that type. A whole type takes
    /// precedence over a prefix, and a longer prefix over a shorter one.
    pub(super) fn precedence(&self, task_type: &str) -> Option<usize> {
        precedence(&self.pattern, task_type)
    }

    /// Returns the mode that the rule states for a time.
    #[must_use]
    pub fn mode_at(&self, now: UnixMillis) -> Mode {
        match self.until {
            Some(until) if now >= until => Mode::Enforce,
            _ => self.mode,
        }
    }

    /// Returns whether signed tasks with a clear body are accepted in this mode. Those that let unsealed tasks run do.
    #[must_use]
    pub fn accepts_detached(&self, mode: Mode) -> bool {
        self.detached || mode < Mode::Enforce
    }

    /// Sets what the core checks.
    pub(super) fn apply(&self, policy: &mut Policy<'_>) {
        policy.suites = self.suites.unwrap_or(policy.suites);
        policy.accept_batches = self.batches.unwrap_or(policy.accept_batches);
        policy.max_lifetime = self.max_lifetime.map_or(policy.max_lifetime, |longest| longest.as_secs());
        policy.max_body = self.max_body.unwrap_or(policy.max_body);
    }

    /// Returns the settings of the types of this rule, with those of `defaults` that it does not state.
    pub(super) fn settings(&self, defaults: &PolicySettings) -> PolicySettings {
        let mut settings = defaults.clone();
        settings.suites = self.suites.unwrap_or(settings.suites);
        settings.batches = self.batches.unwrap_or(settings.batches);
        settings.max_lifetime = self.max_lifetime.unwrap_or(settings.max_lifetime);
        settings.max_body = self.max_body.unwrap_or(settings.max_body);
        settings
    }

    /// Checks claims that the signature has proven.
    pub(super) fn check(&self, task: &Verified<'_>) -> Result<(), Violation> {
        self.check_key(task.kid)?;
        self.check_issuer(task.claims.issuer.as_str())?;
        self.check_queue(task.queue)?;
        self.check_age(task)
    }

    fn check_key(&self, kid: KeyId) -> Result<(), Violation> {
        match &self.kids {
            Some(kids) if !kids.contains(&kid) => {
                Err(self.violation(Refusal::TypeNotAllowed, &format_args!("kid {}", joined(kids))))
            }
            _ => Ok(()),
        }
    }

    fn check_issuer(&self, issuer: &str) -> Result<(), Violation> {
        match &self.issuers {
            Some(issuers) if !NameSet::new(issuers).contains(issuer) => {
                let required = issuers.replace(' ', " or ");
                Err(self.violation(Refusal::IssuerNotAllowed, &format_args!("issuer {required}")))
            }
            _ => Ok(()),
        }
    }

    /// Checks the queue from which a task was taken.
    pub(super) fn check_queue(&self, queue: &QueueName) -> Result<(), Violation> {
        match &self.queues {
            Some(queues) if !queues.contains(queue) => {
                Err(self.violation(Refusal::AudienceNotAllowed, &format_args!("queue {}", joined(queues))))
            }
            _ => Ok(()),
        }
    }

    fn check_age(&self, Verified { claims, now, skew, .. }: &Verified<'_>) -> Result<(), Violation> {
        let Some(max_age) = self.max_age else { return Ok(()) };
        let Some(issued_at) = claims.issued_at else {
            return Err(self.violation(Refusal::ClockNotAllowed, &"the time at which the task was sealed"));
        };
        let ends = issued_at.saturating_add(max_age.as_secs()).saturating_add(skew.as_secs());
        if *now < ends {
            return Ok(());
        }
        let required = format_args!("an age of at most {} s", max_age.as_secs());
        Err(self.violation(Refusal::Expired, &required))
    }

    fn violation(&self, refusal: Refusal, required: &dyn fmt::Display) -> Violation {
        Violation::new(refusal, format!("{RULE_OF_TYPE}{} requires {required}", self.pattern))
    }
}

fn joined(values: &[impl fmt::Display]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "in an empty list".to_owned() } else { texts.join(" or ") }
}

/// Begins the text of a violation of a rule.
const RULE_OF_TYPE: &str = "the rule of type ";
/// Begins the text about a type that the policy file denies.
const NO_RULE: &str = "the policy file has no rule for type ";

impl Violation {
    /// Creates the violation of an unwritten or written rule.
    pub(crate) const fn new(refusal: Refusal, required: String) -> Self {
        Self { refusal, required, place: None }
    }

    /// Creates the violation of an unsealed task after sealed ones.
    pub(crate) fn sealed_before(rule: &TypeRule) -> Self {
        let required = format!(
            "the mode of type {} is \"prefer\", and sealed tasks were accepted from this queue",
            rule.pattern
        );
        Self::new(Refusal::Unsealed, required)
    }

    /// Returns whether another policy file, and nothing else, makes the task acceptable. Its age is no such violation: it grows.
    #[must_use]
    pub const fn is_of_deployment(&self) -> bool {
        matches!(
            self.refusal,
            Refusal::TypeNotAllowed | Refusal::IssuerNotAllowed | Refusal::AudienceNotAllowed
        )
    }

    /// Returns whether the detail of a refusal is about the rule of a type, and not about the rights of a key.
    #[doc(hidden)]
    #[must_use]
    pub fn is_described_by(detail: &str) -> bool {
        detail.contains(RULE_OF_TYPE) || detail.contains(NO_RULE)
    }

    /// Names the file, and the line of the rule.
    pub(super) fn at(mut self, file: Option<&Path>, line: Option<usize>) -> Self {
        self.place = file.map(|file| match line {
            Some(line) => format!("{}:{line}", file.display()),
            None => file.display().to_string(),
        });
        self
    }

    /// Creates the violation of a signed task with a clear body.
    pub(crate) fn clear_body(task_type: &str) -> Self {
        let required = format!(
            "the body is in clear: type {task_type} needs a rule with `detached = true`, or a mode other than \"enforce\""
        );
        Self::new(Refusal::SuiteNotAllowed, required)
    }

    /// Creates the violation of a task type without a rule.
    pub(super) fn no_rule(task_type: &str) -> Self {
        let required = format!("{NO_RULE}{task_type}, and its default is \"deny\"");
        Self::new(Refusal::TypeNotAllowed, required)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.required)?;
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}
