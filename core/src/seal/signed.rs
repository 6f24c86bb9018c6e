//! The common part of suites S, SE and SP: a header, a payload, and one signature over both. Also suite S.

use p256::ecdsa::Signature;
use rand_core::TryCryptoRng;
use sha2::Sha256;

use super::{Job, Mode, bytes_len, frame_len, private};
use crate::cbor::encoder::{Sink, SinkError, Writer};
use crate::envelope::encode_start;
use crate::error::SealError;
use crate::header::{Algorithm, Content, Header};
use crate::kid::KeyId;
use crate::provider::{Provider, Signer};
use crate::structure::signature_digest;
use crate::suite::Suite;

/// Size of `r || s`, in bytes.
const SIGNATURE_LEN: usize = 64;

/// A [`Mode`] that signs, for one task at a time or for a [`Batch`](super::Batch). Cannot be implemented in other
/// crates.
pub trait SigningMode: private::Sealed {
    /// The type of the signer.
    type Signer: Signer;

    /// The state that the tasks under one signature share.
    #[doc(hidden)]
    type Session: Default;

    #[doc(hidden)]
    fn signer(&self) -> &Self::Signer;

    #[doc(hidden)]
    fn signer_mut(&mut self) -> &mut Self::Signer;

    #[doc(hidden)]
    fn signed_suite(&self) -> Suite;

    /// Returns the kid of the key that the body is encrypted to, if any.
    #[doc(hidden)]
    fn inner_kid(&self) -> Option<KeyId>;

    /// Prepares the state that the tasks under one signature share.
    #[doc(hidden)]
    fn begin<P: Provider, R: TryCryptoRng + ?Sized>(
        &self,
        session: &mut Self::Session,
        provider: &P,
        rng: &mut R,
    ) -> Result<(), SealError<SignerError<Self>>>;

    #[doc(hidden)]
    fn payload_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize>;

    /// Fills `payload`, which has the size that `payload_len` returns. `outer` is the protected header.
    #[doc(hidden)]
    fn write_payload<P: Provider, R: TryCryptoRng + ?Sized>(
        &self,
        job: &Job<'_>,
        session: &mut Self::Session,
        outer: &[u8],
        provider: &P,
        rng: &mut R,
        payload: &mut [u8],
    ) -> Result<(), SealError<SignerError<Self>>>;
}

/// The error of the signer of a mode.
pub(super) type SignerError<M> = <<M as SigningMode>::Signer as Signer>::Error;

/// COSE_Sign1 around the payload.
impl<M: SigningMode> Mode for M {
    type Error = SignerError<M>;

    fn suite(&self) -> Suite {
        self.signed_suite()
    }

    fn sealed_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize> {
        let payload_len = self.payload_len(job, body_len)?;
        frame_len(&signed_header(self, job), 1, payload_len)?.checked_add(bytes_len(SIGNATURE_LEN)?)
    }

    fn bind(&self, job: &Job<'_>, hash: &mut Sha256) {
        signed_header(self, job).encode(hash).expect("a hash takes any number of bytes");
        // In suites SE and SP the content type is in the inner header.
        if let Some(kid) = self.inner_kid() {
            hash.bytes(kid.as_bytes()).expect("a hash takes any number of bytes");
        }
    }

    fn seal<P: Provider, R: TryCryptoRng + ?Sized>(
        &mut self,
        job: &Job<'_>,
        provider: &P,
        rng: &mut R,
        envelope: &mut [u8],
    ) -> Result<(), SealError<Self::Error>> {
        let (len, digest) = write_single(self, job, provider, rng, envelope)?;
        let signature = sign(self.signer_mut(), &digest)?;
        Writer::after(envelope, len).bytes(&signature)?;
        Ok(())
    }
}

/// Writes everything except the signature; returns its size and the digest to sign. Separate from signing, whose
/// arithmetic needs the most stack.
#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn write_single<M: SigningMode, P: Provider, R: TryCryptoRng + ?Sized>(
    mode: &M,
    job: &Job<'_>,
    provider: &P,
    rng: &mut R,
    envelope: &mut [u8],
) -> Result<(usize, [u8; 32]), SealError<SignerError<M>>> {
    let mut session = M::Session::default();
    mode.begin(&mut session, provider, rng)?;
    let mut writer = Writer::new(envelope);
    encode_start(mode.signed_suite(), signed_header(mode, job).encoded_len()?, &mut writer)?;
    let unprotected = |writer: &mut Writer<'_>| writer.map(0);
    let source = (provider, rng);
    let digest = write_signed(mode, job, &mut session, source, unprotected, signature_digest, &mut writer)?;
    Ok((writer.position(), digest))
}

pub(super) fn signed_header<'h, M: SigningMode + ?Sized>(mode: &M, job: &Job<'h>) -> Header<'h> {
    let content = match mode.signed_suite() {
        Suite::Se => Content::Encrypt0,
        Suite::Sp => Content::Encrypt,
        _ => Content::Body(job.content_type),
    };
    Header {
        algorithm: Algorithm::Es256,
        content,
        kid: mode.signer().kid(),
        claims: *job.claims,
        kind: job.kind,
        salt_commit: None,
    }
}

/// Writes the header, the bytes between header and payload, and the payload; returns the digest of both.
pub(super) fn write_signed<T, M: SigningMode, P: Provider, R: TryCryptoRng + ?Sized>(
    mode: &M,
    job: &Job<'_>,
    session: &mut M::Session,
    (provider, rng): (&P, &mut R),
    between: impl FnOnce(&mut Writer<'_>) -> Result<(), SinkError>,
    digest: impl FnOnce(&[u8], &[u8]) -> T,
    writer: &mut Writer<'_>,
) -> Result<T, SealError<SignerError<M>>> {
    let start = writer.position();
    signed_header(mode, job).encode(writer)?;
    let header = start..writer.position();
    between(writer)?;
    let len = mode.payload_len(job, job.body.len()).ok_or(SealError::BodyTooLong)?;
    writer.bytes_head(len)?;
    let (written, payload) = writer.reserve(len)?;
    let outer = written.get(header).unwrap_or_default();
    mode.write_payload(job, session, outer, provider, rng, payload)?;
    Ok(digest(outer, payload))
}

/// Signs and normalises: tokens return a high `s` in half of all cases, and only the low `s` is accepted.
pub(super) fn sign<S: Signer>(signer: &mut S, digest: &[u8; 32]) -> Result<[u8; 64], SealError<S::Error>> {
    let mut signature = signer.sign_digest(digest).map_err(SealError::Signer)?;
    normalize(&mut signature).map_err(|InvalidSignature| SealError::InvalidSignature)?;
    Ok(signature)
}

struct InvalidSignature;

#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn normalize(signature: &mut [u8; 64]) -> Result<(), InvalidSignature> {
    let valid = Signature::from_slice(signature).map_err(|_| InvalidSignature)?;
    *signature = valid.normalize_s().to_bytes().into();
    Ok(())
}

/// Suite S: signs.
#[derive(Debug)]
pub struct Sign<S> {
    pub(super) signer: S,
}

impl<S> private::Sealed for Sign<S> {}

impl<S: Signer> SigningMode for Sign<S> {
    type Signer = S;
    type Session = ();

    fn signer(&self) -> &S {
        &self.signer
    }

    fn signer_mut(&mut self) -> &mut S {
        &mut self.signer
    }

    fn signed_suite(&self) -> Suite {
        Suite::S
    }

    fn inner_kid(&self) -> Option<KeyId> {
        None
    }

    fn begin<P: Provider, R: TryCryptoRng + ?Sized>(
        &self,
        (): &mut (),
        _: &P,
        _: &mut R,
    ) -> Result<(), SealError<S::Error>> {
        Ok(())
    }

    fn payload_len(&self, _: &Job<'_>, body_len: usize) -> Option<usize> {
        Some(body_len)
    }

    fn write_payload<P: Provider, R: TryCryptoRng + ?Sized>(
        &self,
        job: &Job<'_>,
        (): &mut (),
        _: &[u8],
        _: &P,
        _: &mut R,
        payload: &mut [u8],
    ) -> Result<(), SealError<S::Error>> {
        Ok(Writer::new(payload).put(job.body)?)
    }
}
