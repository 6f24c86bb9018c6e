//! The checks, in the order of the worker. Each is made, also after one that fails, as far as that is possible.

mod ledger;
mod sealed;
mod unsealed;

use serde_json::Value;
use taskseal::config::Config;
use taskseal_core::{OpenError, Refusal, Unverified};

use super::source::Source;
use crate::failure::Failure;
use crate::output::json;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Refused(Refusal),
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

    fn verdict(&self) -> &'static str {
        match self.outcome {
            Outcome::Accepted => "ok",
            Outcome::Refused(refusal) => refusal.code(),
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

/// Makes every check of a task.
pub(super) fn all(config: &Config, source: &Source) -> Result<Vec<Check>, Failure> {
    let required = "one envelope and nothing else";
    match Unverified::parse(&source.bytes) {
        Ok(envelope) => {
            let form = Check::new("form", true, Refusal::Malformed, "an envelope", required);
            let mut checks = vec![form];
            checks.extend(sealed::checks(config, source, envelope)?);
            Ok(checks)
        }
        Err(OpenError::Refused(refusal)) => {
            // Only such a payload may run by its mode: a damaged envelope does not.
            if taskseal::worker::is_unsealed(&source.bytes) {
                return unsealed::checks(config, source);
            }
            Ok(vec![Check::new("form", false, refusal, refusal.to_string(), required)])
        }
        Err(error) => Err(Failure::new(error.to_string())),
    }
}
