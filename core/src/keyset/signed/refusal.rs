//! Refusals of keysets, with stable codes for logs, metrics and documents.

use core::fmt;

use crate::refusal::refusals;

refusals! {
    /// The reason for which a keyset is refused.
    KeysetRefusal;

    /// The keyset is larger than the format allows.
    TooLarge = "too-large", "larger than allowed";
    /// The keyset is malformed or not deterministically encoded.
    Malformed = "malformed", "malformed or not canonical";
    /// The keyset is not signed by a pinned root.
    UnknownRoot = "unknown-root", "signed by a root that is not pinned";
    /// The signature of the root did not verify.
    Rejected = "rejected", "not authentic";
    /// The keyset belongs to another deployment.
    WrongName = "wrong-name", "the keyset of another deployment";
    /// The keyset is older than one that was seen before.
    RolledBack = "rolled-back", "older than a keyset seen before";
    /// The keyset does not continue the history that was seen before.
    Forked = "forked", "of another history than the keyset seen before";
    /// The keyset was issued in the future.
    IssuedInFuture = "issued-in-future", "issued in the future";
    /// The keyset has expired.
    Expired = "expired", "expired";
    /// A pinned root is an entry of the keyset.
    RootInKeyset = "root-in-keyset", "has a pinned root among its entries";
    /// The keyset has more entries than the verifier has memory for.
    TooManyKeys = "too-many-keys", "more entries than the verifier has memory for";
}

impl core::error::Error for KeysetRefusal {}
