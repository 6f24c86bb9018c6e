//! What a signed keyset says of itself: name, number, and the times between which it is in force.

use std::path::Path;

use taskseal_core::KeyId;
use taskseal_core::keyset::signed::{Checkpoint, ISSUE_SKEW, KeysetRefusal, VerifiedKeyset};

use super::error::KeysetError;
use super::newest::shown;
use crate::keys::error::KeyringError;

/// The head of a verified keyset.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeysetHead {
    /// Name of the deployment.
    pub name: String,
    /// Sequence number.
    pub sequence: u64,
    /// SHA-256 of the payload, which identifies the keyset.
    pub digest: [u8; 32],
    /// Time at which it was issued, in seconds of Unix time.
    pub issued_at: u64,
    /// Time from which it is refused, in seconds of Unix time.
    pub not_after: u64,
    /// Root that signed it.
    pub root: KeyId,
    /// Sequence number that this host had recorded before; `None` at its first start.
    pub last_sequence: Option<u64>,
    /// Why the keysets of other sources were not used. An older one is listed only if the second carrier returned it.
    pub refused: Vec<KeyringError>,
    /// Why the keyset of the file or of the second carrier was not used: newer ones may not arrive.
    pub(in crate::keys) source_fault: Option<KeyringError>,
}

impl KeysetHead {
    pub(super) fn new<const N: usize>(
        keyset: &VerifiedKeyset<'_, N>,
        last: Option<&Checkpoint>,
        (refused, source_fault): (Vec<KeyringError>, Option<KeyringError>),
    ) -> Self {
        Self {
            name: keyset.name().as_str().to_owned(),
            sequence: keyset.sequence(),
            digest: *keyset.checkpoint().digest(),
            issued_at: keyset.issued_at(),
            not_after: keyset.not_after(),
            root: keyset.root(),
            last_sequence: last.map(Checkpoint::sequence),
            refused,
            source_fault,
        }
    }

    /// Returns whether less than a third of the time in force is left at `now`, in seconds of Unix time: the next keyset is due.
    #[must_use]
    pub const fn must_be_replaced(&self, now: u64) -> bool {
        self.not_after.saturating_sub(now) < self.not_after.saturating_sub(self.issued_at) / 3
    }

    /// Returns the record of the keyset.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let mut bytes = [0; Checkpoint::LEN];
        let (sequence, digest) = bytes.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        digest.copy_from_slice(&self.digest);
        Checkpoint::from_bytes(&bytes).ok()
    }

    /// Checks whether the keyset is in force at `now`, in seconds of Unix time: it can expire, and the clock can be set back,
    /// while it is loaded.
    ///
    /// # Errors
    /// [`KeysetRefusal::Expired`] or [`KeysetRefusal::IssuedInFuture`].
    pub const fn check(&self, now: u64) -> Result<(), KeysetRefusal> {
        if now.saturating_add(ISSUE_SKEW) < self.issued_at {
            return Err(KeysetRefusal::IssuedInFuture);
        }
        if now >= self.not_after {
            return Err(KeysetRefusal::Expired);
        }
        Ok(())
    }

    /// Returns the error of a keyset that was in force and no longer is at `now`.
    pub(in crate::keys) fn error(&self, file: &Path, refusal: KeysetRefusal, now: u64) -> KeysetError {
        let time = if refusal == KeysetRefusal::Expired { self.not_after } else { self.issued_at };
        let (sequence, time, now) = (self.sequence, shown(time), shown(now));
        let detail = format!("sequence {sequence}, at {time}, and the clock of this host shows {now}");
        KeysetError::refused(&file.display().to_string(), refusal, &detail)
    }
}
