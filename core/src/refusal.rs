//! Refusals: why an envelope is not run, each with a stable code for the wire, metrics and documents.

use core::fmt;

macro_rules! refusals {
    ($(#[$about:meta])* $name:ident; $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)*) => {
        $(#[$about])*
        ///
        /// The code of a refusal never changes and is never reused; new ones may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every refusal, in the order in which the checks are made.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable code: lower-case words joined by hyphens.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The refusal of that code.
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
    /// Why an envelope is refused.
    Refusal;

    /// No envelope at all: the task was never sealed, or its seal was taken off.
    Unsealed = "unsealed", "not a sealed envelope";
    /// Longer than the policy or the format allows.
    TooLarge = "too-large", "larger than allowed";
    /// Not the one encoding of anything the format allows.
    Malformed = "malformed", "malformed or not canonical";
    /// Of another kind than expected: a result where a task was due, or the other way round.
    WrongKind = "wrong-kind", "of the wrong kind (task or result)";
    /// Sealed in a way that the policy does not accept.
    SuiteNotAllowed = "suite-not-allowed", "sealed with a suite, or in a batch, that the policy does not allow";
    /// The kid names no key of the keyset.
    UnknownKey = "unknown-key", "sealed with a key that the keyset does not have";
    /// The signature, MAC, key commitment or AEAD tag did not verify, or the key is of another algorithm.
    ///
    /// One value for all of them on purpose.
    Rejected = "rejected", "not authentic";
    /// The key is revoked, disabled, or outside its period of validity.
    KeyNotValid = "key-not-valid", "sealed with a key that is not valid now";
    /// The key may not speak for this issuer.
    IssuerNotAllowed = "issuer-not-allowed", "the key may not speak for this issuer";
    /// The key may not seal this task type.
    TypeNotAllowed = "type-not-allowed", "the key may not seal this task type";
    /// The key may not seal for this audience.
    AudienceNotAllowed = "audience-not-allowed", "the key may not seal for this queue";
    /// Sealed for another deployment or queue than the one it was taken from.
    WrongAudience = "wrong-audience", "sealed for another deployment or queue";
    /// Nobody here runs this task type.
    TypeNotHandled = "type-not-handled", "no handler for this task type";
    /// The issuer has no clock or a beacon clock and the policy does not accept that.
    ClockNotAllowed = "clock-not-allowed", "sealed without a synchronised clock";
    /// Claims to be sealed in the future.
    IssuedInFuture = "issued-in-future", "sealed in the future";
    /// Valid for longer than the policy allows.
    LifetimeTooLong = "lifetime-too-long", "valid for longer than allowed";
    /// Past its expiry.
    Expired = "expired", "expired";
    /// Before its not-before time.
    NotYetValid = "not-yet-valid", "not valid yet";
    /// What the queue says about the task (id, type, queue) differs from what is sealed.
    MetadataMismatch = "metadata-mismatch", "the queue's metadata differ from what is sealed";
    /// Answers another request than the one asked about.
    WrongRequest = "wrong-request", "the result of another request";
    /// The task has run to its end before.
    Replayed = "replayed", "has run before";
    /// Its sequence is so far behind the issuer's newest that nobody remembers whether it has run.
    OutOfSequence = "out-of-sequence", "too far behind the issuer's newest task";
    /// Another envelope with the same issuer and task id was seen before.
    Conflict = "conflict", "another envelope with the same issuer and task id was seen";
    /// The number of attempts that the issuer allows is used up.
    AttemptsExhausted = "attempts-exhausted", "the attempts that the issuer allows are used up";
    /// Workers that ran it were lost too often.
    Poisonous = "poisonous", "took down the workers that ran it";
    /// Encrypted to a key that is not here.
    NoDecryptionKey = "no-decryption-key", "encrypted to a key that is not here";
}

#[cfg(test)]
mod tests;
