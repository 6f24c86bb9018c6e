//! Errors of PKCS#11 URIs.

/// The reason why a text is not a [`KeyUri`](super::KeyUri) or a [`TokenUri`](super::TokenUri). Contains no part of the
/// text, which may include a PIN, but the name of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUri {
    /// It does not start with `pkcs11:`, or is longer than 4,096 bytes.
    #[error("not a pkcs11: URI")]
    NotPkcs11,
    /// An attribute is not of the form `name=value`, or contains a character that must be percent-encoded.
    #[error("the URI has a malformed attribute{}", quoted(.0))]
    Malformed(String),
    /// It has an attribute that this crate does not support.
    #[error("the URI has an unknown attribute{}", quoted(.0))]
    UnknownAttribute(String),
    /// It has an attribute more than once.
    #[error("the URI has a duplicate attribute{}", quoted(.0))]
    Duplicate(String),
    /// It has neither `token` nor `serial`.
    #[error("the URI must name a token by `token` or `serial`")]
    NoToken,
    /// It has neither `id` nor `object`.
    #[error("the URI must name a key by `id` or `object`")]
    NoKey,
    /// Its `type` is none of `private`, `public` and `secret-key`.
    #[error("the URI must name a private, public or secret key")]
    NotAPrivateKey,
    /// It names a key where a token is expected.
    #[error("expected the URI of a token, found that of a key")]
    NotAToken,
    /// Its `module-path` is not absolute.
    #[error("module-path must be absolute")]
    ModulePath,
    /// A number is malformed or out of range.
    #[error("the URI has a number that is malformed or out of range{}", quoted(.0))]
    Number(String),
    /// It contains a PIN (`pin-value`).
    #[error("the URI must not contain a PIN: use pin-source")]
    InlinePin,
    /// Its `pin-source` is none of `file:`, `env:`, `fd:` and `cred:`.
    #[error("pin-source must start with file:, env:, fd: or cred:")]
    PinSource,
}

impl InvalidUri {
    /// Adds the name of the attribute. A name with other characters than those of an attribute is omitted: it may be a part of
    /// a value that was not percent-encoded.
    pub(super) fn of_attribute(self, name: &str) -> Self {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        let is_name = name.len() <= 40 && name.bytes().all(allowed);
        let name = if is_name { name.to_owned() } else { String::new() };
        match self {
            Self::Malformed(_) => Self::Malformed(name),
            Self::UnknownAttribute(_) => Self::UnknownAttribute(name),
            Self::Duplicate(_) => Self::Duplicate(name),
            Self::Number(_) => Self::Number(name),
            other => other,
        }
    }
}

fn quoted(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(": `{name}`") }
}
