//! Errors of PKCS#11 URIs.

/// The reason why a text is not a [`KeyUri`](super::KeyUri) or a [`TokenUri`](super::TokenUri). Contains no part of the
/// text, which may include a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUri {
    /// It does not start with `pkcs11:`, or is longer than 4,096 bytes.
    #[error("not a pkcs11: URI")]
    NotPkcs11,
    /// An attribute is not of the form `name=value`, or contains a character that must be percent-encoded.
    #[error("the URI has a malformed attribute")]
    Malformed,
    /// It has an attribute that this crate does not support.
    #[error("the URI has an unknown attribute")]
    UnknownAttribute,
    /// It has an attribute more than once.
    #[error("the URI has a duplicate attribute")]
    Duplicate,
    /// It has neither `token` nor `serial`.
    #[error("the URI must name a token by `token` or `serial`")]
    NoToken,
    /// It has neither `id` nor `object`.
    #[error("the URI must name a key by `id` or `object`")]
    NoKey,
    /// Its `type` is neither `private` nor `secret-key`.
    #[error("the URI must name a private or secret key")]
    NotAPrivateKey,
    /// It names a key where a token is expected.
    #[error("expected the URI of a token, found that of a key")]
    NotAToken,
    /// Its `module-path` is not absolute.
    #[error("module-path must be absolute")]
    ModulePath,
    /// A number is malformed or out of range.
    #[error("the URI has a number that is malformed or out of range")]
    Number,
    /// It contains a PIN (`pin-value`).
    #[error("the URI must not contain a PIN: use pin-source")]
    InlinePin,
    /// Its `pin-source` is none of `file:`, `env:`, `fd:` and `cred:`.
    #[error("pin-source must start with file:, env:, fd: or cred:")]
    PinSource,
}
