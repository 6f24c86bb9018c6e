//! The outermost protected header, which contains all metadata of a task.

use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Comparer, Counter, Sink, SinkError};
use crate::cbor::{NINT, TEXT};
use crate::claims::Claims;
use crate::kid::KeyId;
use crate::label;
use crate::name::ContentType;
use crate::suite::Kind;

/// Size of salt and key commitment in the header of suite E, in bytes.
pub(crate) const SALT_COMMIT_LEN: usize = 48;

/// ```cddl
/// outer = { 1: alg, 3: content, 4: kid, 15: claims, 16: typ, ? -95348: salt-commit }
/// ```
/// `salt-commit` is present if and only if the algorithm is A256GCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) content: Content<'a>,
    pub(crate) kid: KeyId,
    pub(crate) claims: Claims<'a>,
    pub(crate) kind: Kind,
    pub(crate) salt_commit: Option<&'a [u8; SALT_COMMIT_LEN]>,
}

/// The algorithm of the outermost layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    Hmac256,
    A256Gcm,
}

/// The content of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// The body itself.
    Body(ContentType<'a>),
    /// A COSE_Encrypt0.
    Encrypt0,
    /// A COSE_Encrypt.
    Encrypt,
}

impl<'a> Header<'a> {
    pub(crate) fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        sink.map(if self.salt_commit.is_some() { 6 } else { 5 })?;
        sink.uint(label::ALG)?;
        sink.int(self.algorithm.number())?;
        sink.uint(label::CONTENT_TYPE)?;
        match &self.content {
            Content::Body(content_type) => sink.text(content_type.as_str())?,
            Content::Encrypt0 => sink.uint(label::COAP_ENCRYPT0)?,
            Content::Encrypt => sink.uint(label::COAP_ENCRYPT)?,
        }
        sink.uint(label::KID)?;
        sink.bytes(self.kid.as_bytes())?;
        sink.uint(label::CWT_CLAIMS)?;
        self.claims.encode(sink)?;
        sink.uint(label::TYP)?;
        sink.text(self.kind.typ())?;
        if let Some(salt_commit) = self.salt_commit {
            sink.int(label::PRIVATE)?;
            sink.bytes(salt_commit)?;
        }
        Ok(())
    }

    pub(crate) fn encoded_len(&self) -> Result<usize, SinkError> {
        let mut counter = Counter::default();
        self.encode(&mut counter)?;
        Ok(counter.0)
    }

    /// A placeholder for a header that is still to be decoded.
    pub(crate) const UNSET: Self = Self {
        algorithm: Algorithm::Es256,
        content: Content::Encrypt0,
        kid: KeyId::from_bytes([0; KeyId::LEN]),
        claims: Claims::UNSET,
        kind: Kind::Task,
        salt_commit: None,
    };

    /// Decodes `bytes`, which must be deterministically encoded, into an [`UNSET`](Self::UNSET) header.
    pub(crate) fn decode(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        self.decode_loosely(bytes)?;
        // This comparison finds wrong order, duplicates, widened heads and trailing bytes.
        let mut comparer = Comparer(bytes);
        self.encode(&mut comparer).map_err(|_| DecodeError)?;
        Decoder::new(comparer.0).end()?;
        self.claims.check(self.kind).map_err(|_| DecodeError)
    }

    fn decode_loosely(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        const REQUIRED: u8 = 0b1_1111;
        let decoder = &mut Decoder::new(bytes);
        let mut found = 0_u8;
        for _ in 0..decoder.map(6)? {
            if decoder.peek_major()? == NINT {
                if decoder.int()? != label::PRIVATE {
                    return Err(DecodeError);
                }
                self.salt_commit = Some(decoder.bytes_exact()?);
                continue;
            }
            found |= match decoder.uint()? {
                label::ALG => {
                    self.algorithm = Algorithm::from_number(decoder.int()?)?;
                    1
                }
                label::CONTENT_TYPE => {
                    self.content = Content::decode(decoder)?;
                    2
                }
                label::KID => {
                    self.kid = KeyId::from_bytes(*decoder.bytes_exact()?);
                    4
                }
                label::CWT_CLAIMS => {
                    self.claims.decode(decoder)?;
                    8
                }
                label::TYP => {
                    let typ = decoder.text()?;
                    self.kind = Kind::ALL.into_iter().find(|kind| kind.typ() == typ).ok_or(DecodeError)?;
                    16
                }
                _ => return Err(DecodeError),
            };
        }
        decoder.end()?;
        if found == REQUIRED { Ok(()) } else { Err(DecodeError) }
    }
}

impl Algorithm {
    const fn number(self) -> i64 {
        match self {
            Self::Es256 => label::ES256,
            Self::Hmac256 => label::HMAC_256,
            Self::A256Gcm => label::A256GCM,
        }
    }

    const fn from_number(number: i64) -> Result<Self, DecodeError> {
        match number {
            label::ES256 => Ok(Self::Es256),
            label::HMAC_256 => Ok(Self::Hmac256),
            label::A256GCM => Ok(Self::A256Gcm),
            _ => Err(DecodeError),
        }
    }
}

impl<'a> Content<'a> {
    fn decode(decoder: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        if decoder.peek_major()? == TEXT {
            return ContentType::new(decoder.text()?).map(Self::Body).map_err(|_| DecodeError);
        }
        match decoder.uint()? {
            label::COAP_ENCRYPT0 => Ok(Self::Encrypt0),
            label::COAP_ENCRYPT => Ok(Self::Encrypt),
            _ => Err(DecodeError),
        }
    }
}

#[cfg(test)]
mod tests;
