//! Verifying a keyset against the pinned roots, what was seen before, and the time.

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

/// What a verifier has pinned: which keyset it wants, and the one or two root keys that may sign it.
///
/// # Security
/// Whoever can change this decides which keys are good. It belongs into the firmware, or into a file that only
/// the administrator writes, and never comes the way the keyset comes.
#[derive(Clone, Copy, Debug)]
pub struct PinnedRoots<'a> {
    name: KeysetName<'a>,
    first: VerifyingKey,
    second: Option<VerifyingKey>,
}

impl<'a> PinnedRoots<'a> {
    /// One root.
    #[must_use]
    pub const fn new(name: KeysetName<'a>, root: VerifyingKey) -> Self {
        Self { name, first: root, second: None }
    }

    /// This root and `other`, either of which suffices: while one takes the place of the other.
    ///
    /// # Errors
    /// [`InvalidKey`] if there are two already, or it is the same.
    pub fn or(self, other: VerifyingKey) -> Result<Self, InvalidKey> {
        if self.second.is_some() || self.first.kid() == other.kid() {
            return Err(InvalidKey);
        }
        Ok(Self { second: Some(other), ..self })
    }

    /// The name of the keyset.
    #[must_use]
    pub const fn name(&self) -> KeysetName<'a> {
        self.name
    }

    /// The pinned root with this kid.
    #[must_use]
    pub fn find(&self, kid: KeyId) -> Option<&VerifyingKey> {
        Some(&self.first).into_iter().chain(&self.second).find(|root| root.kid() == kid)
    }
}

/// A signed keyset that is well-formed. Nothing in it is known to be true.
#[derive(Clone, Copy)]
pub struct UnverifiedKeyset<'a> {
    signed: Signed<'a>,
}

impl<'a> UnverifiedKeyset<'a> {
    /// Decodes `bytes`, which must be the one encoding of a signed keyset, nothing before or after it.
    ///
    /// # Errors
    /// [`KeysetRefusal::TooLarge`] or [`KeysetRefusal::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, KeysetRefusal> {
        Signed::decode(bytes).map(|signed| Self { signed })
    }

    /// The kid of the root that it claims to be signed by.
    #[must_use]
    pub const fn root(&self) -> KeyId {
        self.signed.root
    }

    /// The sequence number that it claims, to tell whether it is worth a closer look.
    ///
    /// # Security
    /// Anybody can have written this. Nothing may be decided by it but what [`verify`](Self::verify) decides
    /// again.
    #[must_use]
    pub const fn danger_sequence_unverified(&self) -> u64 {
        self.signed.head.sequence
    }

    /// Verifies the signature (RFC 9052 section 4.4) and checks name, history, time and keys. `N` is the most
    /// entries there is memory for.
    ///
    /// # Errors
    /// [`KeysetRefusal::UnknownRoot`] or [`KeysetRefusal::Rejected`]; after a good signature every other one
    /// from [`KeysetRefusal::WrongName`] on.
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

    /// [`verify`](Self::verify) with another provider.
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

    /// Verifies everything but the time, for a device that has no clock.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), without [`KeysetRefusal::IssuedInFuture`] and [`KeysetRefusal::Expired`].
    ///
    /// # Security
    /// Nothing keeps whoever carries the keyset from withholding every newer one for ever: keys that were
    /// revoked after this keyset stay good here. The checkpoint alone stands against older ones.
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

/// Whether the signature is the one of `(r, s)` and `(r, n - s)` that is accepted. Public bytes.
fn is_low_s(signature: &[u8; SIGNATURE_LEN]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| signature.normalize_s() == signature)
}

/// Refuses if any time in the window would have to be refused. The end has no tolerance: it is far away when a
/// keyset is issued, and a newer one is there long before.
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

/// A keyset that a pinned root has signed. Its keys are reached by way of the time: [`at`](Self::at).
///
/// Holds `N` entries of at most 200 bytes each; texts are borrowed from the bytes that were decoded.
#[derive(Clone)]
pub struct VerifiedKeyset<'a, const N: usize> {
    head: Head<'a>,
    root: KeyId,
    checkpoint: Checkpoint,
    entries: Vec<Entry<'a>, N>,
}

impl<'a, const N: usize> VerifiedKeyset<'a, N> {
    /// The keys, at a time at which the keyset is in force. To be asked anew for every task: a keyset can
    /// expire while it is loaded.
    ///
    /// # Errors
    /// [`KeysetRefusal::Expired`], or [`KeysetRefusal::IssuedInFuture`] if the clock was set back.
    pub fn at(&self, now: TimeWindow) -> Result<CurrentKeys<'_, 'a>, KeysetRefusal> {
        in_force(&self.head, now)?;
        Ok(CurrentKeys::new(&self.entries, Some(now.ordered())))
    }

    /// The keys at whatever time it is, for a device that has no clock.
    ///
    /// # Security
    /// As [`UnverifiedKeyset::danger_verify_without_clock`]; moreover keys seal outside their period of use.
    #[must_use]
    pub fn danger_at_any_time(&self) -> CurrentKeys<'_, 'a> {
        CurrentKeys::new(&self.entries, None)
    }

    /// What to store before a key of this keyset is used; see [`Checkpoint`].
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Whose keyset it is.
    #[must_use]
    pub const fn name(&self) -> KeysetName<'a> {
        self.head.name
    }

    /// The kid of the root that signed it.
    #[must_use]
    pub const fn root(&self) -> KeyId {
        self.root
    }

    /// The sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.head.sequence
    }

    /// Unix time in seconds at which it was issued.
    #[must_use]
    pub const fn issued_at(&self) -> u64 {
        self.head.issued_at
    }

    /// Unix time in seconds from which on it is refused.
    #[must_use]
    pub const fn not_after(&self) -> u64 {
        self.head.not_after
    }

    /// All entries by ascending kid, whatever their state, for display and for tools.
    ///
    /// # Security
    /// Not for decisions: these include keys that are not accepted, and say nothing about the time.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// A draft of the keyset after this one, with the same entries.
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
