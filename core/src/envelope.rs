//! The outermost COSE structure, decoded but not verified: a borrowed view, nothing copied.

use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Comparer, Sink, SinkError};
use crate::header::{Algorithm, Content, Header};
use crate::inner::{IV_LEN, Inner, TAG_LEN, decode_iv, encode_iv};
use crate::kid::KeyId;
use crate::label;
use crate::name::ContentType;
use crate::refusal::Refusal;
use crate::suite::Suite;

/// Most bytes of a body: 16 MiB.
pub const MAX_BODY: usize = 16 << 20;
/// Most bytes of the outer protected header. All fields at their limits need 742: a result of suite E.
pub const MAX_HEADER: usize = 768;
/// Everything around header and body, at its greatest: suite SP with a 135-byte inner header needs 395.
const MAX_FRAME: usize = 512;

/// ```cddl
/// S  = #6.18([ outer, {}, bstr, bstr .size 64 ])        ; payload is the body
/// SE = #6.18([ outer, {}, bstr .cbor enc0, bstr .size 64 ])
/// SP = #6.18([ outer, {}, bstr .cbor encp, bstr .size 64 ])
/// M  = #6.17([ outer, {}, bstr, bstr .size 32 ])
/// E  = #6.16([ outer, { 5: iv }, bstr ])                ; ciphertext and tag
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: Header<'a>,
    pub(crate) header_bytes: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) layer: Layer<'a>,
}

/// What authenticates the envelope, and what the payload is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layer<'a> {
    Signed { signature: &'a [u8; 64], content: Signed<'a> },
    Mac { content_type: ContentType<'a>, tag: &'a [u8; 32] },
    Encrypted { content_type: ContentType<'a>, iv: &'a [u8; IV_LEN] },
}

/// What a signature covers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signed<'a> {
    Body(ContentType<'a>),
    Encrypted(Inner<'a>),
}

impl<'a> Envelope<'a> {
    /// Decodes `bytes`, which must be the one encoding of what they say.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Refusal> {
        // The first byte tells an envelope from every other payload: no JSON text, protobuf message or MessagePack
        // map in use by task queues starts with a CBOR tag of 16 to 18.
        if !matches!(bytes.first(), Some(0xd0..=0xd2)) {
            return Err(Refusal::Unsealed);
        }
        if bytes.len() > MAX_BODY + MAX_HEADER + MAX_FRAME {
            return Err(Refusal::TooLarge);
        }
        let envelope = Self::decode_strictly(bytes).map_err(|_| Refusal::Malformed)?;
        if envelope.body_len() > MAX_BODY {
            return Err(Refusal::TooLarge);
        }
        Ok(envelope)
    }

    fn decode_strictly(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let tag = decoder.tag()?;
        decoder.array(if tag == label::TAG_ENCRYPT0 { 3 } else { 4 })?;
        let header_bytes = decoder.bytes()?;
        if header_bytes.len() > MAX_HEADER {
            return Err(DecodeError);
        }
        let header = Header::decode(header_bytes)?;
        if header.salt_commit.is_some() != (header.algorithm == Algorithm::A256Gcm) {
            return Err(DecodeError);
        }
        let (payload, layer) = match (tag, header.algorithm, header.content) {
            (label::TAG_SIGN1, Algorithm::Es256, content) => {
                empty_map(&mut decoder)?;
                let payload = decoder.bytes()?;
                let content = Signed::decode(content, payload)?;
                (payload, Layer::Signed { signature: decoder.bytes_exact()?, content })
            }
            (label::TAG_MAC0, Algorithm::Hmac256, Content::Body(content_type)) => {
                empty_map(&mut decoder)?;
                let payload = decoder.bytes()?;
                (payload, Layer::Mac { content_type, tag: decoder.bytes_exact()? })
            }
            (label::TAG_ENCRYPT0, Algorithm::A256Gcm, Content::Body(content_type)) => {
                let iv = decode_iv(&mut decoder)?;
                let payload = decoder.bytes()?;
                if payload.len() < TAG_LEN {
                    return Err(DecodeError);
                }
                (payload, Layer::Encrypted { content_type, iv })
            }
            _ => return Err(DecodeError),
        };
        decoder.end()?;
        let envelope = Self { bytes, header, header_bytes, payload, layer };
        // The decoder takes shortest heads only; this is the second, independent net.
        let mut comparer = Comparer(bytes);
        envelope.encode(&mut comparer).map_err(|_| DecodeError)?;
        Decoder::new(comparer.0).end()?;
        Ok(envelope)
    }

    fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        encode_start(self.suite(), self.header_bytes.len(), sink)?;
        sink.put(self.header_bytes)?;
        match self.layer {
            Layer::Signed { signature, .. } => {
                sink.map(0)?;
                sink.bytes(self.payload)?;
                sink.bytes(signature)
            }
            Layer::Mac { tag, .. } => {
                sink.map(0)?;
                sink.bytes(self.payload)?;
                sink.bytes(tag)
            }
            Layer::Encrypted { iv, .. } => {
                encode_iv(iv, sink)?;
                sink.bytes(self.payload)
            }
        }
    }

    pub(crate) const fn suite(&self) -> Suite {
        match self.layer {
            Layer::Signed { content: Signed::Body(_), .. } => Suite::S,
            Layer::Signed { content: Signed::Encrypted(Inner { recipient: None, .. }), .. } => Suite::Se,
            Layer::Signed { content: Signed::Encrypted(Inner { recipient: Some(_), .. }), .. } => Suite::Sp,
            Layer::Mac { .. } => Suite::M,
            Layer::Encrypted { .. } => Suite::E,
        }
    }

    /// The kid of the key inside the signature that the body is encrypted to; `None` in suites S, M and E.
    pub(crate) const fn inner_kid(&self) -> Option<KeyId> {
        match self.layer {
            Layer::Signed { content: Signed::Encrypted(inner), .. } => inner.kid(),
            _ => None,
        }
    }

    pub(crate) const fn content_type(&self) -> ContentType<'a> {
        match self.layer {
            Layer::Signed { content: Signed::Body(content_type), .. }
            | Layer::Mac { content_type, .. }
            | Layer::Encrypted { content_type, .. } => content_type,
            Layer::Signed { content: Signed::Encrypted(inner), .. } => inner.protected.content_type,
        }
    }

    /// Bytes of the body, encrypted or not.
    pub(crate) const fn body_len(&self) -> usize {
        match self.layer {
            Layer::Signed { content: Signed::Body(_), .. } | Layer::Mac { .. } => self.payload.len(),
            Layer::Signed { content: Signed::Encrypted(inner), .. } => {
                inner.ciphertext.len().saturating_sub(TAG_LEN)
            }
            Layer::Encrypted { .. } => self.payload.len().saturating_sub(TAG_LEN),
        }
    }
}

impl<'a> Signed<'a> {
    fn decode(content: Content<'a>, payload: &'a [u8]) -> Result<Self, DecodeError> {
        let body = match content {
            Content::Body(content_type) => return Ok(Self::Body(content_type)),
            Content::Encrypt0 | Content::Encrypt => Inner::decode(payload)?,
        };
        if body.recipient.is_some() != (content == Content::Encrypt) {
            return Err(DecodeError);
        }
        Ok(Self::Encrypted(body))
    }
}

/// Writes tag, array head and the head of the protected header of `header_len` bytes.
pub(crate) fn encode_start(suite: Suite, header_len: usize, sink: &mut impl Sink) -> Result<(), SinkError> {
    let (tag, items) = match suite {
        Suite::S | Suite::Se | Suite::Sp => (label::TAG_SIGN1, 4),
        Suite::M => (label::TAG_MAC0, 4),
        Suite::E => (label::TAG_ENCRYPT0, 3),
    };
    sink.tag(tag)?;
    sink.array(items)?;
    sink.bytes_head(header_len)
}

fn empty_map(decoder: &mut Decoder<'_>) -> Result<(), DecodeError> {
    decoder.map(0).map(drop)
}

#[cfg(test)]
mod tests;
