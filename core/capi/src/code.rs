//! Return codes: a negative number and a name for every error. A number never changes.

use core::convert::Infallible;
use core::ffi::{CStr, c_char};

use taskseal_core::{OpenError, Refusal, SealError};

/// Return values of functions: 0 or a length is success, a negative number is one of these codes.
///
/// A number never changes its meaning. New numbers may be added.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a C enumeration; programs see its numbers")]
pub enum taskseal_code {
    /// Success.
    TASKSEAL_OK = 0,

    /// A pointer that must not be NULL is NULL.
    TASKSEAL_NULL_POINTER = -1,
    /// A key object is not initialised, is wiped, or has another type.
    TASKSEAL_NO_KEY = -2,
    /// The bytes are not a key: a scalar out of range, a point off the curve.
    TASKSEAL_INVALID_KEY = -3,
    /// A text is not a valid name: empty, too long, or with a character outside 0x21 to 0x7e.
    TASKSEAL_INVALID_NAME = -4,
    /// An argument is invalid: an unknown kind, suite or clock, two keys in one record, an output that overlaps an
    /// input.
    TASKSEAL_INVALID_ARGUMENT = -5,
    /// The buffer is too small. The task itself is acceptable.
    TASKSEAL_BUFFER_TOO_SMALL = -6,
    /// This build of the library does not contain the suite.
    TASKSEAL_NOT_BUILT = -7,
    /// An error that this version of the library has no code for.
    TASKSEAL_OTHER = -8,

    /// The body is longer than TASKSEAL_MAX_BODY.
    TASKSEAL_BODY_TOO_LONG = -20,
    /// The claims contradict each other or do not fit the kind.
    TASKSEAL_INCONSISTENT_CLAIMS = -21,
    /// The source of randomness failed; nothing was sealed.
    TASKSEAL_NO_RANDOMNESS = -22,
    /// The signer failed; nothing was sealed.
    TASKSEAL_SIGNER_FAILED = -23,
    /// The signer returned bytes that are not a valid ES256 signature.
    TASKSEAL_INVALID_SIGNATURE = -24,
    /// The batch is full.
    TASKSEAL_BATCH_FULL = -25,
    /// The batch has no tasks.
    TASKSEAL_BATCH_EMPTY = -26,

    /// The key store with the decryption key is unavailable. A retry may succeed.
    TASKSEAL_KEY_UNAVAILABLE = -40,
    /// The replay guard is full or unavailable. The task must not run without its decision.
    TASKSEAL_GUARD_UNAVAILABLE = -41,
    /// The task has times, and the verifier has no clock or its clock failed. The task itself may be acceptable.
    TASKSEAL_TIME_UNKNOWN = -42,

    /// Refused: not an envelope.
    TASKSEAL_UNSEALED = -100,
    /// Refused: larger than the policy or the format allows.
    TASKSEAL_TOO_LARGE = -101,
    /// Refused: malformed or not deterministically encoded.
    TASKSEAL_MALFORMED = -102,
    /// Refused: a result where a task is expected, or a task where a result is expected.
    TASKSEAL_WRONG_KIND = -103,
    /// Refused: the policy does not accept the suite, or does not accept batches.
    TASKSEAL_SUITE_NOT_ALLOWED = -104,
    /// Refused: no record has this kid.
    TASKSEAL_UNKNOWN_KEY = -105,
    /// Refused: not authentic. One code for all cryptographic failures, so that a sender cannot learn which check
    /// failed.
    TASKSEAL_REJECTED = -106,
    /// Refused: the key is revoked, disabled or outside its period of validity.
    TASKSEAL_KEY_NOT_VALID = -107,
    /// Refused: the key has no right to seal for this issuer.
    TASKSEAL_ISSUER_NOT_ALLOWED = -108,
    /// Refused: the key has no right to seal this task type.
    TASKSEAL_TYPE_NOT_ALLOWED = -109,
    /// Refused: the key has no right to seal for this audience.
    TASKSEAL_AUDIENCE_NOT_ALLOWED = -110,
    /// Refused: sealed for another deployment or queue.
    TASKSEAL_WRONG_AUDIENCE = -111,
    /// Refused: no handler runs this task type.
    TASKSEAL_TYPE_NOT_HANDLED = -112,
    /// Refused: the policy does not accept the clock of the issuer.
    TASKSEAL_CLOCK_NOT_ALLOWED = -113,
    /// Refused: sealed in the future.
    TASKSEAL_ISSUED_IN_FUTURE = -114,
    /// Refused: the lifetime is longer than the policy allows.
    TASKSEAL_LIFETIME_TOO_LONG = -115,
    /// Refused: expired.
    TASKSEAL_EXPIRED = -116,
    /// Refused: the task may not run yet. Deliver it again later.
    TASKSEAL_NOT_YET_VALID = -117,
    /// Refused by a queue: its metadata differs from the sealed claims.
    TASKSEAL_METADATA_MISMATCH = -118,
    /// Refused: the result of another request.
    TASKSEAL_WRONG_REQUEST = -119,
    /// Refused: the task has already been completed.
    TASKSEAL_REPLAYED = -120,
    /// Refused: too far behind the issuer's newest task.
    TASKSEAL_OUT_OF_SEQUENCE = -121,
    /// Refused: another envelope with this issuer and task id was seen.
    TASKSEAL_CONFLICT = -122,
    /// Refused: the attempts that the issuer allows are used up.
    TASKSEAL_ATTEMPTS_EXHAUSTED = -123,
    /// Refused by a queue: too many workers were lost while they ran the task.
    TASKSEAL_POISONOUS = -124,
    /// Refused: the decryption key is missing. Determined after the guard has decided.
    TASKSEAL_NO_DECRYPTION_KEY = -125,
}

macro_rules! names {
    ($($code:ident = $text:literal,)*) => {
        impl taskseal_code {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$code),*];

            const fn of_number(number: i32) -> Option<Self> {
                $(if number == Self::$code as i32 {
                    return Some(Self::$code);
                })*
                None
            }

            const fn name(self) -> &'static CStr {
                match self { $(Self::$code => $text,)* }
            }
        }
    };
}

names! {
    TASKSEAL_OK = c"ok",
    TASKSEAL_NULL_POINTER = c"null-pointer",
    TASKSEAL_NO_KEY = c"no-key",
    TASKSEAL_INVALID_KEY = c"invalid-key",
    TASKSEAL_INVALID_NAME = c"invalid-name",
    TASKSEAL_INVALID_ARGUMENT = c"invalid-argument",
    TASKSEAL_BUFFER_TOO_SMALL = c"buffer-too-small",
    TASKSEAL_NOT_BUILT = c"not-built",
    TASKSEAL_OTHER = c"other",
    TASKSEAL_BODY_TOO_LONG = c"body-too-long",
    TASKSEAL_INCONSISTENT_CLAIMS = c"inconsistent-claims",
    TASKSEAL_NO_RANDOMNESS = c"no-randomness",
    TASKSEAL_SIGNER_FAILED = c"signer-failed",
    TASKSEAL_INVALID_SIGNATURE = c"invalid-signature",
    TASKSEAL_BATCH_FULL = c"batch-full",
    TASKSEAL_BATCH_EMPTY = c"batch-empty",
    TASKSEAL_KEY_UNAVAILABLE = c"key-unavailable",
    TASKSEAL_GUARD_UNAVAILABLE = c"guard-unavailable",
    TASKSEAL_TIME_UNKNOWN = c"time-unknown",
    TASKSEAL_UNSEALED = c"unsealed",
    TASKSEAL_TOO_LARGE = c"too-large",
    TASKSEAL_MALFORMED = c"malformed",
    TASKSEAL_WRONG_KIND = c"wrong-kind",
    TASKSEAL_SUITE_NOT_ALLOWED = c"suite-not-allowed",
    TASKSEAL_UNKNOWN_KEY = c"unknown-key",
    TASKSEAL_REJECTED = c"rejected",
    TASKSEAL_KEY_NOT_VALID = c"key-not-valid",
    TASKSEAL_ISSUER_NOT_ALLOWED = c"issuer-not-allowed",
    TASKSEAL_TYPE_NOT_ALLOWED = c"type-not-allowed",
    TASKSEAL_AUDIENCE_NOT_ALLOWED = c"audience-not-allowed",
    TASKSEAL_WRONG_AUDIENCE = c"wrong-audience",
    TASKSEAL_TYPE_NOT_HANDLED = c"type-not-handled",
    TASKSEAL_CLOCK_NOT_ALLOWED = c"clock-not-allowed",
    TASKSEAL_ISSUED_IN_FUTURE = c"issued-in-future",
    TASKSEAL_LIFETIME_TOO_LONG = c"lifetime-too-long",
    TASKSEAL_EXPIRED = c"expired",
    TASKSEAL_NOT_YET_VALID = c"not-yet-valid",
    TASKSEAL_METADATA_MISMATCH = c"metadata-mismatch",
    TASKSEAL_WRONG_REQUEST = c"wrong-request",
    TASKSEAL_REPLAYED = c"replayed",
    TASKSEAL_OUT_OF_SEQUENCE = c"out-of-sequence",
    TASKSEAL_CONFLICT = c"conflict",
    TASKSEAL_ATTEMPTS_EXHAUSTED = c"attempts-exhausted",
    TASKSEAL_POISONOUS = c"poisonous",
    TASKSEAL_NO_DECRYPTION_KEY = c"no-decryption-key",
}

pub use self::taskseal_code as Code;

/// Signers that cannot fail.
impl From<Infallible> for Code {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

pub(crate) type Outcome<T> = Result<T, Code>;

/// Returns the name of a code, for logs: lower-case words joined by hyphens, for refusals those of the specification.
/// For a length it is `ok`. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn taskseal_error_name(code: i32) -> *const c_char {
    let code = Code::of_number(code.min(0)).unwrap_or(Code::TASKSEAL_OTHER);
    code.name().as_ptr()
}

/// Returns 0 or a length, or a negative code.
pub(crate) fn returned(outcome: Outcome<usize>) -> i32 {
    match outcome {
        // Lengths do not exceed the size of an envelope.
        Ok(length) => i32::try_from(length).unwrap_or(i32::MAX),
        Err(code) => code as i32,
    }
}

pub(crate) fn of_seal<E: Into<Code>>(error: SealError<E>) -> Code {
    match error {
        SealError::BufferTooSmall => Code::TASKSEAL_BUFFER_TOO_SMALL,
        SealError::BodyTooLong => Code::TASKSEAL_BODY_TOO_LONG,
        SealError::InconsistentClaims => Code::TASKSEAL_INCONSISTENT_CLAIMS,
        SealError::Random => Code::TASKSEAL_NO_RANDOMNESS,
        SealError::Signer(error) => error.into(),
        SealError::InvalidSignature => Code::TASKSEAL_INVALID_SIGNATURE,
        SealError::BatchFull => Code::TASKSEAL_BATCH_FULL,
        SealError::BatchEmpty => Code::TASKSEAL_BATCH_EMPTY,
        _ => Code::TASKSEAL_OTHER,
    }
}

pub(crate) fn of_open(error: OpenError) -> Code {
    match error {
        OpenError::Refused(refusal) => of_refusal(refusal),
        OpenError::BufferTooSmall => Code::TASKSEAL_BUFFER_TOO_SMALL,
        OpenError::KeyUnavailable => Code::TASKSEAL_KEY_UNAVAILABLE,
        OpenError::ReplayGuardUnavailable => Code::TASKSEAL_GUARD_UNAVAILABLE,
        _ => Code::TASKSEAL_OTHER,
    }
}

macro_rules! refusals {
    ($function:ident, $back:ident, $refusal:ident: $($variant:ident = $code:ident,)*) => {
        pub(crate) fn $function(refusal: $refusal) -> Code {
            match refusal {
                $($refusal::$variant => Code::$code,)*
                _ => Code::TASKSEAL_OTHER,
            }
        }

        /// Returns the refusal that a callback has returned as a code.
        #[allow(dead_code)] // Not every build has a callback that refuses.
        pub(crate) fn $back(code: i32) -> Option<$refusal> {
            match Code::of_number(code)? {
                $(Code::$code => Some($refusal::$variant),)*
                _ => None,
            }
        }
    };
}

refusals! { of_refusal, to_refusal, Refusal:
    Unsealed = TASKSEAL_UNSEALED,
    TooLarge = TASKSEAL_TOO_LARGE,
    Malformed = TASKSEAL_MALFORMED,
    WrongKind = TASKSEAL_WRONG_KIND,
    SuiteNotAllowed = TASKSEAL_SUITE_NOT_ALLOWED,
    UnknownKey = TASKSEAL_UNKNOWN_KEY,
    Rejected = TASKSEAL_REJECTED,
    KeyNotValid = TASKSEAL_KEY_NOT_VALID,
    IssuerNotAllowed = TASKSEAL_ISSUER_NOT_ALLOWED,
    TypeNotAllowed = TASKSEAL_TYPE_NOT_ALLOWED,
    AudienceNotAllowed = TASKSEAL_AUDIENCE_NOT_ALLOWED,
    WrongAudience = TASKSEAL_WRONG_AUDIENCE,
    TypeNotHandled = TASKSEAL_TYPE_NOT_HANDLED,
    ClockNotAllowed = TASKSEAL_CLOCK_NOT_ALLOWED,
    IssuedInFuture = TASKSEAL_ISSUED_IN_FUTURE,
    LifetimeTooLong = TASKSEAL_LIFETIME_TOO_LONG,
    Expired = TASKSEAL_EXPIRED,
    NotYetValid = TASKSEAL_NOT_YET_VALID,
    MetadataMismatch = TASKSEAL_METADATA_MISMATCH,
    WrongRequest = TASKSEAL_WRONG_REQUEST,
    Replayed = TASKSEAL_REPLAYED,
    OutOfSequence = TASKSEAL_OUT_OF_SEQUENCE,
    Conflict = TASKSEAL_CONFLICT,
    AttemptsExhausted = TASKSEAL_ATTEMPTS_EXHAUSTED,
    Poisonous = TASKSEAL_POISONOUS,
    NoDecryptionKey = TASKSEAL_NO_DECRYPTION_KEY,
}

#[cfg(test)]
mod tests;
