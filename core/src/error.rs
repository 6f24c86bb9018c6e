//! Errors: one small enum per operation. All cryptographic failures are one value.

use core::fmt;

use crate::refusal::Refusal;

/// Bytes that are not a key: a wrong length, a scalar out of range, a point off the curve, an invalid kid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "key stores outside this crate return it")]
pub struct InvalidKey;

/// A signature, tag or key commitment that does not verify. Carries no reason: the sender must not learn which check
/// failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "providers outside this crate return it")]
pub struct Rejected;

/// Why an envelope could not be sealed. `E` is the error of the signer or authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError<E = core::convert::Infallible> {
    /// The buffer is shorter than the envelope; [`Sealer::sealed_len`](crate::Sealer::sealed_len) returns the required
    /// size.
    BufferTooSmall,
    /// The body is longer than [`MAX_BODY`](crate::MAX_BODY).
    BodyTooLong,
    /// The claims contradict each other or do not fit what the envelope is for.
    InconsistentClaims,
    /// The source of randomness failed; nothing was sealed.
    Random,
    /// The signer or authenticator failed; nothing was sealed.
    Signer(E),
    /// The signer returned bytes that are not a valid ES256 signature.
    InvalidSignature,
    /// The batch is full: sign it and start another one.
    BatchFull,
    /// The batch has no task to sign.
    BatchEmpty,
}

/// Why an envelope was not opened.
///
/// Every cryptographic failure is [`Refusal::Rejected`]. Refusals by policy are precise and follow a valid signature
/// only. [`refusal`](Self::refusal) returns the stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenError {
    /// The envelope was refused. The same bytes, keys and policy give the same result.
    Refused(Refusal),
    /// The buffer for the body is too small. The envelope itself is acceptable.
    BufferTooSmall,
    /// The token or key store with the decryption key is unavailable. A retry may succeed.
    KeyUnavailable,
    /// The replay guard is full or unavailable. The task must not run without its decision.
    ReplayGuardUnavailable,
}

impl<E> SealError<E> {
    /// Converts the error of the signer.
    pub fn map_signer<F>(self, map: impl FnOnce(E) -> F) -> SealError<F> {
        match self {
            Self::BufferTooSmall => SealError::BufferTooSmall,
            Self::BodyTooLong => SealError::BodyTooLong,
            Self::InconsistentClaims => SealError::InconsistentClaims,
            Self::Random => SealError::Random,
            Self::Signer(error) => SealError::Signer(map(error)),
            Self::InvalidSignature => SealError::InvalidSignature,
            Self::BatchFull => SealError::BatchFull,
            Self::BatchEmpty => SealError::BatchEmpty,
        }
    }
}

impl OpenError {
    /// Returns the refusal. Other errors are local faults and give `None`.
    #[must_use]
    pub const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid key")
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not authentic")
    }
}

impl<E: fmt::Display> fmt::Display for SealError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall => f.write_str("the buffer is too small for the envelope"),
            Self::BodyTooLong => f.write_str("the body is too long"),
            Self::InconsistentClaims => f.write_str("the claims contradict each other"),
            Self::Random => f.write_str("the source of randomness failed"),
            Self::Signer(error) => write!(f, "the signer failed: {error}"),
            Self::InvalidSignature => f.write_str("the signer returned an invalid signature"),
            Self::BatchFull => f.write_str("the batch is full"),
            Self::BatchEmpty => f.write_str("the batch is empty"),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::BufferTooSmall => f.write_str("the buffer is too small for the body"),
            Self::KeyUnavailable => f.write_str("the decryption key is unavailable"),
            Self::ReplayGuardUnavailable => f.write_str("the replay guard is full or unavailable"),
        }
    }
}

impl core::error::Error for InvalidKey {}
impl core::error::Error for Rejected {}
impl<E: core::error::Error> core::error::Error for SealError<E> {}
impl core::error::Error for OpenError {}
