//! Suite M: COSE_Mac0 with HMAC 256/256 around the body.

use core::convert::Infallible;

use rand_core::TryCryptoRng;
use sha2::Sha256;

use super::{Job, Mode, bytes_len, frame_len, private, write_start};
use crate::cbor::encoder::{Sink, Writer};
use crate::error::SealError;
use crate::header::{Algorithm, Content, Header};
use crate::keys::MacKey;
use crate::provider::Provider;
use crate::structure::mac_tag;
use crate::suite::Suite;

/// Authenticates with a shared key.
#[derive(Debug)]
pub struct Authenticate<'k> {
    pub(super) key: &'k MacKey,
}

/// Bytes of an untruncated HMAC-SHA256 tag.
const MAC_LEN: usize = 32;

impl private::Sealed for Authenticate<'_> {}

impl Authenticate<'_> {
    pub(super) const fn header<'h>(&self, job: &Job<'h>) -> Header<'h> {
        Header {
            algorithm: Algorithm::Hmac256,
            content: Content::Body(job.content_type),
            kid: self.key.kid(),
            claims: *job.claims,
            kind: job.kind,
            salt_commit: None,
        }
    }
}

impl Mode for Authenticate<'_> {
    type Error = Infallible;

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
    ) -> Result<(), SealError> {
        let header = self.header(job);
        let mut writer = Writer::new(envelope);
        let header_start = write_start(Suite::M, &header, &mut writer)?;
        let header_end = writer.position();
        writer.map(0)?;
        writer.bytes(job.body)?;
        let protected = writer.as_bytes().get(header_start..header_end).unwrap_or_default();
        let tag = mac_tag(self.key.key(), protected, job.body);
        writer.bytes(tag.as_bytes())?;
        Ok(())
    }
}
