//! An entry of the keyset file, as commands print it.

use taskseal::time::UnixMillis;
use taskseal_core::Kind;
use taskseal_core::keyset::signed::KeyState;

use crate::key_summary::KeySummary;
use crate::output::json;
use crate::time_arg;

/// An entry of the keyset file.
pub(crate) struct Entry<'k> {
    pub(crate) key: &'k KeySummary,
    pub(crate) kind: Kind,
    pub(crate) label: Option<&'k str>,
    /// Patterns of issuers, types and audiences; `None` for a key that authenticates nothing and is chosen for
    /// no body.
    pub(crate) rights: Option<[Vec<String>; 3]>,
    pub(crate) state: KeyState,
    pub(crate) times: KeyTimes,
}

/// The times of a key. A missing one is unlimited.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyTimes {
    pub(crate) use_from: Option<UnixMillis>,
    pub(crate) sign_until: Option<UnixMillis>,
    pub(crate) accept_until: Option<UnixMillis>,
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
        if self.state != KeyState::Primary {
            lines.push(format!("state = {}", quoted(self.state.name())));
        }
        let KeyTimes { use_from, sign_until, accept_until } = self.times;
        for (name, at) in [("use_from", use_from), ("sign_until", sign_until), ("accept_until", accept_until)]
        {
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
