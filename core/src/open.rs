//! Opening: decode, verify, admit, decrypt. Each step is a type, so none can be skipped or repeated.

mod decrypt;
mod in_place;

use core::fmt;

use sha2::{Digest, Sha256};

use self::decrypt::Body;
pub use self::decrypt::Opened;
#[doc(hidden)]
pub use self::in_place::{BodyLocation, InPlace};

use crate::batch::{RootCache, RootId};
use crate::claims::Claims;
use crate::commit::ContentKey;
use crate::constant_time::tags_match;
use crate::envelope::{Envelope, Layer, SignatureForm};
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
use crate::stack::{Depth, with_wiped_stack};
use crate::structure::{EncStructure, EncryptContext, batch_leaf, mac_tag, signature_digest};
use crate::suite::{Kind, Suite};
use crate::time::Clock;

/// A well-formed envelope whose content is not verified.
#[derive(Clone, Copy)]
pub struct Unverified<'a> {
    pub(crate) envelope: Envelope<'a>,
}

impl<'a> Unverified<'a> {
    /// Decodes `bytes`, which must hold one deterministically encoded envelope and nothing else.
    ///
    /// # Errors
    /// [`Refusal::Unsealed`], [`Refusal::TooLarge`] or [`Refusal::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let mut task = Self { envelope: Envelope::UNSET };
        task.envelope.decode(bytes, None)?;
        Ok(task)
    }

    /// Decodes the detached form of suite S or M. Its `body` is transported separately in clear, so that a queue
    /// framework without knowledge of envelopes can read it. [`parse`](Self::parse) refuses the detached form, and this
    /// function refuses every other form.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    ///
    /// # Security
    /// The handler must receive exactly these bytes of `body`, not a value that a framework has decoded from them.
    pub fn parse_detached(bytes: &'a [u8], body: &'a [u8]) -> Result<Self, OpenError> {
        let mut task = Self { envelope: Envelope::UNSET };
        task.envelope.decode(bytes, Some(body))?;
        Ok(task)
    }

    /// Returns the kid of the key that the envelope names.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.envelope.header.kid
    }

    /// Returns the suite of the envelope.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.envelope.suite()
    }

    /// Returns whether the envelope has the form of a batch, in which one signature covers several envelopes.
    #[must_use]
    pub const fn is_batched(&self) -> bool {
        self.envelope.is_batched()
    }

    /// Returns whether the body is transported separately, in clear.
    #[must_use]
    pub const fn is_detached(&self) -> bool {
        self.envelope.is_detached
    }

    /// Returns whether the envelope has the form of a task or of a result.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.envelope.header.kind
    }

    /// Returns the size of the body, in bytes.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.envelope.body_len()
    }

    /// Returns the unverified claims, for display.
    ///
    /// # Security
    /// An attacker can write these claims. No decision may depend on them.
    #[must_use]
    pub const fn danger_claims_unverified(&self) -> &Claims<'a> {
        &self.envelope.header.claims
    }

    /// Returns the kid of the decryption key. In suite E it is that of the envelope. Returns `None` if the body is not
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
    /// [`OpenError::Refused`] with [`Refusal::WrongKind`], [`Refusal::SuiteNotAllowed`], [`Refusal::TooLarge`],
    /// [`Refusal::UnknownKey`] or [`Refusal::Rejected`]; after a valid signature every other one up to
    /// [`Refusal::NotYetValid`].
    ///
    /// # Security
    /// `policy.audience` must be the queue from which the envelope was taken, not a name that came with the envelope.
    pub fn verify(
        self,
        keys: &impl KeyLookup,
        policy: &Policy<'_>,
        clock: &mut impl Clock,
    ) -> Result<Verified<'a>, OpenError> {
        self.verify_with(&Software, &mut (), keys, policy, clock)
    }

    /// Like [`verify`](Self::verify), with another provider and a cache of verified batch roots.
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
        // By reference: an envelope is large, and every move would take stack space.
        let facts = check(&self.envelope, provider, roots, keys, policy, clock)?;
        Ok(Verified { envelope: self.envelope, facts })
    }
}

/// The results of verification.
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
    // The policy decides which suites are accepted, never the message.
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
    with_wiped_stack(depth, || authenticate(envelope, &record, provider, roots))
        .map_err(|Rejected| Refusal::Rejected)?;
    // A key has one purpose: a key that verifies envelopes (ES256 or suite E) never decrypts inside a signature.
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
        (Layer::Signed { form: SignatureForm::Signature(signature), .. }, RecordKey::Es256(key)) => {
            let digest = signature_digest(envelope.header_bytes, envelope.payload);
            verify_low_s(key, &digest, signature, provider)
        }
        (Layer::Signed { form: SignatureForm::Receipt(receipt), .. }, RecordKey::Es256(key)) => {
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

/// Checks the AEAD tag of suite E without decrypting.
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

/// Returns whether `s` is at most half the order of the curve. Of the two signatures `(r, s)` and `(r, n - s)` only one
/// is accepted. The bytes are public and compared as big-endian numbers.
fn is_low_s(signature: &[u8; 64]) -> bool {
    let (_, s) = signature.split_at(32);
    s <= HALF_ORDER.as_slice()
}

/// n / 2 of P-256 (SEC 2 section 2.4.2), rounded down.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde,
    0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// An envelope with verified origin and claims that the replay guard has not admitted yet.
#[derive(Clone, Copy)]
pub struct Verified<'a> {
    envelope: Envelope<'a>,
    facts: Facts,
}

impl<'a> Verified<'a> {
    /// Returns the claims of the issuer.
    #[must_use]
    pub const fn claims(&self) -> &Claims<'a> {
        &self.envelope.header.claims
    }

    /// Returns the kid of the key that sealed the envelope.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.envelope.header.kid
    }

    /// Returns the suite of the envelope.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.envelope.suite()
    }

    /// Returns whether the envelope is part of a batch.
    #[must_use]
    pub const fn is_batched(&self) -> bool {
        self.envelope.is_batched()
    }

    /// Returns whether the body was transported separately, in clear.
    #[must_use]
    pub const fn is_detached(&self) -> bool {
        self.envelope.is_detached
    }

    /// Returns whether the envelope is a task or a result.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.envelope.header.kind
    }

    /// Returns the media type of the body.
    #[must_use]
    pub const fn content_type(&self) -> ContentType<'a> {
        self.envelope.content_type()
    }

    /// Returns the size of the body, in bytes. A buffer of this size is sufficient to open the envelope.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.envelope.body_len()
    }

    /// Returns the SHA-256 of the whole envelope, which a result is bound to. A detached body is bound by the signature
    /// or tag.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.facts.digest
    }

    /// Returns the facts on which a replay guard decides.
    #[must_use]
    pub const fn admission_request(&self) -> AdmissionRequest<'a> {
        admission_request(&self.envelope, &self.facts)
    }

    /// Asks the replay guard whether the task may run.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::Conflict`], [`Refusal::AttemptsExhausted`] and other refusals of the guard, or
    /// [`OpenError::ReplayGuardUnavailable`].
    pub fn admit(self, guard: &mut impl ReplayGuard) -> Result<Admitted<'a>, OpenError> {
        let admission = ask(&self.admission_request(), guard)?;
        Ok(Admitted { verified: self, admission })
    }

    /// Decrypts a result. A result is bound to its request and can be read any number of times.
    ///
    /// # Errors
    /// [`Refusal::WrongKind`] for a task; otherwise as [`Admitted::open`].
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

    /// Decrypts without a replay guard, for display and for tools.
    ///
    /// # Errors
    /// As [`Admitted::open`].
    ///
    /// # Security
    /// The task must not run, because it may have run before.
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
    with_wiped_stack(depth, || decrypt::open(envelope, provider, keys, buffer))
}

/// A verified envelope that the replay guard has admitted. It cannot be copied, because one admission allows one run.
pub struct Admitted<'a> {
    verified: Verified<'a>,
    admission: Admission,
}

impl<'a> Admitted<'a> {
    /// Returns the decision of the replay guard.
    #[must_use]
    pub const fn admission(&self) -> Admission {
        self.admission
    }

    /// Returns the verified envelope.
    #[must_use]
    pub const fn verified(&self) -> &Verified<'a> {
        &self.verified
    }

    /// Decrypts the body into `buffer`; a body that is not encrypted is borrowed from the envelope and needs no buffer.
    ///
    /// # Errors
    /// [`Refusal::NoDecryptionKey`] or [`Refusal::Rejected`]; [`OpenError::BufferTooSmall`];
    /// [`OpenError::KeyUnavailable`] if a token is unavailable. `buffer` then holds no plaintext.
    pub fn open<'b>(
        self,
        keys: &mut impl DecryptionKeys,
        buffer: &'b mut [u8],
    ) -> Result<Opened<'a, 'b>, OpenError> {
        self.open_with(&Software, keys, buffer)
    }

    /// Like [`open`](Self::open), with another provider.
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
