//! What can go wrong, one small enum per verb; all cryptographic failure is one value.

use core::fmt;

use crate::refusal::Refusal;

/// Bytes that are no key: wrong length, a scalar out of range, a point off the curve, a kid that is no kid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey;

/// A signature, tag or key commitment that does not verify. Carries no reason: the sender must not learn which check
/// failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected;

/// Why an envelope could not be sealed. `E` is the error of the signer or authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError<E = core::convert::Infallible> {
    /// The buffer is shorter than the envelope; [`Sealer::sealed_len`](crate::Sealer::sealed_len) tells how
    /// long it must be.
    BufferTooSmall,
    /// The body is longer than [`MAX_BODY`](crate::MAX_BODY).
    BodyTooLong,
    /// The claims contradict each other or do not fit what the envelope is for.
    InconsistentClaims,
    /// The source of randomness failed; nothing was sealed.
    Random,
    /// The signer or authenticator failed; nothing was sealed.
    Signer(E),
    /// The signer answered with something that is no ES256 signature.
    InvalidSignature,
    /// The batch takes no more tasks: sign it, and start another.
    BatchFull,
    /// The batch has no task to sign.
    BatchEmpty,
}

/// Why an envelope was not opened.
///
/// Everything cryptographic is [`Refusal::Rejected`]; refusals by policy come after a good signature
/// only and are precise. [`refusal`](Self::refusal) gives the stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenError {
    /// The envelope was refused; asking again with the same bytes, keys and policy gives the same answer.
    Refused(Refusal),
    /// The buffer for the body is too small. Nothing is wrong with the envelope.
    BufferTooSmall,
    /// The token or key store that holds the decryption key did not answer. Trying again may help.
    KeyUnavailable,
    /// The replay guard has no answer: it is full or out of reach. Nothing may be run without one.
    ReplayGuardUnavailable,
}

impl<E> SealError<E> {
    /// The same with another error of the signer.
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
    /// The refusal, if it is one; the other errors are faults on this side.
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
            Self::InvalidSignature => f.write_str("the signer gave an invalid signature"),
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
            Self::KeyUnavailable => f.write_str("the decryption key is out of reach"),
            Self::ReplayGuardUnavailable => f.write_str("the replay guard is full or out of reach"),
        }
    }
}

impl core::error::Error for InvalidKey {}
impl core::error::Error for Rejected {}
impl<E: core::error::Error> core::error::Error for SealError<E> {}
impl core::error::Error for OpenError {}
