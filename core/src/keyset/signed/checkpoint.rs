//! Checkpoints: the record that a verifier keeps of the newest keyset it has used.

use core::fmt;

use super::MAX_SEQUENCE;
use super::format::Head;
use super::refusal::KeysetRefusal;

/// The newest keyset seen: its sequence number and the SHA-256 of its payload.
///
/// # Security
/// Without a checkpoint, the transport can deliver any older keyset that has not expired, with keys that have been
/// revoked since. A verifier
///
/// * stores [`VerifiedKeyset::checkpoint`](super::VerifiedKeyset::checkpoint) **before** it uses a key of that keyset,
///   so that a crash cannot lose the record of a used keyset;
/// * stores it atomically and durably, where the transport cannot write;
/// * never replaces a higher sequence number by a lower one;
/// * treats an unreadable checkpoint as a fault, not as a missing one: "no checkpoint" is for the first start only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    sequence: u64,
    digest: [u8; 32],
}

/// Bytes that are not a checkpoint: erased or damaged storage.
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
    /// Size of a stored checkpoint, in bytes.
    pub const LEN: usize = 40;

    /// Creates a checkpoint. The sequence number must be from 1 to 2^53 - 1.
    pub(super) const fn new(sequence: u64, digest: [u8; 32]) -> Self {
        Self { sequence, digest }
    }

    /// Returns the sequence number of the keyset.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the SHA-256 of the payload of the keyset.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns the stored form: the sequence number in 8 bytes, big-endian, then the digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (sequence, digest) = bytes.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        digest.copy_from_slice(&self.digest);
        bytes
    }

    /// Parses a stored checkpoint.
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

    /// Checks whether a keyset with this head and payload digest is the same one or may follow.
    pub(super) fn check(&self, head: &Head<'_>, digest: &[u8; 32]) -> Result<(), KeysetRefusal> {
        if head.sequence < self.sequence {
            return Err(KeysetRefusal::RolledBack);
        }
        let fits = match head.sequence - self.sequence {
            0 => *digest == self.digest,
            1 => head.previous == Some(self.digest),
            // The keysets between them were missed. The root's signature over the later one is sufficient.
            _ => true,
        };
        if fits { Ok(()) } else { Err(KeysetRefusal::Forked) }
    }
}
