//! Opening: decode, then verify, then admit, then decrypt. Each step is a type; none can be skipped or repeated.

mod decrypt;
mod in_place;

use core::fmt;

use sha2::{Digest, Sha256};

use self::decrypt::Body;
pub use self::decrypt::Opened;
#[doc(hidden)]
pub use self::in_place::{InPlace, Place};

use crate::batch::{RootCache, RootId};
use crate::claims::Claims;
use crate::commit::ContentKey;
use crate::constant_time::tags_match;
use crate::envelope::{Envelope, Layer, Origin};
use crate::error::OpenError;
use crate::inner::{IV_LEN, TAG_LEN};
use crate::keys::{EncryptionKey, VerifyingKey};
use crate::keyset::{DecryptionKeys, KeyLookup, KeyRecord, RecordKey};
use crate::kid::KeyId;
use crate::name::ContentType;
use crate::policy::Policy;
use crate::provider::{Provider, Rejected, Software};
use crate::refusal::Refusal;
use crate::replay::{Admission, AdmissionRequest, NotAdmitted, ReplayGuard};
use crate::stack::{Depth, leaving_nothing};
use crate::structure::{EncStructure, EncryptContext, batch_leaf, mac_tag, signature_digest};
use crate::suite::{Kind, Suite};
use crate::time::Clock;

/// An envelope that is well-formed. Nothing in it is known to be true.
#[derive(Clone, Copy)]
pub struct Unverified<'a> {
    pub(crate) envelope: Envelope<'a>,
}

impl<'a> Unverified<'a> {
    /// Decodes `bytes`, which must be the one encoding of an envelope, nothing before or after it.
    ///
    /// # Errors
    /// [`Refusal::Unsealed`], [`Refusal::TooLarge`] or [`Refusal::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let mut task = Self { envelope: Envelope::UNSET };
        task.envelope.decode(bytes, None)?;
        Ok(task)
    }

    /// Decodes the detached form of suite S or M, whose `body` travels beside it: in clear, where a framework that
    /// knows nothing of seals reads it. [`parse`](Self::parse) refuses that form, and this refuses every other.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    ///
    /// # Security
    /// What runs must be these very bytes of `body`, not what a framework made of them.
    pub fn parse_detached(bytes: &'a [u8], body: &'a [u8]) -> Result<Self, OpenError> {
        let mut task = Self { envelope: Envelope::UNSET };
        task.envelope.decode(bytes, Some(body))?;
        Ok(task)
    }

    /// The kid of the key it claims to be sealed with.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.envelope.header.kid
    }

    /// The suite it claims to be sealed with.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.envelope.suite()
    }

    /// Whether it claims to be part of a batch: sealed by a signature that covers others too.
    #[must_use]
    pub const fn is_batched(&self) -> bool {
        self.envelope.is_batched()
    }

    /// What it claims to be.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.envelope.header.kind
    }

    /// Bytes of its body.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.envelope.body_len()
    }

    /// What it claims about the task, for a person to look at.
    ///
    /// # Security
    /// Anybody can have written this. Nothing may be decided by it.
    #[must_use]
    pub const fn danger_claims_unverified(&self) -> &Claims<'a> {
        &self.envelope.header.claims
    }

    /// The kid of the key that the body is encrypted to: of suite E the kid itself; `None` if it is not
    /// encrypted.
    #[must_use]
    pub const fn recipient_kid(&self) -> Option<KeyId> {
        match self.envelope.layer {
            Layer::Encrypted { .. } => Some(self.envelope.header.kid),
            _ => self.envelope.inner_kid(),
        }
    }

    /// Verifies the signature or tag and checks the claims against the rights of the key, the policy and the
    /// time. Nothing is decrypted.
    ///
    /// # Errors
    /// [`OpenError::Refused`] with [`Refusal::WrongKind`], [`Refusal::SuiteNotAllowed`],
    /// [`Refusal::TooLarge`], [`Refusal::UnknownKey`] or [`Refusal::Rejected`]; after a good signature every
    /// other one up to [`Refusal::NotYetValid`].
    ///
    /// # Security
    /// `policy.audience` must be the queue that the envelope was really taken from, not a name found beside
    /// it.
    pub fn verify(
        self,
        keys: &impl KeyLookup,
        policy: &Policy<'_>,
        clock: &mut impl Clock,
    ) -> Result<Verified<'a>, OpenError> {
        self.verify_with(&Software, &mut (), keys, policy, clock)
    }

    /// [`verify`](Self::verify) with another provider, and with the roots of batches that were verified before.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_with(
        self,
        provider: &impl Provider,
        roots: &mut impl RootCache,
        keys: &impl KeyLookup,
        policy: &Policy<'_>,
        clock: &mut impl Clock,
    ) -> Result<Verified<'a>, OpenError> {
        // By reference: an envelope is long, and every move of it would take its place on the stack.
        let facts = check(&self.envelope, provider, roots, keys, policy, clock)?;
        Ok(Verified { envelope: self.envelope, facts })
    }
}

/// What comes to light when an envelope is verified.
#[derive(Clone, Copy)]
struct Facts {
    digest: [u8; 32],
    forget_after: Option<u64>,
    seen_at: u64,
}

#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn check(
    envelope: &Envelope<'_>,
    provider: &impl Provider,
    roots: &mut impl RootCache,
    keys: &impl KeyLookup,
    policy: &Policy<'_>,
    clock: &mut impl Clock,
) -> Result<Facts, OpenError> {
    if envelope.header.kind != policy.kind {
        return Err(Refusal::WrongKind.into());
    }
    // The policy decides which suites are good enough, never the message.
    if !policy.suites.contains(envelope.suite()) {
        return Err(Refusal::SuiteNotAllowed.into());
    }
    if envelope.is_batched() && !policy.accept_batches {
        return Err(Refusal::SuiteNotAllowed.into());
    }
    if envelope.body_len() > policy.max_body {
        return Err(Refusal::TooLarge.into());
    }
    let kid = envelope.header.kid;
    let record = keys.find(kid).filter(|record| record.kid() == kid).ok_or(Refusal::UnknownKey)?;
    let depth = Depth::of_verifying(envelope.suite());
    leaving_nothing(depth, || authenticate(envelope, &record, provider, roots))
        .map_err(|Rejected| Refusal::Rejected)?;
    // One key, one purpose: what verifies envelopes (ES256, or suite E) never decrypts inside a signature.
    if envelope.inner_kid().is_some_and(|inner| keys.find(inner).is_some()) {
        return Err(Refusal::Rejected.into());
    }
    if record.kind != envelope.header.kind {
        return Err(Refusal::WrongKind.into());
    }
    let now = clock.now().ordered();
    policy.check(&record, &envelope.header.claims, now)?;
    let digest = Sha256::digest(envelope.bytes).into();
    let forget_after = policy.forget_after(&envelope.header.claims);
    Ok(Facts { digest, forget_after, seen_at: now.earliest })
}

/// Checks the outermost layer with the key of the record; the message's algorithm must be the record's.
fn authenticate(
    envelope: &Envelope<'_>,
    record: &KeyRecord<'_>,
    provider: &impl Provider,
    roots: &mut impl RootCache,
) -> Result<(), Rejected> {
    match (envelope.layer, record.key) {
        (Layer::Signed { origin: Origin::Signature(signature), .. }, RecordKey::Es256(key)) => {
            let digest = signature_digest(envelope.header_bytes, envelope.payload);
            verify_low_s(key, &digest, signature, provider)
        }
        (Layer::Signed { origin: Origin::Receipt(receipt), .. }, RecordKey::Es256(key)) => {
            let leaf = batch_leaf(envelope.header_bytes, envelope.payload);
            let root = receipt.root(leaf).ok_or(Rejected)?;
            let id = RootId::new(key, receipt.header_bytes, &root, receipt.signature);
            if roots.contains(&id) {
                return Ok(());
            }
            let digest = signature_digest(receipt.header_bytes, &root);
            verify_low_s(key, &digest, receipt.signature, provider)?;
            roots.insert(id);
            Ok(())
        }
        (Layer::Mac { tag, .. }, RecordKey::Hmac256(key)) => {
            let expected = mac_tag(key.key(), envelope.header_bytes, envelope.payload);
            if tags_match(expected.as_bytes(), tag) { Ok(()) } else { Err(Rejected) }
        }
        (Layer::Encrypted { iv, .. }, RecordKey::A256Gcm(key)) => {
            check_encrypted(envelope, iv, key, provider)
        }
        _ => Err(Rejected),
    }
}

/// Suite E: the tag of the AEAD, without decrypting.
#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn check_encrypted(
    envelope: &Envelope<'_>,
    iv: &[u8; IV_LEN],
    key: &EncryptionKey,
    provider: &impl Provider,
) -> Result<(), Rejected> {
    let salt_commit = envelope.header.salt_commit.ok_or(Rejected)?;
    let mut content_key = ContentKey::zeroed();
    content_key.derive_shared_checked(key.key(), salt_commit)?;
    let aad =
        EncStructure::new(EncryptContext::Encrypt0, envelope.header_bytes, &[]).map_err(|_| Rejected)?;
    let (ciphertext, tag) = envelope.payload.split_last_chunk::<TAG_LEN>().ok_or(Rejected)?;
    provider.check_a256gcm(&content_key.key, iv, &aad.pieces(), ciphertext, tag)
}

#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn verify_low_s(
    key: &VerifyingKey,
    digest: &[u8; 32],
    signature: &[u8; 64],
    provider: &impl Provider,
) -> Result<(), Rejected> {
    if !is_low_s(signature) {
        return Err(Rejected);
    }
    provider.verify_es256(key, digest, signature)
}

/// Whether `s` is at most half the order of the curve: of the two signatures `(r, s)` and `(r, n - s)` only one
/// is accepted. Public bytes, compared big-endian.
fn is_low_s(signature: &[u8; 64]) -> bool {
    let (_, s) = signature.split_at(32);
    s <= HALF_ORDER.as_slice()
}

/// n / 2 of P-256 (SEC 2 section 2.4.2), rounded down.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde,
    0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// An envelope whose origin and claims are verified. Whether it may run is not decided yet.
#[derive(Clone, Copy)]
pub struct Verified<'a> {
    envelope: Envelope<'a>,
    facts: Facts,
}

impl<'a> Verified<'a> {
    /// What the issuer says about the task.
    #[must_use]
    pub const fn claims(&self) -> &Claims<'a> {
        &self.envelope.header.claims
    }

    /// The kid of the key that sealed it.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.envelope.header.kid
    }

    /// The suite it is sealed with.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.envelope.suite()
    }

    /// Whether it is part of a batch.
    #[must_use]
    pub const fn is_batched(&self) -> bool {
        self.envelope.is_batched()
    }

    /// Whether it is a task or a result.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.envelope.header.kind
    }

    /// Media type of the body.
    #[must_use]
    pub const fn content_type(&self) -> ContentType<'a> {
        self.envelope.content_type()
    }

    /// Bytes of the body; a buffer of this length is enough to open it.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.envelope.body_len()
    }

    /// SHA-256 of the whole envelope, to which a result is bound. A detached body is bound by its signature or tag.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.facts.digest
    }

    /// What a replay guard is told about it.
    #[must_use]
    pub const fn admission_request(&self) -> AdmissionRequest<'a> {
        admission_request(&self.envelope, &self.facts)
    }

    #[doc(hidden)]
    pub const fn sighting(&self) -> AdmissionRequest<'a> {
        self.admission_request()
    }

    /// Asks the replay guard whether the task may run.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::Conflict`], [`Refusal::AttemptsExhausted`] and the like, or
    /// [`OpenError::ReplayGuardUnavailable`].
    pub fn admit(self, guard: &mut impl ReplayGuard) -> Result<Admitted<'a>, OpenError> {
        let admission = ask(&self.admission_request(), guard)?;
        Ok(Admitted { verified: self, admission })
    }

    /// Decrypts a result. Results are bound to their request and may be read any number of times.
    ///
    /// # Errors
    /// [`Refusal::WrongKind`] for a task; else as [`Admitted::open`].
    pub fn open_result<'b>(
        self,
        keys: &mut impl DecryptionKeys,
        buffer: &'b mut [u8],
    ) -> Result<Opened<'a, 'b>, OpenError> {
        if self.envelope.header.kind != Kind::Result {
            return Err(Refusal::WrongKind.into());
        }
        let body = body(&self.envelope, &Software, keys, buffer)?;
        Ok(Opened::new(self, body))
    }

    /// Decrypts without asking a replay guard, for a person or a tool that looks at a task.
    ///
    /// # Errors
    /// As [`Admitted::open`].
    ///
    /// # Security
    /// The task must not be run: nothing says that it has not run before.
    pub fn danger_open_without_replay_guard<'b>(
        self,
        keys: &mut impl DecryptionKeys,
        buffer: &'b mut [u8],
    ) -> Result<Opened<'a, 'b>, OpenError> {
        let body = body(&self.envelope, &Software, keys, buffer)?;
        Ok(Opened::new(self, body))
    }
}

const fn admission_request<'a>(envelope: &Envelope<'a>, facts: &Facts) -> AdmissionRequest<'a> {
    let claims = &envelope.header.claims;
    AdmissionRequest {
        issuer: claims.issuer,
        task_id: claims.task_id,
        kid: envelope.header.kid,
        digest: facts.digest,
        sequence: claims.sequence,
        attempts: claims.attempts,
        ttl: claims.ttl,
        forget_after: facts.forget_after,
        seen_at: facts.seen_at,
    }
}

fn ask(request: &AdmissionRequest<'_>, guard: &mut impl ReplayGuard) -> Result<Admission, OpenError> {
    guard.admit(request).map_err(|not_admitted| match not_admitted {
        NotAdmitted::Refused(refusal) => refusal.into(),
        NotAdmitted::Unavailable => OpenError::ReplayGuardUnavailable,
    })
}

fn body<'a, 'b>(
    envelope: &Envelope<'a>,
    provider: &impl Provider,
    keys: &mut impl DecryptionKeys,
    buffer: &'b mut [u8],
) -> Result<Body<'a, 'b>, OpenError> {
    let depth = Depth::of_opening(envelope.suite());
    leaving_nothing(depth, || decrypt::open(envelope, provider, keys, buffer))
}

/// A verified envelope that the replay guard has admitted. Cannot be copied: one admission is one run.
pub struct Admitted<'a> {
    verified: Verified<'a>,
    admission: Admission,
}

impl<'a> Admitted<'a> {
    /// Whether it runs for the first time.
    #[must_use]
    pub const fn admission(&self) -> Admission {
        self.admission
    }

    /// The envelope's claims and sizes.
    #[must_use]
    pub const fn verified(&self) -> &Verified<'a> {
        &self.verified
    }

    /// Decrypts the body into `buffer`; a body that is not encrypted is borrowed from the envelope and needs none.
    ///
    /// # Errors
    /// [`Refusal::NoDecryptionKey`] or [`Refusal::Rejected`]; [`OpenError::BufferTooSmall`];
    /// [`OpenError::KeyUnavailable`] when a token does not answer. `buffer` then holds no plaintext.
    pub fn open<'b>(
        self,
        keys: &mut impl DecryptionKeys,
        buffer: &'b mut [u8],
    ) -> Result<Opened<'a, 'b>, OpenError> {
        self.open_with(&Software, keys, buffer)
    }

    /// [`open`](Self::open) with another provider.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with<'b>(
        self,
        provider: &impl Provider,
        keys: &mut impl DecryptionKeys,
        buffer: &'b mut [u8],
    ) -> Result<Opened<'a, 'b>, OpenError> {
        let body = body(&self.verified.envelope, provider, keys, buffer)?;
        Ok(Opened::new(self.verified, body))
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("kid", &self.kid())
            .field("suite", &self.suite())
            .field("is_batched", &self.is_batched())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("claims", self.claims()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Admitted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("claims", self.verified.claims()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
