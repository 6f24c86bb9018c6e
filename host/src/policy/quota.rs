//! How many tasks of an issuer one worker process may start in a minute.

/// A quota of the policy file. The issuers that its pattern matches share it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuerQuota {
    /// Name of an issuer, or a prefix of names followed by `*`.
    pub issuer: String,
    /// Number of tasks that one worker process starts in a minute, at least 1.
    pub tasks_per_minute: u32,
}

/// Returns the precedence of a pattern among those that match a name, or `None` if it does not match. A whole name takes precedence
/// over a prefix, and a longer prefix over a shorter one.
pub(super) fn precedence(pattern: &str, name: &str) -> Option<usize> {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix).then_some(prefix.len()),
        None => (pattern == name).then_some(usize::MAX),
    }
}
