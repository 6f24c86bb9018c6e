//! The last step: derivation of the content key and decryption in place.

use core::fmt;

use zeroize::Zeroize;

use super::Verified;
use crate::claims::Claims;
use crate::commit::ContentKey;
use crate::envelope::{Envelope, Layer, Signed};
use crate::error::OpenError;
use crate::inner::{IV_LEN, Inner, KeyRef, TAG_LEN};
use crate::keys::{AgreementPublicKey, point};
use crate::keyset::DecryptionKeys;
use crate::name::ContentType;
use crate::provider::{Agree, Provider};
use crate::refusal::Refusal;
use crate::stack::clear_registers;
use crate::structure::{EncStructure, EncryptContext};

/// An opened task or result. A decrypted body is wiped on drop.
pub struct Opened<'a, 'b> {
    verified: Verified<'a>,
    body: Body<'a, 'b>,
}

pub(super) enum Body<'a, 'b> {
    /// A body that is not encrypted, in the envelope.
    Clear(&'a [u8]),
    Decrypted(&'b mut [u8]),
}

impl<'a> Opened<'a, '_> {
    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::Clear(body) => body,
            Body::Decrypted(body) => body,
        }
    }

    /// Returns the claims of the issuer.
    #[must_use]
    pub const fn claims(&self) -> &Claims<'a> {
        self.verified.claims()
    }

    /// Returns the media type of the body.
    #[must_use]
    pub const fn content_type(&self) -> ContentType<'a> {
        self.verified.content_type()
    }

    /// Returns the verified envelope.
    #[must_use]
    pub const fn verified(&self) -> &Verified<'a> {
        &self.verified
    }
}

impl Drop for Opened<'_, '_> {
    fn drop(&mut self) {
        if let Body::Decrypted(body) = &mut self.body {
            body.zeroize();
            clear_registers();
        }
    }
}

impl fmt::Debug for Opened<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("claims", self.claims()).finish_non_exhaustive()
    }
}

impl<'a, 'b> Opened<'a, 'b> {
    pub(super) const fn new(verified: Verified<'a>, body: Body<'a, 'b>) -> Self {
        Self { verified, body }
    }
}

/// Returns the body of a verified envelope, decrypted into `buffer` if it is encrypted.
pub(super) fn open<'a, 'b>(
    envelope: &Envelope<'a>,
    provider: &impl Provider,
    keys: &mut impl DecryptionKeys,
    buffer: &'b mut [u8],
) -> Result<Body<'a, 'b>, OpenError> {
    let mut content_key = ContentKey::zeroed();
    match envelope.layer {
        Layer::Signed { content: Signed::Body(_), .. } | Layer::Mac { .. } => {
            Ok(Body::Clear(envelope.payload))
        }
        Layer::Encrypted { iv, .. } => {
            let salt_commit = envelope.header.salt_commit.ok_or(Refusal::Malformed)?;
            let key = keys.encryption_key(envelope.header.kid).ok_or(Refusal::NoDecryptionKey)?;
            content_key.derive_shared_checked(key.key(), salt_commit).map_err(|_| Refusal::Rejected)?;
            let aad = (EncryptContext::Encrypt0, envelope.header_bytes, [].as_slice());
            decrypt(provider, &content_key, iv, aad, envelope.payload, buffer)
        }
        Layer::Signed { content: Signed::Encrypted(inner), .. } => {
            find_content_key(&inner, keys, &mut content_key)?;
            let context = match inner.recipient {
                None => EncryptContext::Encrypt0,
                Some(_) => EncryptContext::Encrypt,
            };
            let aad = (context, inner.protected_bytes, envelope.header_bytes);
            decrypt(provider, &content_key, inner.iv, aad, inner.ciphertext, buffer)
        }
    }
}

/// Fills `content_key` in place: moving a key leaves a copy behind.
#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn find_content_key(
    inner: &Inner<'_>,
    keys: &mut impl DecryptionKeys,
    content_key: &mut ContentKey,
) -> Result<(), OpenError> {
    let derived = match (inner.protected.key, inner.recipient) {
        (KeyRef::Shared { kid, salt_commit }, None) => {
            let key = keys.encryption_key(kid).ok_or(Refusal::NoDecryptionKey)?;
            content_key.derive_shared_checked(key.key(), salt_commit)
        }
        (KeyRef::Agreed { commit }, Some(recipient)) => {
            // Points off the curve never reach a private key.
            let ephemeral = AgreementPublicKey::from_point(&point(recipient.x, recipient.y))
                .map_err(|_| Refusal::Rejected)?;
            let mut key = keys.agreement_key(recipient.kid).ok_or(Refusal::NoDecryptionKey)?;
            let z = key.agree(&ephemeral).map_err(|_| OpenError::KeyUnavailable)?;
            content_key.derive_agreed_checked(&z, commit)
        }
        _ => return Err(Refusal::Malformed.into()),
    };
    derived.map_err(|_| Refusal::Rejected.into())
}

#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
fn decrypt<'a, 'b>(
    provider: &impl Provider,
    content_key: &ContentKey,
    iv: &[u8; IV_LEN],
    (context, protected, external): (EncryptContext, &[u8], &[u8]),
    ciphertext: &[u8],
    buffer: &'b mut [u8],
) -> Result<Body<'a, 'b>, OpenError> {
    let aad = EncStructure::new(context, protected, external).map_err(|_| Refusal::Malformed)?;
    let (ciphertext, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Refusal::Malformed)?;
    let (body, _) = buffer.split_at_mut_checked(ciphertext.len()).ok_or(OpenError::BufferTooSmall)?;
    // Unlike `copy_from_slice`, this contains no panic for different lengths.
    body.iter_mut().zip(ciphertext).for_each(|(to, from)| *to = *from);
    if provider.decrypt_a256gcm(&content_key.key, iv, &aad.pieces(), body, tag).is_err() {
        body.zeroize();
        return Err(Refusal::Rejected.into());
    }
    Ok(Body::Decrypted(body))
}
