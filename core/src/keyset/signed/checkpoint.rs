//! Checkpoints: what a verifier remembers of the newest keyset it has used.

use core::fmt;

use super::MAX_SEQUENCE;
use super::format::Head;
use super::refusal::KeysetRefusal;

/// The newest keyset seen: its sequence number and the SHA-256 of its payload.
///
/// # Security
/// Without a checkpoint whoever carries the keyset can hand out any older one that has not expired, with keys
/// in it that were revoked since. A verifier
///
/// * stores [`VerifiedKeyset::checkpoint`](super::VerifiedKeyset::checkpoint) **before** it uses a key of
///   that keyset, so that a crash cannot undo what was used;
/// * stores it where the carrier cannot write, whole or not at all, and flushed;
/// * never puts a lower sequence in the place of a higher one;
/// * treats a checkpoint that cannot be read as a fault, not as the absence of one: "no checkpoint" is for
///   the first start only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    sequence: u64,
    digest: [u8; 32],
}

/// Bytes that are no checkpoint: erased or damaged storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidCheckpoint;

impl fmt::Display for InvalidCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a checkpoint of a keyset")
    }
}

impl core::error::Error for InvalidCheckpoint {}

impl Checkpoint {
    /// Bytes of a stored checkpoint.
    pub const LEN: usize = 40;

    /// The keyset's sequence number must be from 1 to 2^53 - 1.
    pub(super) const fn new(sequence: u64, digest: [u8; 32]) -> Self {
        Self { sequence, digest }
    }

    /// The sequence number of the keyset.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// SHA-256 of the payload of the keyset.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// As it is stored: the sequence number in 8 bytes, big-endian, then the digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (sequence, digest) = bytes.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        digest.copy_from_slice(&self.digest);
        bytes
    }

    /// Reads a stored checkpoint.
    ///
    /// # Errors
    /// [`InvalidCheckpoint`] if the sequence number is not from 1 to 2^53 - 1, as in storage that was erased
    /// to zeros or ones.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, InvalidCheckpoint> {
        let (sequence, digest) = bytes.split_first_chunk::<8>().ok_or(InvalidCheckpoint)?;
        let sequence = u64::from_be_bytes(*sequence);
        if sequence == 0 || sequence >= MAX_SEQUENCE {
            return Err(InvalidCheckpoint);
        }
        let digest = digest.try_into().map_err(|_| InvalidCheckpoint)?;
        Ok(Self { sequence, digest })
    }

    /// Whether a keyset with this head and this digest of its payload may follow, or is the same again.
    pub(super) fn check(&self, head: &Head<'_>, digest: &[u8; 32]) -> Result<(), KeysetRefusal> {
        if head.sequence < self.sequence {
            return Err(KeysetRefusal::RolledBack);
        }
        let fits = match head.sequence - self.sequence {
            0 => *digest == self.digest,
            1 => head.previous == Some(self.digest),
            // The ones between were missed; that the root signed a later one has to do.
            _ => true,
        };
        if fits { Ok(()) } else { Err(KeysetRefusal::Forked) }
    }
}
