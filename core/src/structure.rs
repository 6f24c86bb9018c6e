//! The structures that are signed, authenticated and used as associated data (RFC 9052 sections 4.4, 5.3 and 6.3).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::batch::{Hash, leaf_hash};
use crate::cbor::encoder::{Counter, Sink, SinkError, Writer};
use crate::envelope::MAX_HEADER;
use crate::inner::MAX_PROTECTED;
use crate::secret::Secret;

/// Returns the SHA-256 of `Sig_structure = ["Signature1", protected, h'', payload]`.
pub(crate) fn signature_digest(protected: &[u8], payload: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    put_authenticated("Signature1", protected, payload, &mut hash).expect("a hash takes any number of bytes");
    hash.finalize().into()
}

/// Returns the leaf of a task in a batch. The entry is the `Sig_structure` that a separate signature would cover.
pub(crate) fn batch_leaf(protected: &[u8], payload: &[u8]) -> Hash {
    let mut hash = leaf_hash();
    put_authenticated("Signature1", protected, payload, &mut hash).expect("a hash takes any number of bytes");
    hash.finalize().into()
}

/// The message that suite M authenticates, `MAC_structure = ["MAC0", protected, h'', payload]`. It is encoded piece by
/// piece and never held as a whole.
#[derive(Clone, Copy, Debug)]
pub struct MacStructure<'m> {
    protected: &'m [u8],
    payload: &'m [u8],
}

impl<'m> MacStructure<'m> {
    pub(crate) const fn new(protected: &'m [u8], payload: &'m [u8]) -> Self {
        Self { protected, payload }
    }

    /// Returns the tag under a key in memory.
    #[inline]
    pub(crate) fn tag(&self, key: &Secret<32>) -> Secret<32> {
        mac_tag(key, self.protected, self.payload)
    }

    /// Returns the size of all pieces together, in bytes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        let mut counter = Counter::default();
        match self.encode(&mut counter) {
            Ok(()) => counter.0,
            Err(SinkError) => usize::MAX,
        }
    }

    /// Passes the bytes of the message to `take`, in order.
    pub fn pieces(&self, take: impl FnMut(&[u8])) {
        // Never fails: this sink accepts all pieces.
        self.encode(&mut Pieces(take)).unwrap_or_default();
    }

    fn encode(&self, sink: &mut impl Sink) -> Result<(), SinkError> {
        put_authenticated("MAC0", self.protected, self.payload, sink)
    }
}

struct Pieces<F>(F);

impl<F: FnMut(&[u8])> Sink for Pieces<F> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        (self.0)(bytes);
        Ok(())
    }
}

/// Returns the HMAC-SHA256 of a [`MacStructure`]. The tag of forged bytes is secret.
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
    // external_aad is empty, so that COSE libraries verify without extra arguments.
    sink.bytes(&[])?;
    sink.bytes(payload)
}

/// The context of an `Enc_structure`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EncryptContext {
    Encrypt0,
    Encrypt,
}

/// `Enc_structure = [context, protected, external_aad]`, in consecutive pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncStructure<'a> {
    /// Array head, context, and the head of the next piece, at the start.
    head: [u8; 13],
    head_len: usize,
    protected: &'a [u8],
    /// The head of the next piece, at the start.
    middle: [u8; 3],
    middle_len: usize,
    external: &'a [u8],
}

impl<'a> EncStructure<'a> {
    /// Maximum size, in bytes: two heads, an inner and an outer header.
    pub(crate) const MAX_LEN: usize = Self::HEADS_LEN + MAX_PROTECTED + MAX_HEADER;
    const HEADS_LEN: usize = 13 + 3;

    /// Creates the structure. `external_aad` is empty in suite E. In SE and SP it is the outer protected header, so
    /// that decryption fails if the signature is replaced by one of another identity.
    pub(crate) fn new(
        context: EncryptContext,
        protected: &'a [u8],
        external: &'a [u8],
    ) -> Result<Self, SinkError> {
        if protected.len().saturating_add(external.len()) > Self::MAX_LEN - Self::HEADS_LEN {
            return Err(SinkError);
        }
        let (mut head, mut middle) = ([0; 13], [0; 3]);
        let mut writer = Writer::new(&mut head);
        writer.array(3)?;
        writer.text(match context {
            EncryptContext::Encrypt0 => "Encrypt0",
            EncryptContext::Encrypt => "Encrypt",
        })?;
        writer.bytes_head(protected.len())?;
        let head_len = writer.position();
        let mut writer = Writer::new(&mut middle);
        writer.bytes_head(external.len())?;
        let middle_len = writer.position();
        Ok(Self { head, head_len, protected, middle, middle_len, external })
    }

    pub(crate) fn pieces(&self) -> [&[u8]; 4] {
        let head = self.head.get(..self.head_len).unwrap_or_default();
        let middle = self.middle.get(..self.middle_len).unwrap_or_default();
        [head, self.protected, middle, self.external]
    }
}

#[cfg(test)]
mod tests;
