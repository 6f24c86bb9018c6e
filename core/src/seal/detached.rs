//! The detached form of suites S and M: the body is transported separately, in clear.
//!
//! For a gradual rollout: existing workers continue to read the body in its usual place, while upgraded workers verify
//! it.

use super::signed::{sign, signed_header};
use super::{Authenticate, Job, Sealer, Sign, bytes_len, frame_len, write_start};
use crate::cbor::encoder::{Sink, Writer};
use crate::claims::Claims;
use crate::envelope::MAX_BODY;
use crate::error::SealError;
use crate::header::Header;
use crate::name::ContentType;
use crate::provider::{Authenticator, Signer};
use crate::stack::{Depth, with_wiped_stack};
use crate::structure::{MacStructure, signature_digest};
use crate::suite::Suite;

impl<S: Signer, P> Sealer<Sign<S>, P> {
    /// Returns the exact size of the detached envelope, in bytes.
    pub fn detached_len(&self, claims: &Claims<'_>, content_type: ContentType<'_>) -> usize {
        let job = Job { claims, content_type, body: &[], kind: self.kind };
        detached_len::<64>(&signed_header(&self.mode, &job)).unwrap_or(usize::MAX)
    }

    /// Signs `body` into an envelope that does not contain it. Only
    /// [`parse_detached`](crate::Unverified::parse_detached) accepts the result.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_detached<'b>(
        &mut self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SealError<S::Error>> {
        let job = Job { claims, content_type, body, kind: self.kind };
        let header = signed_header(&self.mode, &job);
        let signer = &mut self.mode.signer;
        seal(Suite::S, &job, &header, buffer, |protected| sign(signer, &signature_digest(protected, body)))
    }
}

impl<A: Authenticator, P> Sealer<Authenticate<A>, P> {
    /// Returns the exact size of the detached envelope, in bytes.
    pub fn detached_len(&self, claims: &Claims<'_>, content_type: ContentType<'_>) -> usize {
        let job = Job { claims, content_type, body: &[], kind: self.kind };
        detached_len::<32>(&self.mode.header(&job)).unwrap_or(usize::MAX)
    }

    /// Authenticates `body` in an envelope that does not contain it. Only
    /// [`parse_detached`](crate::Unverified::parse_detached) accepts the result.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_detached<'b>(
        &mut self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SealError<A::Error>> {
        let job = Job { claims, content_type, body, kind: self.kind };
        let header = self.mode.header(&job);
        let authenticator = &mut self.mode.authenticator;
        let tag = |protected: &[u8]| {
            let message = MacStructure::new(protected, body);
            // The tag is part of the envelope and is public from here on.
            with_wiped_stack(Depth::Hash, || authenticator.authenticate(&message).map(|tag| *tag.as_bytes()))
                .map_err(SealError::Signer)
        };
        seal(Suite::M, &job, &header, buffer, tag)
    }
}

/// A null payload takes one byte, like the head of an empty one.
fn detached_len<const PROOF: usize>(header: &Header<'_>) -> Option<usize> {
    frame_len(header, 1, 0)?.checked_add(bytes_len(PROOF)?)
}

/// Writes an envelope with a null payload; `prove` returns the signature or tag for its protected header.
fn seal<'b, const PROOF: usize, E>(
    suite: Suite,
    job: &Job<'_>,
    header: &Header<'_>,
    buffer: &'b mut [u8],
    prove: impl FnOnce(&[u8]) -> Result<[u8; PROOF], SealError<E>>,
) -> Result<&'b [u8], SealError<E>> {
    if job.body.len() > MAX_BODY {
        return Err(SealError::BodyTooLong);
    }
    job.claims.check(job.kind).map_err(|_| SealError::InconsistentClaims)?;
    let len = detached_len::<PROOF>(header).ok_or(SealError::BodyTooLong)?;
    let (envelope, _) = buffer.split_at_mut_checked(len).ok_or(SealError::BufferTooSmall)?;
    let mut writer = Writer::new(envelope);
    let start = write_start(suite, header, &mut writer)?;
    let proof = prove(writer.as_bytes().get(start..).unwrap_or_default())?;
    writer.map(0)?;
    writer.null()?;
    writer.bytes(&proof)?;
    Ok(envelope)
}

#[cfg(test)]
mod tests;
