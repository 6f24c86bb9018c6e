//! The checks, in the order of the worker. Each is made, also after one that fails, as far as that is possible.

mod ledger;
mod sealed;
mod unsealed;

use serde_json::Value;
use taskseal::config::Config;
use taskseal::worker::is_unsealed;
use taskseal_core::{OpenError, Refusal};

use super::source::Source;
use crate::failure::Failure;
use crate::output::json;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Refused(Refusal),
    /// The task has run and succeeded, and is settled.
    Ran,
    /// This host cannot know, or an earlier check makes it void.
    Unknown,
}

/// One check.
#[derive(Debug)]
pub(super) struct Check {
    /// Stable name.
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    found: String,
    required: String,
}

impl Check {
    fn new(
        name: &'static str,
        accepted: bool,
        refusal: Refusal,
        found: impl Into<String>,
        required: impl Into<String>,
    ) -> Self {
        let outcome = if accepted { Outcome::Accepted } else { Outcome::Refused(refusal) };
        Self { name, outcome, found: found.into(), required: required.into() }
    }

    fn unknown(name: &'static str, found: impl Into<String>, required: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Unknown, found: found.into(), required: required.into() }
    }

    fn ran(name: &'static str, found: impl Into<String>, required: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Ran, found: found.into(), required: required.into() }
    }

    fn verdict(&self) -> &'static str {
        match self.outcome {
            Outcome::Accepted => "ok",
            Outcome::Refused(refusal) => refusal.code(),
            Outcome::Ran => "ran",
            Outcome::Unknown => "unknown",
        }
    }

    pub(super) fn row(&self) -> [String; 4] {
        [self.name.to_owned(), self.verdict().to_owned(), self.found.clone(), self.required.clone()]
    }

    pub(super) fn object(&self) -> Value {
        json::nested(vec![
            ("check", self.name.into()),
            ("verdict", self.verdict().into()),
            ("found", self.found.as_str().into()),
            ("required", self.required.as_str().into()),
        ])
    }
}

/// Returns the first check that refuses the task.
pub(super) fn refused(checks: &[Check]) -> Option<(&Check, Refusal)> {
    let (check, refusal) = first_refusal(checks)?;
    // With a clear body, a mode that lets unsealed tasks run is stronger than a refusal that does not prove its sender.
    let is_authentic = check.name == "ledger" || matches!(refusal, Refusal::Expired | Refusal::NotYetValid);
    (is_authentic || !runs_unsealed(checks)).then_some((check, refusal))
}

/// Returns whether the mode of the type lets the task run as an unsealed one.
pub(super) fn runs_unsealed(checks: &[Check]) -> bool {
    checks.last().is_some_and(|last| last.name == "mode" && last.outcome == Outcome::Accepted)
}

/// Returns the first check that refuses the seal, whatever the mode of the type lets run.
pub(super) fn first_refusal(checks: &[Check]) -> Option<(&Check, Refusal)> {
    checks.iter().find_map(|check| match check.outcome {
        Outcome::Refused(refusal) => Some((check, refusal)),
        _ => None,
    })
}

/// Returns whether the task may be put off because of a quota that only the running workers count.
pub(super) fn has_quota(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.name == QUOTA)
}

/// Name of the check of the quota of an issuer.
const QUOTA: &str = "quota";

/// Makes every check of a task.
pub(super) fn all(config: &Config, source: &Source) -> Result<Vec<Check>, Failure> {
    let mut checks = match source.envelope() {
        Ok(envelope) => {
            let found =
                if envelope.is_detached() { "a detached envelope and its body" } else { "an envelope" };
            let mut checks = vec![Check::new("form", true, Refusal::Malformed, found, FORM)];
            checks.extend(sealed::checks(config, source, envelope)?);
            checks
        }
        // Only such a payload may run by its mode: a damaged envelope does not.
        Err(OpenError::Refused(_)) if !source.is_detached() && is_unsealed(&source.bytes) => {
            return unsealed::checks(config, source);
        }
        Err(OpenError::Refused(refusal)) => {
            vec![Check::new("form", false, refusal, refusal.to_string(), FORM)]
        }
        Err(error) => return Err(Failure::new(error.to_string())),
    };
    if source.is_detached() && is_unsealed(&source.bytes) && refused(&checks).is_some() {
        checks.extend(unsealed::checks(config, source)?);
    }
    Ok(checks)
}

const FORM: &str = "one envelope and nothing else";
