//! Errors of signed keysets: refusals, and faults of the checkpoint.

use std::fmt;
use std::ops::Deref;
use std::path::Path;

use taskseal_core::keyset::signed::KeysetRefusal;

/// Why a signed keyset cannot be used.
///
/// Shown as `place: message (code)`. The hint is shown on a separate line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysetError(Box<KeysetFault>);

/// The parts of a [`KeysetError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeysetFault {
    /// The file or carrier.
    pub place: String,
    /// The kind of the error.
    pub kind: KeysetErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The kind of a [`KeysetError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeysetErrorKind {
    /// The keyset was refused.
    Refused(KeysetRefusal),
    /// No carrier returned a keyset.
    Unavailable,
    /// This host has used a keyset before, and the record of it is gone.
    CheckpointMissing,
    /// The record of the newest keyset is damaged, or that of another keyset.
    CheckpointDamaged,
    /// The record of the newest keyset cannot be read or written.
    CheckpointUnavailable,
}

impl KeysetErrorKind {
    /// Returns the stable code of the error.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unavailable => "keyset-unavailable",
            Self::CheckpointMissing => "checkpoint-missing",
            Self::CheckpointDamaged => "checkpoint-damaged",
            Self::CheckpointUnavailable => "checkpoint-unavailable",
        }
    }
}

impl KeysetError {
    fn new(place: &str, kind: KeysetErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (place, message, hint) = (place.to_owned(), message.into(), hint.into());
        Self(Box::new(KeysetFault { place, kind, message, hint }))
    }

    /// Creates the error of a keyset that was refused. `detail` is what the reason alone does not say; it may be empty.
    pub(super) fn refused(place: &str, refusal: KeysetRefusal, detail: &str) -> Self {
        let separator = if detail.is_empty() { "" } else { ": " };
        let message = format!("the keyset was refused: {refusal}{separator}{detail}");
        Self::new(place, KeysetErrorKind::Refused(refusal), message, refusal_hint(refusal))
    }

    /// Creates the error of a keyset at `place` that was refused.
    #[must_use]
    pub fn of_refusal(place: &Path, refusal: KeysetRefusal) -> Self {
        Self::refused(&place.display().to_string(), refusal, "")
    }

    pub(super) fn unavailable(place: &str, message: &str) -> Self {
        let hint = "check the carrier, or copy the signed keyset to the file that `keyset` of [keys] names";
        Self::new(place, KeysetErrorKind::Unavailable, format!("no keyset: {message}"), hint)
    }

    /// Creates the error of a carrier that cannot be reached.
    pub(crate) fn carrier_unavailable(place: &str, message: &str, hint: &str) -> Self {
        Self::new(place, KeysetErrorKind::Unavailable, message, hint)
    }

    pub(super) fn checkpoint_missing(path: &Path, copy: &Path) -> Self {
        let message = "this host has used a keyset, and the record of its sequence number is missing";
        let hint = format!(
            "make sure that the keyset is the newest one that the root has signed, then remove {}",
            copy.display()
        );
        Self::new(&path.display().to_string(), KeysetErrorKind::CheckpointMissing, message, hint)
    }

    pub(super) fn checkpoint_damaged(path: &Path, message: impl Into<String>) -> Self {
        let hint = format!(
            "make sure that the keyset is the newest one that the root has signed, then remove {} and the copy of the keyset \
             beside it",
            path.display()
        );
        Self::new(&path.display().to_string(), KeysetErrorKind::CheckpointDamaged, message, hint)
    }

    pub(super) fn checkpoint_of_another(path: &Path, name: &str, expected: &str) -> Self {
        let message = format!("is the checkpoint of keyset `{name}`, expected `{expected}`");
        let hint =
            "use one folder of state (`dir` of [state]) for each deployment, or correct `name` of [keys]";
        Self::new(&path.display().to_string(), KeysetErrorKind::CheckpointDamaged, message, hint)
    }

    pub(super) fn checkpoint_unavailable(path: &Path, message: impl Into<String>) -> Self {
        let hint = "run the command as the user that owns the folder of state (`dir` of [state]), and check its disk";
        Self::new(&path.display().to_string(), KeysetErrorKind::CheckpointUnavailable, message, hint)
    }

    /// Returns the refusal, if the keyset was refused.
    #[must_use]
    pub fn refusal(&self) -> Option<KeysetRefusal> {
        match self.kind {
            KeysetErrorKind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// Returns what to do about a refused keyset.
pub(super) const fn refusal_hint(refusal: KeysetRefusal) -> &'static str {
    match refusal {
        KeysetRefusal::TooLarge => {
            "check that it is a signed keyset of `taskseal keyset sign`, and that it has at most 256 keys"
        }
        KeysetRefusal::Malformed => "copy the file that `taskseal keyset sign` wrote again",
        KeysetRefusal::UnknownRoot => {
            "compare the kid with the root that signs; pin a root in `roots` of [keys] only if its administrator confirms it"
        }
        KeysetRefusal::Rejected => {
            "treat it as an attack unless another cause is found; copy it again from where it was signed"
        }
        KeysetRefusal::WrongName => "correct the place of the keyset, or `name` of [keys]",
        KeysetRefusal::RolledBack => "publish the newest keyset; never lower the checkpoint",
        KeysetRefusal::Forked => {
            "find out who signed two keysets with one history; then sign a later one from the correct history"
        }
        KeysetRefusal::IssuedInFuture => "synchronise the clock of this host and that of the root",
        KeysetRefusal::Expired => {
            "sign and publish the next keyset: `taskseal keyset sign`, `taskseal keyset publish`"
        }
        KeysetRefusal::RootInKeyset => "generate separate keys: a root signs keysets only",
        _ => "remove destroyed keys: `taskseal keyset remove KID`",
    }
}

impl fmt::Display for KeysetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.message, self.kind.code())
    }
}

impl std::error::Error for KeysetError {}

impl Deref for KeysetError {
    type Target = KeysetFault;

    fn deref(&self) -> &KeysetFault {
        &self.0
    }
}
