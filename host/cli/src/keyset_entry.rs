//! An entry of the keyset file, as commands print it.

use taskseal::time::UnixMillis;
use taskseal_core::Kind;

use crate::key_summary::KeySummary;
use crate::output::json;
use crate::time_arg;

/// An entry of the keyset file.
pub(crate) struct Entry<'k> {
    pub(crate) key: &'k KeySummary,
    pub(crate) kind: Kind,
    pub(crate) label: Option<&'k str>,
    /// Patterns of issuers, types and audiences; `None` for a key that authenticates nothing.
    pub(crate) rights: Option<[Vec<String>; 3]>,
    pub(crate) validity: Validity,
}

/// The period in which a key may seal. A missing end is unlimited.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Validity {
    pub(crate) from: Option<UnixMillis>,
    pub(crate) until: Option<UnixMillis>,
}

impl Entry<'_> {
    /// Returns the entry in TOML, followed by an empty line.
    pub(crate) fn to_toml(&self) -> String {
        let mut lines = vec![
            "[[key]]".to_owned(),
            format!("kid = {}", quoted(&self.key.kid.to_string())),
            format!("alg = {}", quoted(self.key.algorithm.name())),
            format!("use = {}", quoted(json::kind(self.kind))),
        ];
        match self.key.public() {
            Some(public) => lines.push(format!("public = {}", quoted(&public))),
            None => lines.push(format!("secret_file = {}", quoted(&self.key.location))),
        }
        for (name, patterns) in ["issuers", "types", "audiences"].iter().zip(self.rights.iter().flatten()) {
            let patterns: Vec<_> = patterns.iter().map(|pattern| quoted(pattern)).collect();
            lines.push(format!("{name} = [{}]", patterns.join(", ")));
        }
        for (name, at) in [("valid_from", self.validity.from), ("valid_until", self.validity.until)] {
            lines.extend(at.map(|at| format!("{name} = {}", quoted(&time_arg::show(at)))));
        }
        lines.extend(self.label.map(|label| format!("label = {}", quoted(label))));
        lines.push("\n".to_owned());
        lines.join("\n")
    }
}

/// Returns a TOML string with escapes.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
