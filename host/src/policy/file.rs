//! The policy file: rules of task types. Errors contain the line.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use taskseal_core::{KeyId, SuiteSet};

use super::{DefaultAction, IssuerQuota, Mode, TypeRule, TypeRules};
use crate::config::value::{self, Count, Name, Queue, Seconds, Size, YEAR};
use crate::file_error::{FileError, MAX_LEN};
use crate::file_security::read_guarded;
use crate::keys::{Kid, Patterns, is_pattern};
use crate::time::{UnixMillis, rfc3339};
use crate::toml_file::{Spanned, invalid, parse_toml};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    default: Action,
    #[serde(default)]
    r#type: Vec<TypeSection>,
    #[serde(default)]
    issuer: Vec<IssuerSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerSection {
    issuer: Spanned<Name<64, true>>,
    tasks_per_minute: Count<1, 1_000_000>,
}

/// What holds for a type without a rule. The file denies, unless it says otherwise.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Allow,
    #[default]
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeSection {
    r#type: Spanned<Name<128, true>>,
    suites: Option<Suites>,
    batches: Option<bool>,
    issuers: Option<Patterns>,
    queues: Option<Vec<Queue>>,
    kids: Option<Vec<Kid>>,
    max_age: Option<Seconds<1, YEAR>>,
    max_lifetime: Option<Seconds<1, YEAR>>,
    max_body: Option<Size<1, { taskseal_core::MAX_BODY as u64 }>>,
    mode: Option<ModeName>,
    until: Option<Spanned<Until>>,
    #[serde(default)]
    detached: bool,
}

struct ModeName(Mode);

impl<'de> Deserialize<'de> for ModeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let mode = Mode::from_name(&name).map(Self);
        mode.ok_or_else(|| {
            let message = format_args!("`{}` is not a mode", name.escape_default());
            invalid(message, "one of \"off\", \"observe\", \"prefer\", \"enforce\"")
        })
    }
}

/// The end of a day, or a time.
struct Until(UnixMillis);

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let day = rfc3339::parse(&format!("{text}T00:00:00Z")).map(|start| start.plus(DAY));
        day.or_else(|| rfc3339::parse(&text)).map(Self).ok_or_else(|| {
            invalid(
                "not a date",
                "write the last day as \"2026-12-31\", or a time as \"2026-12-31T08:00:00Z\"",
            )
        })
    }
}

const DAY: Duration = Duration::from_secs(value::DAY);

struct Suites(SuiteSet);

impl<'de> Deserialize<'de> for Suites {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::suites(deserializer).map(Self)
    }
}

impl TypeRules {
    /// Reads and checks a policy file. It is guarded as a keyset is: it decides what runs.
    ///
    /// # Errors
    /// [`FileError`] with line, column and field.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let text = read_guarded(path, MAX_LEN)?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let file: PolicyFile = parse_toml(path, text)?;
        let mut rules: Vec<TypeRule> = Vec::new();
        for section in file.r#type {
            let fault = |message: String, hint: &str| {
                Err(FileError::new(path, message).hint(hint).at(text, section.r#type.start()))
            };
            let pattern = &section.r#type.get_ref().0;
            if !is_pattern(pattern) {
                return fault(format!("`{pattern}` is not a task type"), "`*` is allowed at the end only");
            }
            if rules.iter().any(|other| other.pattern == *pattern) {
                return fault(format!("duplicate task type `{pattern}`"), "remove one of the two rules");
            }
            let mode = section.mode.as_ref().map_or(Mode::Enforce, |mode| mode.0);
            if let (Mode::Enforce, Some(until)) = (mode, &section.until) {
                let fault = FileError::new(path, "`until` without a `mode` that ends");
                return Err(fault
                    .hint("add `mode = \"observe\"` or `mode = \"prefer\"`, or remove `until`")
                    .at(text, until.start()));
            }
            let line = line_at(text, section.r#type.start());
            rules.push(section.rule(line));
        }
        let default = match file.default {
            Action::Allow => DefaultAction::Allow,
            Action::Deny => DefaultAction::Deny,
        };
        let quotas = quotas(path, text, file.issuer)?;
        Ok(Self::with_quotas(path.to_owned(), default, rules, quotas))
    }
}

fn quotas(path: &Path, text: &str, sections: Vec<IssuerSection>) -> Result<Vec<IssuerQuota>, FileError> {
    let mut quotas: Vec<IssuerQuota> = Vec::new();
    for section in sections {
        let start = section.issuer.start();
        let issuer = section.issuer.into_inner().0;
        let fault =
            |message: String, hint: &str| Err(FileError::new(path, message).hint(hint).at(text, start));
        if !is_pattern(&issuer) {
            return fault(format!("`{issuer}` is not an issuer"), "`*` is allowed at the end only");
        }
        if quotas.iter().any(|other| other.issuer == issuer) {
            return fault(format!("duplicate issuer `{issuer}`"), "remove one of the two quotas");
        }
        quotas.push(IssuerQuota { issuer, tasks_per_minute: u32::from(section.tasks_per_minute) });
    }
    Ok(quotas)
}

/// Returns the number of the line at a byte, from 1.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

impl TypeSection {
    fn rule(self, line: usize) -> TypeRule {
        TypeRule {
            pattern: self.r#type.into_inner().0,
            suites: self.suites.map(|suites| suites.0),
            batches: self.batches,
            issuers: self.issuers.map(|issuers| issuers.0),
            queues: self.queues.map(|queues| queues.into_iter().map(|queue| queue.0).collect()),
            kids: self.kids.map(|kids| kids.into_iter().map(|kid| kid.0).collect::<Vec<KeyId>>()),
            max_age: self.max_age.map(Into::into),
            max_lifetime: self.max_lifetime.map(Into::into),
            max_body: self.max_body.map(Into::into),
            mode: self.mode.map_or(Mode::Enforce, |mode| mode.0),
            until: self.until.map(|until| until.into_inner().0),
            line: Some(line),
            detached: self.detached,
        }
    }
}

#[cfg(test)]
mod tests;
