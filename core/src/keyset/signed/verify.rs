//! Verification of a keyset against the pinned roots, the checkpoint, and the time.

use core::fmt;

use heapless::Vec;
use p256::ecdsa::Signature;
use sha2::{Digest, Sha256};

use super::ISSUE_SKEW;
use super::build::{BuildError, KeysetDraft};
use super::checkpoint::Checkpoint;
use super::current::CurrentKeys;
use super::entry::Entry;
use super::format::{Head, SIGNATURE_LEN, Signed};
use super::refusal::KeysetRefusal;
use crate::error::InvalidKey;
use crate::keys::VerifyingKey;
use crate::kid::KeyId;
use crate::name::KeysetName;
use crate::provider::{Provider, Software};
use crate::structure::signature_digest;
use crate::time::{Clock, TimeWindow};

/// The trust anchors of a verifier: the name of the keyset, and the one or two root keys that may sign it.
///
/// # Security
/// These values determine which keys are valid. Store them in the firmware, or in a file that only the administrator
/// can write. Never load them over the transport of the keyset.
#[derive(Clone, Copy, Debug)]
pub struct PinnedRoots<'a> {
    name: KeysetName<'a>,
    first: VerifyingKey,
    second: Option<VerifyingKey>,
}

impl<'a> PinnedRoots<'a> {
    /// Creates pinned roots with one root.
    #[must_use]
    pub const fn new(name: KeysetName<'a>, root: VerifyingKey) -> Self {
        Self { name, first: root, second: None }
    }

    /// Adds a second root, for the time of a root rotation. Either of them is sufficient.
    ///
    /// # Errors
    /// [`InvalidKey`] if there are two roots already, or if `other` is the first.
    pub fn or(self, other: VerifyingKey) -> Result<Self, InvalidKey> {
        if self.second.is_some() || self.first.kid() == other.kid() {
            return Err(InvalidKey);
        }
        Ok(Self { second: Some(other), ..self })
    }

    /// Returns the name of the keyset.
    #[must_use]
    pub const fn name(&self) -> KeysetName<'a> {
        self.name
    }

    /// Returns the pinned root with this kid.
    #[must_use]
    pub fn find(&self, kid: KeyId) -> Option<&VerifyingKey> {
        Some(&self.first).into_iter().chain(&self.second).find(|root| root.kid() == kid)
    }
}

/// A well-formed signed keyset whose content is not verified.
#[derive(Clone, Copy)]
pub struct UnverifiedKeyset<'a> {
    signed: Signed<'a>,
}

impl<'a> UnverifiedKeyset<'a> {
    /// Decodes `bytes`, which must hold one deterministically encoded signed keyset and nothing else.
    ///
    /// # Errors
    /// [`KeysetRefusal::TooLarge`] or [`KeysetRefusal::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, KeysetRefusal> {
        Signed::decode(bytes).map(|signed| Self { signed })
    }

    /// Returns the kid of the root that the keyset names.
    #[must_use]
    pub const fn root(&self) -> KeyId {
        self.signed.root
    }

    /// Returns the unverified sequence number, to decide whether the keyset is worth verifying.
    ///
    /// # Security
    /// An attacker can write this number. No decision may depend on it that [`verify`](Self::verify) does not check again.
    #[must_use]
    pub const fn danger_sequence_unverified(&self) -> u64 {
        self.signed.head.sequence
    }

    /// Verifies the signature (RFC 9052 section 4.4) and checks name, history, time and keys. `N` is the maximum number
    /// of entries.
    ///
    /// # Errors
    /// [`KeysetRefusal::UnknownRoot`] or [`KeysetRefusal::Rejected`]; after a valid signature every other one from
    /// [`KeysetRefusal::WrongName`] on.
    ///
    /// # Security
    /// `last_seen` is the stored checkpoint; `None` only if this verifier has never used a keyset before.
    /// Before a key of the result is used, its [`checkpoint`](VerifiedKeyset::checkpoint) must have been
    /// stored; see [`Checkpoint`].
    pub fn verify<const N: usize>(
        self,
        roots: &PinnedRoots<'_>,
        last_seen: Option<&Checkpoint>,
        clock: &mut impl Clock,
    ) -> Result<VerifiedKeyset<'a, N>, KeysetRefusal> {
        self.verify_with(&Software, roots, last_seen, clock)
    }

    /// Like [`verify`](Self::verify), with another provider.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_with<const N: usize>(
        self,
        provider: &impl Provider,
        roots: &PinnedRoots<'_>,
        last_seen: Option<&Checkpoint>,
        clock: &mut impl Clock,
    ) -> Result<VerifiedKeyset<'a, N>, KeysetRefusal> {
        let authentic = self.authenticate(provider, roots, last_seen)?;
        in_force(&self.signed.head, clock.now())?;
        self.collect(roots, authentic)
    }

    /// Verifies everything except the time, for a device without a clock.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), without [`KeysetRefusal::IssuedInFuture`] and [`KeysetRefusal::Expired`].
    ///
    /// # Security
    /// The transport can withhold newer keysets without limit, so keys that were revoked after this keyset remain
    /// valid. Only the checkpoint protects against older keysets.
    pub fn danger_verify_without_clock<const N: usize>(
        self,
        roots: &PinnedRoots<'_>,
        last_seen: Option<&Checkpoint>,
    ) -> Result<VerifiedKeyset<'a, N>, KeysetRefusal> {
        let authentic = self.authenticate(&Software, roots, last_seen)?;
        self.collect(roots, authentic)
    }

    fn authenticate(
        &self,
        provider: &impl Provider,
        roots: &PinnedRoots<'_>,
        last_seen: Option<&Checkpoint>,
    ) -> Result<Checkpoint, KeysetRefusal> {
        let signed = &self.signed;
        let root = roots.find(signed.root).ok_or(KeysetRefusal::UnknownRoot)?;
        if !is_low_s(signed.signature) {
            return Err(KeysetRefusal::Rejected);
        }
        let digest = signature_digest(signed.header, signed.payload);
        provider.verify_es256(root, &digest, signed.signature).map_err(|_| KeysetRefusal::Rejected)?;
        if signed.head.name != roots.name {
            return Err(KeysetRefusal::WrongName);
        }
        let digest = Sha256::digest(signed.payload).into();
        if let Some(last_seen) = last_seen {
            last_seen.check(&signed.head, &digest)?;
        }
        Ok(Checkpoint::new(signed.head.sequence, digest))
    }

    fn collect<const N: usize>(
        self,
        roots: &PinnedRoots<'_>,
        checkpoint: Checkpoint,
    ) -> Result<VerifiedKeyset<'a, N>, KeysetRefusal> {
        let (mut entries, mut fits) = (Vec::new(), true);
        for entry in self.signed.entries {
            let entry = entry.map_err(|_| KeysetRefusal::Malformed)?;
            if roots.find(entry.kid()).is_some() {
                return Err(KeysetRefusal::RootInKeyset);
            }
            fits &= entries.push(entry).is_ok();
        }
        if !fits {
            return Err(KeysetRefusal::TooManyKeys);
        }
        Ok(VerifiedKeyset { head: self.signed.head, root: self.signed.root, checkpoint, entries })
    }
}

/// Returns whether the signature is the accepted one of `(r, s)` and `(r, n - s)`. The bytes are public.
fn is_low_s(signature: &[u8; SIGNATURE_LEN]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| signature.normalize_s() == signature)
}

/// Refuses if the check fails for any time in the window. The end has no tolerance: a keyset is issued long before its
/// end, and is replaced before it is reached.
fn in_force(head: &Head<'_>, now: TimeWindow) -> Result<(), KeysetRefusal> {
    let now = now.ordered();
    if now.earliest.saturating_add(ISSUE_SKEW) < head.issued_at {
        return Err(KeysetRefusal::IssuedInFuture);
    }
    if now.latest >= head.not_after {
        return Err(KeysetRefusal::Expired);
    }
    Ok(())
}

/// A keyset with the verified signature of a pinned root. Its keys are available for a given time: [`at`](Self::at).
///
/// Holds `N` entries of at most 200 bytes each. Texts are borrowed from the decoded bytes.
#[derive(Clone)]
pub struct VerifiedKeyset<'a, const N: usize> {
    head: Head<'a>,
    root: KeyId,
    checkpoint: Checkpoint,
    entries: Vec<Entry<'a>, N>,
}

impl<'a, const N: usize> VerifiedKeyset<'a, N> {
    /// Returns the keys at a time at which the keyset is in force. Call it again for every task, because a loaded
    /// keyset can expire.
    ///
    /// # Errors
    /// [`KeysetRefusal::Expired`], or [`KeysetRefusal::IssuedInFuture`] if the clock was set back.
    pub fn at(&self, now: TimeWindow) -> Result<CurrentKeys<'_, 'a>, KeysetRefusal> {
        in_force(&self.head, now)?;
        Ok(CurrentKeys::new(&self.entries, Some(now.ordered())))
    }

    /// Returns the keys for any time, for a device without a clock.
    ///
    /// # Security
    /// As [`UnverifiedKeyset::danger_verify_without_clock`]. In addition, keys seal outside their period of use.
    #[must_use]
    pub fn danger_at_any_time(&self) -> CurrentKeys<'_, 'a> {
        CurrentKeys::new(&self.entries, None)
    }

    /// Returns the checkpoint to store before a key of this keyset is used; see [`Checkpoint`].
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Returns the name of the deployment.
    #[must_use]
    pub const fn name(&self) -> KeysetName<'a> {
        self.head.name
    }

    /// Returns the kid of the root that signed the keyset.
    #[must_use]
    pub const fn root(&self) -> KeyId {
        self.root
    }

    /// Returns the sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.head.sequence
    }

    /// Returns the Unix time in seconds at which the keyset was issued.
    #[must_use]
    pub const fn issued_at(&self) -> u64 {
        self.head.issued_at
    }

    /// Returns the Unix time in seconds from which the keyset is refused.
    #[must_use]
    pub const fn not_after(&self) -> u64 {
        self.head.not_after
    }

    /// Returns all entries by ascending kid, in any state, for display and for tools.
    ///
    /// # Security
    /// Not for decisions: the entries include keys that are not accepted, and their times are not checked.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// Creates a draft of the next keyset, with the same entries.
    ///
    /// # Errors
    /// [`BuildError::InvalidTimes`] or [`BuildError::SequenceExhausted`].
    pub fn draft(&self, issued_at: u64, not_after: u64) -> Result<KeysetDraft<'a, N>, BuildError> {
        let draft = KeysetDraft::after(&self.checkpoint, self.head.name, issued_at, not_after)?;
        Ok(draft.with_entries(self.entries.clone()))
    }
}

impl fmt::Debug for UnverifiedKeyset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedKeyset").field("root", &self.root()).finish_non_exhaustive()
    }
}

impl<const N: usize> fmt::Debug for VerifiedKeyset<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedKeyset")
            .field("name", &self.name())
            .field("sequence", &self.sequence())
            .field("not_after", &self.not_after())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}
