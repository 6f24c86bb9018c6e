//! Signed statements of hosts about their own files: a COSE_Sign1 over a payload of a fixed media type.
//!
//! The media type is in the protected header (`typ`, RFC 9596), which the signature covers. No statement can therefore be
//! taken for a task, a result or a keyset, nor for a statement of another type.

use p256::ecdsa::Signature;

use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Comparer, Sink, SinkError, Writer};
use crate::error::{Rejected, SealError};
use crate::keys::VerifyingKey;
use crate::kid::KeyId;
use crate::label;
use crate::provider::{Provider, Signer, Software};
use crate::structure::signature_digest;

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatementType {
    /// The state of an audit log after one of its lines.
    AuditCheckpoint,
}

impl StatementType {
    /// Returns the media type in the protected header.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::AuditCheckpoint => "application/vnd.taskseal.audit-checkpoint.v1+cose",
        }
    }
}

/// Maximum size of the payload of a statement, in bytes.
pub const MAX_STATEMENT: usize = 4096;
/// Maximum size of a protected header, in bytes: map, alg, kid and the longest media type.
const MAX_HEADER: usize = 96;
const SIGNATURE_LEN: usize = 64;

/// Signs a statement, writes it into `buffer`, and returns the written bytes. It is at most 192 bytes longer than `payload`.
///
/// ```cddl
/// statement = #6.18([ header, {}, bstr .size (0..4096), bstr .size 64 ])
/// header    = bstr .cbor { 1: -7, 4: kid, 16: tstr }
/// ```
///
/// # Errors
/// [`SealError::BodyTooLong`], [`SealError::BufferTooSmall`], [`SealError::Signer`] or [`SealError::InvalidSignature`].
pub fn sign_statement<'b, S: Signer>(
    signer: &mut S,
    kind: StatementType,
    payload: &[u8],
    buffer: &'b mut [u8],
) -> Result<&'b [u8], SealError<S::Error>> {
    if payload.len() > MAX_STATEMENT {
        return Err(SealError::BodyTooLong);
    }
    let (mut header, kid) = ([0; MAX_HEADER], signer.kid());
    let mut writer = Writer::new(&mut header);
    encode_header(kid, kind, &mut writer).map_err(|SinkError| SealError::BufferTooSmall)?;
    let digest = signature_digest(writer.as_bytes(), payload);
    let signature = signer.sign_digest(&digest).map_err(SealError::Signer)?;
    // Tokens return a high s in half of all cases. Only the low s is accepted.
    let signature = Signature::from_slice(&signature).map_err(|_| SealError::InvalidSignature)?;
    let signature = signature.normalize_s().to_bytes();
    let header = writer.as_bytes();
    let mut writer = Writer::new(buffer);
    encode(header, payload, &signature, &mut writer).map_err(|SinkError| SealError::BufferTooSmall)?;
    let written = writer.position();
    Ok(buffer.get(..written).unwrap_or_default())
}

fn encode(header: &[u8], payload: &[u8], signature: &[u8], sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.tag(label::TAG_SIGN1)?;
    sink.array(4)?;
    sink.bytes(header)?;
    sink.map(0)?;
    sink.bytes(payload)?;
    sink.bytes(signature)
}

fn encode_header(kid: KeyId, kind: StatementType, sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.map(3)?;
    sink.uint(label::ALG)?;
    sink.int(label::ES256)?;
    sink.uint(label::KID)?;
    sink.bytes(kid.as_bytes())?;
    sink.uint(label::TYP)?;
    sink.text(kind.media_type())
}

/// A well-formed statement whose signature is not verified.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedStatement<'a> {
    kid: KeyId,
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8; SIGNATURE_LEN],
}

impl<'a> UnverifiedStatement<'a> {
    /// Decodes `bytes`, which must hold one deterministically encoded statement of this type and nothing else.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn parse(bytes: &'a [u8], kind: StatementType) -> Result<Self, Rejected> {
        decode(bytes, kind).map_err(|DecodeError| Rejected)
    }

    /// Returns the kid of the key that the statement names.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// Verifies the signature (RFC 9052 section 4.4) and returns the payload.
    ///
    /// # Errors
    /// [`Rejected`], also if `key` is not the key that the statement names.
    pub fn verify(&self, key: &VerifyingKey) -> Result<&'a [u8], Rejected> {
        let low = |signature: Signature| signature.normalize_s() == signature;
        if key.kid() != self.kid || !Signature::from_slice(self.signature).is_ok_and(low) {
            return Err(Rejected);
        }
        Software.verify_es256(key, &signature_digest(self.header, self.payload), self.signature)?;
        Ok(self.payload)
    }
}

fn decode(bytes: &[u8], kind: StatementType) -> Result<UnverifiedStatement<'_>, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    if decoder.tag()? != label::TAG_SIGN1 {
        return Err(DecodeError);
    }
    decoder.array(4)?;
    let header = decoder.bytes()?;
    let kid = decode_header(header, kind)?;
    decoder.map(0)?;
    let payload = decoder.bytes()?;
    let signature = decoder.bytes_exact()?;
    decoder.end()?;
    if payload.len() > MAX_STATEMENT {
        return Err(DecodeError);
    }
    Ok(UnverifiedStatement { kid, header, payload, signature })
}

fn decode_header(bytes: &[u8], kind: StatementType) -> Result<KeyId, DecodeError> {
    let decoder = &mut Decoder::new(bytes);
    decoder.map(3)?;
    if (decoder.uint()?, decoder.int()?, decoder.uint()?) != (label::ALG, label::ES256, label::KID) {
        return Err(DecodeError);
    }
    let kid = KeyId::from_bytes(*decoder.bytes_exact()?);
    // The comparison checks the rest, which the type fixes.
    let mut comparer = Comparer(bytes);
    encode_header(kid, kind, &mut comparer).map_err(|_| DecodeError)?;
    Decoder::new(comparer.0).end()?;
    Ok(kid)
}

#[cfg(test)]
mod tests;
