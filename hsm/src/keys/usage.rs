//! The use of an EC key.

/// The use of an EC key. A key has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Usage {
    /// ES256 signatures (`CKA_SIGN`).
    Sign,
    /// ECDH key agreement (`CKA_DERIVE`).
    Agree,
}
