//! What is signed, authenticated and used as associated data (RFC 9052 sections 4.4, 5.3 and 6.3).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::batch::{Hash, leaf_hash};
use crate::cbor::encoder::{Sink, SinkError, Writer};
use crate::envelope::MAX_HEADER;
use crate::inner::MAX_PROTECTED;
use crate::secret::Secret;

/// SHA-256 of `Sig_structure = ["Signature1", protected, h'', payload]`, with the payload in one piece.
pub(crate) fn signature_digest(protected: &[u8], payload: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    put_authenticated("Signature1", protected, payload, &mut hash).expect("a hash takes any number of bytes");
    hash.finalize().into()
}

/// The leaf of a task in a batch: the entry is the `Sig_structure` that a signature of its own would cover.
pub(crate) fn batch_leaf(protected: &[u8], payload: &[u8]) -> Hash {
    let mut hash = leaf_hash();
    put_authenticated("Signature1", protected, payload, &mut hash).expect("a hash takes any number of bytes");
    hash.finalize().into()
}

/// HMAC-SHA256 of `MAC_structure = ["MAC0", protected, h'', payload]`. Secret until it is sent: for forged
/// bytes it is what the forger lacks.
pub(crate) fn mac_tag(key: &Secret<32>, protected: &[u8], payload: &[u8]) -> Secret<32> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    put_authenticated("MAC0", protected, payload, &mut mac).expect("a MAC takes any number of bytes");
    let mut output = mac.finalize().into_bytes();
    let mut tag = Secret::zeroed();
    tag.as_mut_bytes().copy_from_slice(&output);
    output.zeroize();
    tag
}

fn put_authenticated(
    context: &str,
    protected: &[u8],
    payload: &[u8],
    sink: &mut impl Sink,
) -> Result<(), SinkError> {
    sink.array(4)?;
    sink.text(context)?;
    sink.bytes(protected)?;
    // external_aad stays empty, so that any COSE library verifies without extra arguments.
    sink.bytes(&[])?;
    sink.bytes(payload)
}

/// Which encryption object an `Enc_structure` belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EncryptContext {
    Encrypt0,
    Encrypt,
}

/// Array 1, context 9, two byte string heads of 3, the two headers.
const MAX_LEN: usize = 1 + 9 + 3 + MAX_PROTECTED + 3 + MAX_HEADER;

/// `Enc_structure = [context, protected, external_aad]` in one piece, as the AEAD wants it.
pub(crate) struct EncStructure {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl EncStructure {
    /// To be filled where it stands: it is long.
    pub(crate) const fn empty() -> Self {
        Self { bytes: [0; MAX_LEN], len: 0 }
    }

    /// `external_aad` is empty for suite E; in SE and SP it is the outer protected header, so that taking
    /// the signature off and signing again under another identity makes decryption fail.
    pub(crate) fn fill(
        &mut self,
        context: EncryptContext,
        protected: &[u8],
        external_aad: &[u8],
    ) -> Result<(), SinkError> {
        let mut writer = Writer::new(&mut self.bytes);
        writer.array(3)?;
        writer.text(match context {
            EncryptContext::Encrypt0 => "Encrypt0",
            EncryptContext::Encrypt => "Encrypt",
        })?;
        writer.bytes(protected)?;
        writer.bytes(external_aad)?;
        self.len = writer.position();
        Ok(())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
