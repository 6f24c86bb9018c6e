//! Building and signing a keyset, in fixed memory.

use core::convert::Infallible;
use core::fmt;

use heapless::Vec;
use p256::ecdsa::Signature;

use super::checkpoint::Checkpoint;
use super::entry::{Entry, EntryKey, InvalidEntry};
use super::format::{HEADER_LEN, Head, encode_header, encode_payload, encode_start, lengths, payload_digest};
use super::{MAX_ENTRIES, MAX_KEYSET};
use crate::cbor::encoder::{Sink, SinkError, Writer};
use crate::kid::KeyId;
use crate::name::KeysetName;
use crate::provider::Signer;
use crate::structure::signature_digest;

/// The reason for which a keyset cannot be built. `E` is the error of the signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError<E = Infallible> {
    /// The keyset would be issued at or after its end, or at a time of 2^40 or later.
    InvalidTimes,
    /// All sequence numbers are used.
    SequenceExhausted,
    /// The entry contradicts itself; see [`InvalidEntry`].
    InvalidEntry,
    /// The keyset already has an entry with this kid.
    DuplicateKid,
    /// The keyset has no entry with this kid.
    UnknownKid,
    /// The key of an entry, or its purpose, would change.
    KeyChanged,
    /// The change of state is not allowed; see [`KeyState::can_become`](super::KeyState::can_become).
    StateNotAllowed,
    /// The draft has no memory for another entry.
    Full,
    /// The draft has no entries.
    Empty,
    /// The keyset would be longer than [`MAX_KEYSET`].
    TooLong,
    /// The signing root is also an entry of the keyset.
    RootInKeyset,
    /// The buffer is shorter than the keyset; [`KeysetDraft::signed_len`] returns the required size.
    BufferTooSmall,
    /// The signer failed; nothing was signed.
    Signer(E),
    /// The signer returned bytes that are not a valid ES256 signature.
    InvalidSignature,
}

impl<E: fmt::Display> fmt::Display for BuildError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidTimes => "the keyset ends before it is issued",
            Self::SequenceExhausted => "all sequence numbers of the keyset are used",
            Self::InvalidEntry => "the entry of the keyset contradicts itself",
            Self::DuplicateKid => "the keyset already has an entry with this kid",
            Self::UnknownKid => "the keyset has no entry with this kid",
            Self::KeyChanged => "the key of an entry cannot be changed",
            Self::StateNotAllowed => "the key cannot change from its state to the new one",
            Self::Full => "the keyset is full",
            Self::Empty => "the keyset has no entries",
            Self::TooLong => "the keyset is too long",
            Self::RootInKeyset => "the signing root is an entry of the keyset",
            Self::BufferTooSmall => "the buffer is too small for the keyset",
            Self::Signer(error) => return write!(f, "the signer failed: {error}"),
            Self::InvalidSignature => "the signer returned an invalid signature",
        })
    }
}

impl<E: core::error::Error> core::error::Error for BuildError<E> {}

/// A keyset before it is signed, with at most `N` and never more than [`MAX_ENTRIES`] entries.
#[derive(Clone, Debug)]
pub struct KeysetDraft<'a, const N: usize> {
    head: Head<'a>,
    /// Ascending by kid.
    entries: Vec<Entry<'a>, N>,
}

impl<'a, const N: usize> KeysetDraft<'a, N> {
    /// Creates the first keyset of a deployment, in force from `issued_at` until `not_after`.
    ///
    /// # Errors
    /// [`BuildError::InvalidTimes`].
    pub const fn first(name: KeysetName<'a>, issued_at: u64, not_after: u64) -> Result<Self, BuildError> {
        Self::new(Head { name, sequence: 1, issued_at, not_after, previous: None })
    }

    /// Creates an empty keyset that follows the one with this checkpoint. To keep its entries, use
    /// [`VerifiedKeyset::draft`](super::VerifiedKeyset::draft).
    ///
    /// # Errors
    /// [`BuildError::InvalidTimes`] or [`BuildError::SequenceExhausted`].
    ///
    /// # Security
    /// Two keysets that follow the same one are a fork, and verifiers that have seen one refuse the other. The
    /// checkpoint must be that of the last keyset that the root has signed, published or not.
    pub const fn after(
        last: &Checkpoint,
        name: KeysetName<'a>,
        issued_at: u64,
        not_after: u64,
    ) -> Result<Self, BuildError> {
        let sequence = last.sequence() + 1;
        if sequence >= super::MAX_SEQUENCE {
            return Err(BuildError::SequenceExhausted);
        }
        Self::new(Head { name, sequence, issued_at, not_after, previous: Some(*last.digest()) })
    }

    const fn new(head: Head<'a>) -> Result<Self, BuildError> {
        if head.issued_at >= head.not_after || head.not_after >= crate::claims::MAX_TIME {
            return Err(BuildError::InvalidTimes);
        }
        Ok(Self { head, entries: Vec::new() })
    }

    pub(super) fn with_entries(self, entries: Vec<Entry<'a>, N>) -> Self {
        Self { entries, ..self }
    }

    /// Returns the sequence number that the keyset will have.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.head.sequence
    }

    /// Returns the entries by ascending kid.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`BuildError::InvalidEntry`], [`BuildError::DuplicateKid`] or [`BuildError::Full`].
    pub fn insert(&mut self, entry: Entry<'a>) -> Result<(), BuildError> {
        entry.check().map_err(|InvalidEntry| BuildError::InvalidEntry)?;
        let Err(place) = self.find(entry.kid()) else { return Err(BuildError::DuplicateKid) };
        if self.entries.len() >= MAX_ENTRIES {
            return Err(BuildError::Full);
        }
        self.entries.insert(place, entry).map_err(|_| BuildError::Full)
    }

    /// Replaces the entry with the same kid by one with another state, other times or another role.
    ///
    /// # Errors
    /// [`BuildError::InvalidEntry`], [`BuildError::UnknownKid`], [`BuildError::KeyChanged`] or
    /// [`BuildError::StateNotAllowed`].
    pub fn replace(&mut self, entry: Entry<'a>) -> Result<(), BuildError> {
        entry.check().map_err(|InvalidEntry| BuildError::InvalidEntry)?;
        let place = self.find(entry.kid()).map_err(|_| BuildError::UnknownKid)?;
        let present = self.entries.get_mut(place).ok_or(BuildError::UnknownKid)?;
        if !present.state.can_become(entry.state) {
            return Err(BuildError::StateNotAllowed);
        }
        // Without its role, a key of suite E would become a key of suite SE.
        let other_use =
            matches!(entry.key, EntryKey::A256Gcm(_)) && present.role.is_some() != entry.role.is_some();
        let tombstone = matches!(entry.key, EntryKey::Tombstone(_));
        if !tombstone && (present.key != entry.key || other_use) {
            return Err(BuildError::KeyChanged);
        }
        *present = entry;
        Ok(())
    }

    /// Removes the tombstone of a destroyed key.
    ///
    /// # Errors
    /// [`BuildError::UnknownKid`]; [`BuildError::StateNotAllowed`] if the key is not destroyed.
    pub fn remove(&mut self, kid: KeyId) -> Result<(), BuildError> {
        let place = self.find(kid).map_err(|_| BuildError::UnknownKid)?;
        if self.entries.get(place).is_some_and(|entry| !matches!(entry.key, EntryKey::Tombstone(_))) {
            return Err(BuildError::StateNotAllowed);
        }
        self.entries.remove(place);
        Ok(())
    }

    fn find(&self, kid: KeyId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&kid, Entry::kid)
    }

    /// Returns the exact size of the signed keyset, in bytes.
    #[must_use]
    pub fn signed_len(&self) -> usize {
        lengths(&self.head, &self.entries).map_or(usize::MAX, |(len, _)| len)
    }

    /// Returns the checkpoint that a verifier stores after it has verified this keyset.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.head.sequence, payload_digest(&self.head, &self.entries))
    }

    /// Signs with the root, writes the keyset into `buffer`, and returns the written bytes.
    ///
    /// # Errors
    /// [`BuildError::Empty`], [`BuildError::RootInKeyset`], [`BuildError::TooLong`],
    /// [`BuildError::BufferTooSmall`], [`BuildError::Signer`] or [`BuildError::InvalidSignature`].
    ///
    /// # Security
    /// The root must sign keysets only. This function does not verify the signature: verify the keyset with the pinned
    /// root, as a worker does, before it is published.
    pub fn sign<'b, S: Signer>(
        &self,
        root: &mut S,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], BuildError<S::Error>> {
        let kid = root.kid();
        if self.entries.is_empty() {
            return Err(BuildError::Empty);
        }
        if self.find(kid).is_ok() {
            return Err(BuildError::RootInKeyset);
        }
        let (len, payload_len) =
            lengths(&self.head, &self.entries).map_err(|SinkError| BuildError::TooLong)?;
        if len > MAX_KEYSET {
            return Err(BuildError::TooLong);
        }
        let buffer = buffer.get_mut(..len).ok_or(BuildError::BufferTooSmall)?;
        let mut writer = Writer::new(buffer);
        let payload_start =
            self.write(kid, payload_len, &mut writer).map_err(|_| BuildError::BufferTooSmall)?;
        let payload = writer.as_bytes().get(payload_start..).unwrap_or_default();
        let digest = signature_digest(&header(kid), payload);
        let signature = root.sign_digest(&digest).map_err(BuildError::Signer)?;
        // Tokens return a high s in half of all cases. Only the low s is accepted.
        let signature = Signature::from_slice(&signature).map_err(|_| BuildError::InvalidSignature)?;
        writer.bytes(&signature.normalize_s().to_bytes()).map_err(|SinkError| BuildError::BufferTooSmall)?;
        Ok(buffer)
    }

    /// Writes everything except the signature, and returns the offset of the payload.
    fn write(&self, root: KeyId, payload_len: usize, writer: &mut Writer<'_>) -> Result<usize, SinkError> {
        encode_start(root, payload_len, writer)?;
        let start = writer.position();
        encode_payload(&self.head, &self.entries, writer)?;
        Ok(start)
    }
}

fn header(root: KeyId) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    encode_header(root, &mut Writer::new(&mut header)).expect("the format fixes the length of the header");
    header
}
