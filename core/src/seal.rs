//! Sealing: writes an envelope with claims and body into the caller's buffer. Encrypts first, then signs.

mod batch;
mod detached;
mod encrypted;
mod hedged;
mod mac;
mod sign_encrypt;
mod signed;

use core::fmt;

use rand_core::TryCryptoRng;
use sha2::Sha256;

pub use self::batch::{Batch, Pending, SignedBatch};
pub use self::encrypted::Encrypt;
pub use self::hedged::HedgeKey;
pub use self::mac::Authenticate;
pub use self::sign_encrypt::{SignEncrypt, SignEncryptTo};
pub use self::signed::{Sign, SigningMode};

use crate::cbor::encoder::{Counter, SinkError, Writer};
use crate::cbor::head_len;
use crate::claims::Claims;
use crate::envelope::{MAX_BODY, encode_start};
use crate::error::SealError;
use crate::header::Header;
use crate::keys::{AgreementPublicKey, EncryptionKey};
use crate::name::ContentType;
use crate::provider::{Authenticator, Provider, Signer, Software};
use crate::stack::{Depth, with_wiped_stack};
use crate::suite::{Kind, Suite};

/// Seals tasks or results with one suite and one set of keys.
///
/// ```
/// # use taskseal_core::keys::{AgreementKey, SigningKey};
/// # use taskseal_core::{Audience, Claims, ContentType, Issuer, Sealer, Secret, TaskId, TaskType};
/// # struct Rng;
/// # impl rand_core::TryRng for Rng {
/// #     type Error = core::convert::Infallible;
/// #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { Ok(4) }
/// #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> { Ok(4) }
/// #     fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> { bytes.fill(4); Ok(()) }
/// # }
/// # impl rand_core::TryCryptoRng for Rng {}
/// # let mut rng = Rng;
/// # let mut signer = SigningKey::from_scalar(&Secret::copy_from(&[1; 32]))?;
/// # let worker_key = AgreementKey::from_scalar(&Secret::copy_from(&[2; 32]))?.public_key();
/// let claims = Claims::new(
///     Issuer::new("sensor-17")?,
///     TaskType::new("reading:store")?,
///     Audience::new("plant-a/ingest")?,
///     TaskId::from_bytes([7; 16]),
/// )
/// .issued_at(1_763_751_000)
/// .expires_at(1_763_754_600);
///
/// let mut buffer = [0; 640];
/// let envelope = Sealer::sign_encrypt_to(&mut signer, &worker_key)
///     .seal(&claims, ContentType::JSON, b"{\"celsius\":21.5}", &mut rng, &mut buffer)?;
/// assert_eq!(envelope.first(), Some(&0xd2));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Sealer<M, P = Software> {
    mode: M,
    kind: Kind,
    provider: P,
}

impl<S: Signer> Sealer<Sign<S>> {
    /// Creates a sealer of suite S: signed, not encrypted.
    pub const fn sign(signer: S) -> Self {
        Self::of(Sign { signer })
    }
}

impl<A: Authenticator> Sealer<Authenticate<A>> {
    /// Creates a sealer of suite M: authenticated with a shared key, a `&HmacKey` or any other [`Authenticator`], and
    /// not encrypted.
    pub const fn authenticate(authenticator: A) -> Self {
        Self::of(Authenticate { authenticator })
    }
}

impl<'k> Sealer<Encrypt<'k>> {
    /// Creates a sealer of suite E: authenticated and encrypted with a shared key.
    #[must_use]
    pub const fn encrypt(key: &'k EncryptionKey) -> Self {
        Self::of(Encrypt { key })
    }
}

impl<'k, S: Signer> Sealer<SignEncrypt<'k, S>> {
    /// Creates a sealer of suite SE: encrypted with a shared key, then signed.
    pub const fn sign_encrypt(signer: S, key: &'k EncryptionKey) -> Self {
        Self::of(SignEncrypt { signer, key })
    }
}

impl<'k, S: Signer> Sealer<SignEncryptTo<'k, S>> {
    /// Creates a sealer of suite SP: encrypted to the recipient's public key, then signed.
    pub const fn sign_encrypt_to(signer: S, recipient: &'k AgreementPublicKey) -> Self {
        Self::of(SignEncryptTo { signer, recipient })
    }
}

impl<M> Sealer<M> {
    const fn of(mode: M) -> Self {
        Self { mode, kind: Kind::Task, provider: Software }
    }
}

impl<M: Mode, P: Provider> Sealer<M, P> {
    /// Sets the kind of envelope; tasks by default.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the provider.
    #[must_use]
    pub fn provider<Q>(self, provider: Q) -> Sealer<M, Q> {
        Sealer { mode: self.mode, kind: self.kind, provider }
    }

    /// Returns the suite.
    pub fn suite(&self) -> Suite {
        self.mode.suite()
    }

    /// Returns the exact size of an envelope around a body of `body_len` bytes, in bytes.
    pub fn sealed_len(&self, claims: &Claims<'_>, content_type: ContentType<'_>, body_len: usize) -> usize {
        let job = Job { claims, content_type, body: &[], kind: self.kind };
        self.mode.sealed_len(&job, body_len).unwrap_or(usize::MAX)
    }

    /// Seals `body` into the start of `buffer` and returns the envelope, without allocating. The suites that encrypt
    /// read `rng`.
    ///
    /// # Errors
    /// [`SealError`]. The content of `buffer` is then unspecified, but contains no plaintext of a body that was to be
    /// encrypted.
    ///
    /// # Security
    /// `rng` must be cryptographically secure. A task id must be used for one task only: a second envelope
    /// with the same issuer and task id is refused as a conflict.
    pub fn seal<'b, R: TryCryptoRng + ?Sized>(
        &mut self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
        rng: &mut R,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SealError<M::Error>> {
        if body.len() > MAX_BODY {
            return Err(SealError::BodyTooLong);
        }
        claims.check(self.kind).map_err(|_| SealError::InconsistentClaims)?;
        let job = Job { claims, content_type, body, kind: self.kind };
        let len = self.mode.sealed_len(&job, body.len()).ok_or(SealError::BodyTooLong)?;
        let (envelope, _) = buffer.split_at_mut_checked(len).ok_or(SealError::BufferTooSmall)?;
        let sealed = with_wiped_stack(Depth::of_sealing(self.mode.suite()), || {
            self.mode.seal(&job, &self.provider, rng, envelope)
        });
        if sealed.is_err() {
            envelope.fill(0);
        }
        sealed.map(|()| &*envelope)
    }
}

impl<M: Mode, P> fmt::Debug for Sealer<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("suite", &self.mode.suite()).finish_non_exhaustive()
    }
}

/// The algorithm of a sealer: one of the types of this module. Cannot be implemented in other crates.
pub trait Mode: private::Sealed {
    /// The error of the signer or authenticator; `Infallible` without one.
    type Error;

    #[doc(hidden)]
    fn suite(&self) -> Suite;

    #[doc(hidden)]
    fn sealed_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize>;

    /// Hashes the outermost protected header without its random fields, and the kid of the decryption key inside a
    /// signature.
    #[doc(hidden)]
    fn bind(&self, job: &Job<'_>, hash: &mut Sha256);

    /// Fills `envelope`, which has the size that `sealed_len` returns.
    #[doc(hidden)]
    fn seal<P: Provider, R: TryCryptoRng + ?Sized>(
        &mut self,
        job: &Job<'_>,
        provider: &P,
        rng: &mut R,
        envelope: &mut [u8],
    ) -> Result<(), SealError<Self::Error>>;
}

mod private {
    /// Cannot be named in other crates, so [`Mode`](super::Mode) cannot be implemented there.
    #[allow(unnameable_types)]
    pub trait Sealed {}
}

/// The input of sealing.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Job<'j> {
    claims: &'j Claims<'j>,
    content_type: ContentType<'j>,
    body: &'j [u8],
    kind: Kind,
}

/// Omits the body, which is secret.
impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("kind", &self.kind)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Returns the size of tag, array head, header, unprotected map and payload, in bytes, including the heads of byte
/// strings.
fn frame_len(header: &Header<'_>, unprotected_len: usize, payload_len: usize) -> Option<usize> {
    let header_len = header.encoded_len().ok()?;
    let around_payload = 1 + 1 + head_len(header_len as u64) + header_len + unprotected_len;
    around_payload.checked_add(bytes_len(payload_len)?)
}

/// Returns the size of a byte string of `len` bytes with its head, in bytes.
fn bytes_len(len: usize) -> Option<usize> {
    len.checked_add(head_len(len as u64))
}

/// Writes the envelope up to and including the protected header, and returns the offset of the header.
fn write_start(suite: Suite, header: &Header<'_>, writer: &mut Writer<'_>) -> Result<usize, SinkError> {
    encode_start(suite, header.encoded_len()?, writer)?;
    let start = writer.position();
    header.encode(writer)?;
    Ok(start)
}

fn count(encode: impl FnOnce(&mut Counter) -> Result<(), SinkError>) -> Option<usize> {
    let mut counter = Counter::default();
    encode(&mut counter).ok()?;
    Some(counter.0)
}

fn random<const N: usize, R: TryCryptoRng + ?Sized, E>(rng: &mut R) -> Result<[u8; N], SealError<E>> {
    let mut bytes = [0; N];
    rng.try_fill_bytes(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(bytes)
}

/// The size was computed before writing, so a full buffer means a wrong size and not an error of the caller.
impl<E> From<SinkError> for SealError<E> {
    fn from(_: SinkError) -> Self {
        Self::BufferTooSmall
    }
}

#[cfg(test)]
mod tests;
