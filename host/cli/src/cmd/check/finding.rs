//! One line of the report.

use serde_json::{Value, json};
use taskseal::escape::Escaped;

use crate::failure::{Exit, Failure};
use crate::output::json;

/// Outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// An operator should know it; tasks can run.
    Warn,
    /// The check was not made.
    Skip,
    Fail(Exit),
}

/// One line of the report. The texts are not escaped.
#[derive(Debug)]
pub(super) struct Finding {
    /// Name of the check, stable across releases.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    message: String,
    hint: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { check, verdict, message: message.into(), hint: None }
    }

    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, message)
    }

    pub(super) fn warn(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, message)
    }

    pub(super) fn skip(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skip, reason)
    }

    pub(super) fn fail(check: &'static str, failure: Failure) -> Self {
        let Failure { exit, message, hint } = failure;
        Self { hint, ..Self::new(check, Verdict::Fail(exit), message) }
    }

    pub(super) fn of(check: &'static str, result: Result<impl Into<String>, Failure>) -> Self {
        match result {
            Ok(message) => Self::ok(check, message),
            Err(failure) => Self::fail(check, failure),
        }
    }

    /// Adds what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    const fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Skip => "skip",
            Verdict::Fail(_) => "fail",
        }
    }

    pub(super) fn text(&self) -> String {
        let line = format!("{:<4}  {:<14}  {}\n", self.word(), self.check, Escaped::new(&self.message));
        match &self.hint {
            Some(hint) => format!("{line}{:22}hint: {}\n", "", Escaped::new(hint)),
            None => line,
        }
    }

    pub(super) fn object(&self) -> Value {
        let mut members = vec![
            ("check", json!(self.check)),
            ("verdict", json!(self.word())),
            ("message", json!(self.message)),
        ];
        if let Some(hint) = &self.hint {
            members.push(("hint", json!(hint)));
        }
        json::nested(members)
    }
}
