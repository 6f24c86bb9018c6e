//! Suite S: COSE_Sign1 with ES256 around the body.

use p256::ecdsa::Signature;
use rand_core::TryCryptoRng;

use super::{Job, Mode, bytes_len, frame_len, private, write_start};
use crate::cbor::encoder::{Sink, Writer};
use crate::error::SealError;
use crate::header::{Algorithm, Content, Header};
use crate::provider::{Provider, Signer};
use crate::structure::signature_digest;
use crate::suite::Suite;

/// Signs.
#[derive(Debug)]
pub struct Sign<S> {
    pub(super) signer: S,
}

/// Bytes of `r || s`.
const SIGNATURE_LEN: usize = 64;

impl<S> private::Sealed for Sign<S> {}

impl<S: Signer> Sign<S> {
    fn header<'h>(&self, job: &Job<'h>) -> Header<'h> {
        signed_header(&self.signer, job, Content::Body(job.content_type))
    }
}

impl<S: Signer> Mode for Sign<S> {
    type Error = S::Error;

    fn suite(&self) -> Suite {
        Suite::S
    }

    fn sealed_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize> {
        signed_len(&self.header(job), body_len)
    }

    fn seal<P: Provider, R: TryCryptoRng + ?Sized>(
        &mut self,
        job: &Job<'_>,
        _: &P,
        _: &mut R,
        envelope: &mut [u8],
    ) -> Result<(), SealError<S::Error>> {
        let header = self.header(job);
        let mut writer = Writer::new(envelope);
        let header_start = write_start(Suite::S, &header, &mut writer)?;
        let header_end = writer.position();
        writer.map(0)?;
        writer.bytes_head(job.body.len())?;
        let payload_start = writer.position();
        writer.put(job.body)?;
        sign(&mut self.signer, writer, header_start..header_end, payload_start)
    }
}

pub(super) fn signed_header<'h, S: Signer>(signer: &S, job: &Job<'h>, content: Content<'h>) -> Header<'h> {
    Header {
        algorithm: Algorithm::Es256,
        content,
        kid: signer.kid(),
        claims: *job.claims,
        kind: job.kind,
        salt_commit: None,
    }
}

/// Bytes of a COSE_Sign1 with an empty unprotected map.
pub(super) fn signed_len(header: &Header<'_>, payload_len: usize) -> Option<usize> {
    frame_len(header, 1, payload_len)?.checked_add(bytes_len(SIGNATURE_LEN)?)
}

/// Signs what `writer` holds, whose payload reaches to its end, and appends the signature.
pub(super) fn sign<S: Signer>(
    signer: &mut S,
    mut writer: Writer<'_>,
    header: core::ops::Range<usize>,
    payload_start: usize,
) -> Result<(), SealError<S::Error>> {
    let written = writer.as_bytes();
    let (Some(header), Some(payload)) = (written.get(header), written.get(payload_start..)) else {
        return Err(SealError::BufferTooSmall);
    };
    let digest = signature_digest(header, payload);
    let signature = signer.sign_digest(&digest).map_err(SealError::Signer)?;
    // Tokens give a high s half of the time. One spelling only: the lower one.
    let signature = Signature::from_slice(&signature).map_err(|_| SealError::InvalidSignature)?;
    writer.bytes(&signature.normalize_s().to_bytes())?;
    Ok(())
}
