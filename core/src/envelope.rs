//! The outermost COSE structure as a borrowed view, decoded but not verified.

use crate::batch::Receipt;
use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Comparer, Sink, SinkError};
use crate::header::{Algorithm, Content, Header};
use crate::inner::{IV_LEN, Inner, TAG_LEN, decode_iv, encode_iv};
use crate::kid::KeyId;
use crate::label;
use crate::name::ContentType;
use crate::refusal::Refusal;
use crate::suite::Suite;

/// Maximum size of a body, in bytes: 16 MiB.
pub const MAX_BODY: usize = 16 << 20;
/// Maximum size of the outer protected header, in bytes. A result of suite E with all fields at their limits has 742.
pub const MAX_HEADER: usize = 768;
/// Maximum overhead around header and body, in bytes. Suite SP in a batch of 1024 has 784.
pub(crate) const MAX_FRAME: usize = 1024;

/// ```cddl
/// S  = #6.18([ outer, {}, bstr, bstr .size 64 ])        ; payload is the body
/// SE = #6.18([ outer, {}, bstr .cbor enc0, bstr .size 64 ])
/// SP = #6.18([ outer, {}, bstr .cbor encp, bstr .size 64 ])
/// M  = #6.17([ outer, {}, bstr, bstr .size 32 ])
/// E  = #6.16([ outer, { 5: iv }, bstr ])                ; ciphertext and tag
/// B  = [ outer, payload, bstr .cbor receipt ]           ; outer and payload as in S, SE or SP
/// ```
/// In the detached form of S and M the payload is null and the body is transported separately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: Header<'a>,
    pub(crate) header_bytes: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// Whether the payload is outside the envelope.
    pub(crate) is_detached: bool,
    pub(crate) layer: Layer<'a>,
}

/// The authentication of the envelope and the content of its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layer<'a> {
    Signed { form: SignatureForm<'a>, content: Signed<'a> },
    Mac { content_type: ContentType<'a>, tag: &'a [u8; 32] },
    Encrypted { content_type: ContentType<'a>, iv: &'a [u8; IV_LEN] },
}

/// The relation of a signature to the envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SignatureForm<'a> {
    /// A signature over this envelope alone.
    Signature(&'a [u8; 64]),
    /// A signature over a batch that includes this envelope.
    Receipt(Receipt<'a>),
}

/// The payload of a signed envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signed<'a> {
    Body(ContentType<'a>),
    Encrypted(Inner<'a>),
}

impl<'a> Envelope<'a> {
    /// A placeholder for an envelope that is still to be decoded.
    pub(crate) const UNSET: Self = Self {
        bytes: &[],
        header: Header::UNSET,
        header_bytes: &[],
        payload: &[],
        is_detached: false,
        layer: Layer::Signed {
            form: SignatureForm::Signature(&[0; 64]),
            content: Signed::Body(ContentType::UNSET),
        },
    };

    /// Decodes `bytes`, which must be deterministically encoded, into an [`UNSET`](Self::UNSET) envelope. With a
    /// `body`, `bytes` must have the detached form. An envelope is large, so it is filled in place; after an error its
    /// content is unspecified.
    pub(crate) fn decode(&mut self, bytes: &'a [u8], body: Option<&'a [u8]>) -> Result<(), Refusal> {
        // The first byte distinguishes an envelope from other payloads: no JSON text, protobuf message or MessagePack
        // map that task queues use starts with a CBOR tag from 16 to 18 or an array of three.
        let is_batched = match bytes.first() {
            Some(0xd0..=0xd2) => false,
            Some(0x83) if body.is_none() => true,
            _ => return Err(Refusal::Unsealed),
        };
        if bytes.len() > MAX_BODY + MAX_HEADER + MAX_FRAME {
            return Err(Refusal::TooLarge);
        }
        self.bytes = bytes;
        let decoded = if is_batched { self.decode_batched() } else { self.decode_single(body) };
        decoded.map_err(|_| Refusal::Malformed)?;
        // The decoder accepts shortest heads only; this comparison is a second, independent check.
        let mut comparer = Comparer(bytes);
        if self.encode(&mut comparer).is_err() || !comparer.0.is_empty() {
            return Err(Refusal::Malformed);
        }
        if self.body_len() > MAX_BODY {
            return Err(Refusal::TooLarge);
        }
        Ok(())
    }

    /// Suites S, M, E, SE and SP.
    fn decode_single(&mut self, body: Option<&'a [u8]>) -> Result<(), DecodeError> {
        let decoder = &mut Decoder::new(self.bytes);
        let tag = decoder.tag()?;
        decoder.array(if tag == label::TAG_ENCRYPT0 { 3 } else { 4 })?;
        self.decode_header(decoder)?;
        self.is_detached = body.is_some();
        match (tag, self.header.algorithm, self.header.content) {
            (label::TAG_SIGN1, Algorithm::Es256, content) => {
                empty_map(decoder)?;
                self.payload = decode_payload(decoder, body)?;
                let content = Signed::decode(content, self.payload)?;
                self.layer =
                    Layer::Signed { form: SignatureForm::Signature(decoder.bytes_exact()?), content };
            }
            (label::TAG_MAC0, Algorithm::Hmac256, Content::Body(content_type)) => {
                empty_map(decoder)?;
                self.payload = decode_payload(decoder, body)?;
                self.layer = Layer::Mac { content_type, tag: decoder.bytes_exact()? };
            }
            (label::TAG_ENCRYPT0, Algorithm::A256Gcm, Content::Body(content_type)) => {
                let iv = decode_iv(decoder)?;
                self.payload = decoder.bytes()?;
                if self.payload.len() < TAG_LEN {
                    return Err(DecodeError);
                }
                self.layer = Layer::Encrypted { content_type, iv };
            }
            _ => return Err(DecodeError),
        }
        decoder.end()?;
        // An encrypted body is never detached.
        if body.is_some() && self.suite().encrypts() { Err(DecodeError) } else { Ok(()) }
    }

    /// Suites S, SE and SP in a batch.
    fn decode_batched(&mut self) -> Result<(), DecodeError> {
        let decoder = &mut Decoder::new(self.bytes);
        decoder.array(3)?;
        self.decode_header(decoder)?;
        self.payload = decoder.bytes()?;
        let content = Signed::decode(self.header.content, self.payload)?;
        let receipt = Receipt::decode(decoder.bytes()?)?;
        decoder.end()?;
        if self.header.algorithm != Algorithm::Es256 || receipt.kid != self.header.kid {
            return Err(DecodeError);
        }
        self.layer = Layer::Signed { form: SignatureForm::Receipt(receipt), content };
        Ok(())
    }

    fn decode_header(&mut self, decoder: &mut Decoder<'a>) -> Result<(), DecodeError> {
        self.header_bytes = decoder.bytes()?;
        if self.header_bytes.len() > MAX_HEADER {
            return Err(DecodeError);
        }
        self.header.decode(self.header_bytes)?;
        if self.header.salt_commit.is_some() != (self.header.algorithm == Algorithm::A256Gcm) {
            return Err(DecodeError);
        }
        Ok(())
    }

    fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        if let Layer::Signed { form: SignatureForm::Receipt(receipt), .. } = self.layer {
            encode_batched_start(self.header_bytes.len(), sink)?;
            sink.put(self.header_bytes)?;
            sink.bytes(self.payload)?;
            sink.bytes_head(receipt.encoded_len()?)?;
            return receipt.encode(sink);
        }
        encode_start(self.suite(), self.header_bytes.len(), sink)?;
        sink.put(self.header_bytes)?;
        match &self.layer {
            Layer::Encrypted { iv, .. } => encode_iv(iv, sink)?,
            _ => sink.map(0)?,
        }
        if self.is_detached {
            sink.null()?;
        } else {
            sink.bytes(self.payload)?;
        }
        match &self.layer {
            Layer::Signed { form: SignatureForm::Signature(signature), .. } => sink.bytes(*signature),
            Layer::Mac { tag, .. } => sink.bytes(*tag),
            _ => Ok(()),
        }
    }

    /// Returns whether one signature covers this envelope together with others.
    pub(crate) const fn is_batched(&self) -> bool {
        matches!(self.layer, Layer::Signed { form: SignatureForm::Receipt(_), .. })
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

    /// Returns the kid of the decryption key inside the signature; `None` in suites S, M and E.
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

    /// Returns the size of the body, in bytes, without encryption overhead.
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

/// Writes the tag, the array head, and the head of a protected header of `header_len` bytes.
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

/// Writes the array head, and the head of a protected header of `header_len` bytes, for a task in a batch.
pub(crate) fn encode_batched_start(header_len: usize, sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.array(3)?;
    sink.bytes_head(header_len)
}

/// Returns the payload of the envelope; in the detached form, null replaces it and `body` is the payload.
fn decode_payload<'a>(decoder: &mut Decoder<'a>, body: Option<&'a [u8]>) -> Result<&'a [u8], DecodeError> {
    match body {
        None => decoder.bytes(),
        Some(body) => decoder.null().map(|()| body),
    }
}

fn empty_map(decoder: &mut Decoder<'_>) -> Result<(), DecodeError> {
    decoder.map(0).map(drop)
}

#[cfg(test)]
mod tests;
