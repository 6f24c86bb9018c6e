//! The encrypted objects inside a signature: COSE_Encrypt0 of suite SE and COSE_Encrypt of suite SP.

use crate::cbor::NINT;
use crate::cbor::decoder::{DecodeError, Decoder};
use crate::cbor::encoder::{Comparer, Counter, Sink, SinkError};
use crate::header::SALT_COMMIT_LEN;
use crate::kid::KeyId;
use crate::label;
use crate::name::ContentType;

/// Size of an AES-GCM nonce, in bytes.
pub(crate) const IV_LEN: usize = 12;
/// Size of an AES-GCM tag, in bytes.
pub(crate) const TAG_LEN: usize = 16;
/// Size of a key commitment, in bytes.
pub(crate) const COMMIT_LEN: usize = 32;
/// Maximum size of an inner protected header, in bytes: map 1, alg 2, content type 1 + 2 + 64, kid 10, salt-commit 5 +
/// 2 + 48.
pub(crate) const MAX_PROTECTED: usize = 135;

/// A decoded encrypted object that is not decrypted.
///
/// ```cddl
/// enc0 = #6.16([ bstr .cbor { 1: 3, 3: ctype, 4: kid, -95348: salt-commit }, { 5: iv }, bstr ])
/// encp = #6.96([ bstr .cbor { 1: 3, 3: ctype, -95348: commit }, { 5: iv }, bstr, [ recipient ] ])
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner<'a> {
    pub(crate) protected: Protected<'a>,
    pub(crate) protected_bytes: &'a [u8],
    pub(crate) iv: &'a [u8; IV_LEN],
    /// Ciphertext and tag.
    pub(crate) ciphertext: &'a [u8],
    pub(crate) recipient: Option<Recipient<'a>>,
}

/// The protected header of an encrypted object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protected<'a> {
    pub(crate) content_type: ContentType<'a>,
    pub(crate) key: KeyRef<'a>,
}

/// The source of the content key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyRef<'a> {
    /// Derived from the shared key of this kid.
    Shared { kid: KeyId, salt_commit: &'a [u8; SALT_COMMIT_LEN] },
    /// Derived by key agreement with the recipient.
    Agreed { commit: &'a [u8; COMMIT_LEN] },
}

/// The recipient's kid and the ephemeral public key.
///
/// ```cddl
/// recipient = [ bstr .cbor { 1: -25 }, { 4: kid, -1: { 1: 2, -1: 1, -2: bstr .size 32, -3: bstr .size 32 } }, h'' ]
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipient<'a> {
    pub(crate) kid: KeyId,
    pub(crate) x: &'a [u8; 32],
    pub(crate) y: &'a [u8; 32],
}

/// `{ 1: -25 }`: ECDH-ES + HKDF-256 (RFC 9053 section 6.3.1). It is also part of the key derivation context.
pub(crate) const RECIPIENT_PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x18];

impl<'a> Inner<'a> {
    /// Decodes `bytes`, which must be deterministically encoded.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let with_recipient = match decoder.tag()? {
            label::TAG_ENCRYPT0 => false,
            label::TAG_ENCRYPT => true,
            _ => return Err(DecodeError),
        };
        decoder.array(if with_recipient { 4 } else { 3 })?;
        let protected_bytes = decoder.bytes()?;
        let protected = Protected::decode(protected_bytes)?;
        let iv = decode_iv(&mut decoder)?;
        let ciphertext = decoder.bytes()?;
        let recipient = if with_recipient { Some(Recipient::decode(&mut decoder)?) } else { None };
        decoder.end()?;
        let key_fits = recipient.is_some() == matches!(protected.key, KeyRef::Agreed { .. });
        if !key_fits || ciphertext.len() < TAG_LEN {
            return Err(DecodeError);
        }
        let inner = Self { protected, protected_bytes, iv, ciphertext, recipient };
        let mut comparer = Comparer(bytes);
        inner.encode_before_ciphertext(&mut comparer).map_err(|_| DecodeError)?;
        comparer.put(ciphertext).map_err(|_| DecodeError)?;
        if let Some(recipient) = &inner.recipient {
            recipient.encode(&mut comparer).map_err(|_| DecodeError)?;
        }
        Decoder::new(comparer.0).end()?;
        Ok(inner)
    }

    /// Returns the kid of the decryption key.
    pub(crate) const fn kid(&self) -> Option<KeyId> {
        match (self.recipient, self.protected.key) {
            (Some(recipient), _) => Some(recipient.kid),
            (None, KeyRef::Shared { kid, .. }) => Some(kid),
            (None, KeyRef::Agreed { .. }) => None,
        }
    }

    /// Writes the object up to and including the head of the ciphertext.
    fn encode_before_ciphertext(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        encode_before_ciphertext(&self.protected, self.iv, self.ciphertext.len(), sink)
    }
}

/// Writes an encrypted object up to and including the head of its ciphertext of `ciphertext_len` bytes.
pub(crate) fn encode_before_ciphertext(
    protected: &Protected<'_>,
    iv: &[u8; IV_LEN],
    ciphertext_len: usize,
    sink: &mut impl Sink,
) -> Result<(), SinkError> {
    let agreed = matches!(protected.key, KeyRef::Agreed { .. });
    sink.tag(if agreed { label::TAG_ENCRYPT } else { label::TAG_ENCRYPT0 })?;
    sink.array(if agreed { 4 } else { 3 })?;
    sink.bytes_head(protected.encoded_len()?)?;
    protected.encode(sink)?;
    encode_iv(iv, sink)?;
    sink.bytes_head(ciphertext_len)
}

/// Writes the unprotected map `{ 5: iv }`.
pub(crate) fn encode_iv(iv: &[u8; IV_LEN], sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.map(1)?;
    sink.uint(label::IV)?;
    sink.bytes(iv)
}

/// Reads the unprotected map `{ 5: iv }`.
pub(crate) fn decode_iv<'a>(decoder: &mut Decoder<'a>) -> Result<&'a [u8; IV_LEN], DecodeError> {
    if decoder.map(1)? != 1 || decoder.uint()? != label::IV {
        return Err(DecodeError);
    }
    decoder.bytes_exact()
}

impl<'a> Protected<'a> {
    pub(crate) fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        sink.map(if matches!(self.key, KeyRef::Shared { .. }) { 4 } else { 3 })?;
        sink.uint(label::ALG)?;
        sink.int(label::A256GCM)?;
        sink.uint(label::CONTENT_TYPE)?;
        sink.text(self.content_type.as_str())?;
        match &self.key {
            KeyRef::Shared { kid, salt_commit } => {
                sink.uint(label::KID)?;
                sink.bytes(kid.as_bytes())?;
                sink.int(label::PRIVATE)?;
                sink.bytes(*salt_commit)
            }
            KeyRef::Agreed { commit } => {
                sink.int(label::PRIVATE)?;
                sink.bytes(*commit)
            }
        }
    }

    pub(crate) fn encoded_len(&self) -> Result<usize, SinkError> {
        let mut counter = Counter::default();
        self.encode(&mut counter)?;
        Ok(counter.0)
    }

    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let protected = Self::decode_loosely(bytes)?;
        let mut comparer = Comparer(bytes);
        protected.encode(&mut comparer).map_err(|_| DecodeError)?;
        Decoder::new(comparer.0).end()?;
        Ok(protected)
    }

    fn decode_loosely(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let decoder = &mut Decoder::new(bytes);
        let (mut algorithm, mut content_type, mut kid, mut private) = (None, None, None, None);
        for _ in 0..decoder.map(4)? {
            if decoder.peek_major()? == NINT {
                if decoder.int()? != label::PRIVATE {
                    return Err(DecodeError);
                }
                private = Some(decoder.bytes()?);
                continue;
            }
            match decoder.uint()? {
                label::ALG => algorithm = Some(decoder.int()?),
                label::CONTENT_TYPE => content_type = ContentType::new(decoder.text()?).ok(),
                label::KID => kid = Some(KeyId::from_bytes(*decoder.bytes_exact()?)),
                _ => return Err(DecodeError),
            }
        }
        decoder.end()?;
        let (Some(label::A256GCM), Some(content_type), Some(private)) = (algorithm, content_type, private)
        else {
            return Err(DecodeError);
        };
        let key = match kid {
            Some(kid) => KeyRef::Shared { kid, salt_commit: private.try_into().map_err(|_| DecodeError)? },
            None => KeyRef::Agreed { commit: private.try_into().map_err(|_| DecodeError)? },
        };
        Ok(Self { content_type, key })
    }
}

impl<'a> Recipient<'a> {
    /// Writes the array of exactly one recipient.
    pub(crate) fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        sink.array(1)?;
        sink.array(3)?;
        sink.bytes(&RECIPIENT_PROTECTED)?;
        sink.map(2)?;
        sink.uint(label::KID)?;
        sink.bytes(self.kid.as_bytes())?;
        sink.int(label::EPHEMERAL_KEY)?;
        encode_public_key(self.x, self.y, sink)?;
        // RFC 9053 section 6.3: with direct key agreement the encrypted key is an empty byte string.
        sink.bytes(&[])
    }

    fn decode(decoder: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        decoder.array(1)?;
        decoder.array(3)?;
        if decoder.bytes()? != RECIPIENT_PROTECTED {
            return Err(DecodeError);
        }
        if decoder.map(2)? != 2 || decoder.uint()? != label::KID {
            return Err(DecodeError);
        }
        let kid = KeyId::from_bytes(*decoder.bytes_exact()?);
        if decoder.int()? != label::EPHEMERAL_KEY || decoder.map(4)? != 4 {
            return Err(DecodeError);
        }
        let head = (label::KEY_KTY, label::KTY_EC2, label::KEY_CRV, label::CRV_P256);
        if (decoder.int()?, decoder.int()?, decoder.int()?, decoder.int()?) != head {
            return Err(DecodeError);
        }
        if decoder.int()? != label::KEY_X {
            return Err(DecodeError);
        }
        let x = decoder.bytes_exact()?;
        if decoder.int()? != label::KEY_Y {
            return Err(DecodeError);
        }
        let y = decoder.bytes_exact()?;
        if !decoder.bytes()?.is_empty() {
            return Err(DecodeError);
        }
        Ok(Self { kid, x, y })
    }
}

/// Writes a P-256 public key as a COSE_Key (RFC 9053 section 7.1.1): `{ 1: 2, -1: 1, -2: x, -3: y }`. A thumbprint
/// hashes the same bytes (RFC 9679 section 3).
pub(crate) fn encode_public_key(x: &[u8; 32], y: &[u8; 32], sink: &mut impl Sink) -> Result<(), SinkError> {
    sink.map(4)?;
    for pair in [(label::KEY_KTY, label::KTY_EC2), (label::KEY_CRV, label::CRV_P256)] {
        sink.int(pair.0)?;
        sink.int(pair.1)?;
    }
    sink.int(label::KEY_X)?;
    sink.bytes(x)?;
    sink.int(label::KEY_Y)?;
    sink.bytes(y)
}

#[cfg(test)]
mod tests;
