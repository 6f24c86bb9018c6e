//! Refusals of keysets, each with a stable code for logs, metrics and documents.

use core::fmt;

use crate::refusal::refusals;

refusals! {
    /// Why a keyset is refused.
    KeysetRefusal;

    /// Longer than the format allows.
    TooLarge = "too-large", "larger than allowed";
    /// Not the one encoding of anything the format allows.
    Malformed = "malformed", "malformed or not canonical";
    /// Signed by no root that is pinned here.
    UnknownRoot = "unknown-root", "signed by a root that is not pinned";
    /// The signature of the root did not verify.
    Rejected = "rejected", "not authentic";
    /// The keyset of another deployment.
    WrongName = "wrong-name", "the keyset of another deployment";
    /// Older than one that was seen before.
    RolledBack = "rolled-back", "older than a keyset seen before";
    /// Does not continue the history that was seen before.
    Forked = "forked", "of another history than the keyset seen before";
    /// Claims to be issued in the future.
    IssuedInFuture = "issued-in-future", "issued in the future";
    /// Past its end.
    Expired = "expired", "expired";
    /// A pinned root stands among the keys.
    RootInKeyset = "root-in-keyset", "has a root among its keys";
    /// More keys than there is memory for.
    TooManyKeys = "too-many-keys", "more keys than there is memory for";
}

impl core::error::Error for KeysetRefusal {}
