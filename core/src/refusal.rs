//! Refusals: the reasons for which an envelope is not run, with stable codes for the wire, metrics and documents.

use core::fmt;

macro_rules! refusals {
    ($(#[$about:meta])* $name:ident; $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)*) => {
        $(#[$about])*
        ///
        /// A code never changes and is never reused. New codes may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every refusal, in the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the stable code: lower-case words joined by hyphens.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Returns the refusal with this code.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|refusal| refusal.code() == code)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }
    };
}

pub(crate) use refusals;

refusals! {
    /// The reason for which an envelope is refused.
    Refusal;

    /// The bytes are not an envelope: the task was never sealed, or the envelope was removed.
    Unsealed = "unsealed", "not a sealed envelope";
    /// The envelope is larger than the policy or the format allows.
    TooLarge = "too-large", "larger than allowed";
    /// The envelope is malformed or not deterministically encoded.
    Malformed = "malformed", "malformed or not canonical";
    /// The envelope is a result where a task is expected, or a task where a result is expected.
    WrongKind = "wrong-kind", "of the wrong kind (task or result)";
    /// The policy does not accept the suite, or does not accept batches.
    SuiteNotAllowed = "suite-not-allowed", "sealed with a suite, or in a batch, that the policy does not allow";
    /// The keyset has no key with this kid.
    UnknownKey = "unknown-key", "sealed with a key that the keyset does not have";
    /// The signature, MAC, key commitment or AEAD tag did not verify, or the key is of another algorithm.
    ///
    /// One value for all of them, so that a sender cannot learn which check failed.
    Rejected = "rejected", "not authentic";
    /// The key is revoked, disabled, or outside its period of validity.
    KeyNotValid = "key-not-valid", "sealed with a key that is not valid now";
    /// The key has no right to seal for this issuer.
    IssuerNotAllowed = "issuer-not-allowed", "the key may not seal for this issuer";
    /// The key has no right to seal this task type.
    TypeNotAllowed = "type-not-allowed", "the key may not seal this task type";
    /// The key has no right to seal for this audience.
    AudienceNotAllowed = "audience-not-allowed", "the key may not seal for this queue";
    /// The envelope is for another deployment or queue than the one from which it was taken.
    WrongAudience = "wrong-audience", "sealed for another deployment or queue";
    /// No handler runs this task type.
    TypeNotHandled = "type-not-handled", "no handler for this task type";
    /// The issuer has no clock or a beacon clock and the policy does not accept that.
    ClockNotAllowed = "clock-not-allowed", "sealed without a synchronised clock";
    /// The envelope was sealed in the future.
    IssuedInFuture = "issued-in-future", "sealed in the future";
    /// The lifetime is longer than the policy allows.
    LifetimeTooLong = "lifetime-too-long", "valid for longer than allowed";
    /// The envelope has expired.
    Expired = "expired", "expired";
    /// The envelope may not run yet.
    NotYetValid = "not-yet-valid", "not valid yet";
    /// The queue's metadata (id, type, queue) differs from the sealed claims.
    MetadataMismatch = "metadata-mismatch", "the queue's metadata differs from the sealed claims";
    /// The result belongs to another request.
    WrongRequest = "wrong-request", "the result of another request";
    /// The task has already been completed.
    Replayed = "replayed", "has run before";
    /// The sequence is too far behind the issuer's newest to determine whether the task has run.
    OutOfSequence = "out-of-sequence", "too far behind the issuer's newest task";
    /// Another envelope with the same issuer and task id was seen before.
    Conflict = "conflict", "another envelope with the same issuer and task id was seen";
    /// The number of attempts that the issuer allows is used up.
    AttemptsExhausted = "attempts-exhausted", "the attempts that the issuer allows are used up";
    /// Too many workers were lost while they ran the task.
    Poisonous = "poisonous", "too many workers were lost while they ran it";
    /// The decryption key is not available on this host.
    NoDecryptionKey = "no-decryption-key", "encrypted to a key that this host does not have";
}

#[cfg(test)]
mod tests;
