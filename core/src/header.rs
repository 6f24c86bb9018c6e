//! The outermost protected header: the one place where a task's metadata stands.

use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Comparer, Counter, Sink, SinkError};
use crate::cbor::{NINT, TEXT};
use crate::claims::Claims;
use crate::kid::KeyId;
use crate::label;
use crate::name::ContentType;
use crate::suite::Kind;

/// Bytes of salt and key commitment in the header of suite E.
pub(crate) const SALT_COMMIT_LEN: usize = 48;

/// ```cddl
/// outer = { 1: alg, 3: content, 4: kid, 15: claims, 16: typ, ? -95348: salt-commit }
/// ```
/// `salt-commit` is there exactly when the algorithm is A256GCM.
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

/// What the payload is.
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

    /// Decodes `bytes`, which must be the one encoding of what they say.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let header = Self::decode_loosely(bytes)?;
        // Order, duplicates, widened heads and trailing bytes all show up as a difference here.
        let mut comparer = Comparer(bytes);
        header.encode(&mut comparer).map_err(|_| DecodeError)?;
        Decoder::new(comparer.0).end()?;
        header.claims.check(header.kind).map_err(|_| DecodeError)?;
        Ok(header)
    }

    fn decode_loosely(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let decoder = &mut Decoder::new(bytes);
        let (mut algorithm, mut content, mut kid) = (None, None, None);
        let (mut claims, mut kind, mut salt_commit) = (None, None, None);
        for _ in 0..decoder.map(6)? {
            if decoder.peek_major()? == NINT {
                if decoder.int()? != label::PRIVATE {
                    return Err(DecodeError);
                }
                salt_commit = Some(decoder.bytes_exact()?);
                continue;
            }
            match decoder.uint()? {
                label::ALG => algorithm = Some(Algorithm::from_number(decoder.int()?)?),
                label::CONTENT_TYPE => content = Some(Content::decode(decoder)?),
                label::KID => kid = Some(KeyId::from_bytes(*decoder.bytes_exact()?)),
                label::CWT_CLAIMS => claims = Some(Claims::decode(decoder)?),
                label::TYP => {
                    let typ = decoder.text()?;
                    kind = Kind::ALL.into_iter().find(|kind| kind.typ() == typ);
                }
                _ => return Err(DecodeError),
            }
        }
        decoder.end()?;
        match (algorithm, content, kid, claims, kind) {
            (Some(algorithm), Some(content), Some(kid), Some(claims), Some(kind)) => {
                Ok(Self { algorithm, content, kid, claims, kind, salt_commit })
            }
            _ => Err(DecodeError),
        }
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
