//! Suite M: COSE_Mac0 with HMAC 256/256 around the body.

use rand_core::TryCryptoRng;
use sha2::Sha256;

use super::{Job, Mode, bytes_len, frame_len, private, write_start};
use crate::cbor::encoder::{Sink, Writer};
use crate::error::SealError;
use crate::header::{Algorithm, Content, Header};
use crate::provider::{Authenticator, Provider};
use crate::structure::MacStructure;
use crate::suite::Suite;

/// Authenticates with a shared key.
#[derive(Debug)]
pub struct Authenticate<A> {
    pub(super) authenticator: A,
}

/// Size of an untruncated HMAC-SHA256 tag, in bytes.
const MAC_LEN: usize = 32;

impl<A> private::Sealed for Authenticate<A> {}

impl<A: Authenticator> Authenticate<A> {
    pub(super) fn header<'h>(&self, job: &Job<'h>) -> Header<'h> {
        Header {
            algorithm: Algorithm::Hmac256,
            content: Content::Body(job.content_type),
            kid: self.authenticator.kid(),
            claims: *job.claims,
            kind: job.kind,
            salt_commit: None,
        }
    }
}

impl<A: Authenticator> Mode for Authenticate<A> {
    type Error = A::Error;

    fn suite(&self) -> Suite {
        Suite::M
    }

    fn sealed_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize> {
        frame_len(&self.header(job), 1, body_len)?.checked_add(bytes_len(MAC_LEN)?)
    }

    fn bind(&self, job: &Job<'_>, hash: &mut Sha256) {
        self.header(job).encode(hash).expect("a hash takes any number of bytes");
    }

    fn seal<P: Provider, R: TryCryptoRng + ?Sized>(
        &mut self,
        job: &Job<'_>,
        _: &P,
        _: &mut R,
        envelope: &mut [u8],
    ) -> Result<(), SealError<A::Error>> {
        let header = self.header(job);
        let mut writer = Writer::new(envelope);
        let header_start = write_start(Suite::M, &header, &mut writer)?;
        let header_end = writer.position();
        writer.map(0)?;
        writer.bytes(job.body)?;
        let protected = writer.as_bytes().get(header_start..header_end).unwrap_or_default();
        let message = MacStructure::new(protected, job.body);
        // Without `?`: converting the error would move the tag, which takes stack space.
        match self.authenticator.authenticate(&message) {
            Ok(tag) => Ok(writer.bytes(tag.as_bytes())?),
            Err(error) => Err(SealError::Signer(error)),
        }
    }
}
