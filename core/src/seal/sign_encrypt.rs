//! Suites SE and SP: an encrypted object inside a signature, bound to it.
//!
//! The AEAD takes the outer protected header as associated data: taking the signature off and signing the
//! ciphertext again under another identity makes decryption fail.

use rand_core::TryCryptoRng;

use super::encrypted::{encrypt_body, shared_content_key};
use super::signed::{sign, signed_header, signed_len};
use super::{Job, Mode, count, private, random, write_start};
use crate::cbor::encoder::{Sink, Writer};
use crate::commit::ContentKey;
use crate::error::SealError;
use crate::header::{Content, SALT_COMMIT_LEN};
use crate::inner::{
    COMMIT_LEN, IV_LEN, KeyRef, MAX_PROTECTED, Protected, Recipient, TAG_LEN, encode_before_ciphertext,
};
use crate::keys::{AgreementPublicKey, EncryptionKey, coordinates};
use crate::provider::{Provider, Signer};
use crate::secret::Secret;
use crate::structure::{EncStructure, EncryptContext};
use crate::suite::Suite;

/// Encrypts with a shared key, then signs.
#[derive(Debug)]
pub struct SignEncrypt<'k, S> {
    pub(super) signer: S,
    pub(super) key: &'k EncryptionKey,
}

/// Encrypts to a public key, then signs.
#[derive(Debug)]
pub struct SignEncryptTo<'k, S> {
    pub(super) signer: S,
    pub(super) recipient: &'k AgreementPublicKey,
}

impl<S> private::Sealed for SignEncrypt<'_, S> {}
impl<S> private::Sealed for SignEncryptTo<'_, S> {}

impl<S: Signer> Mode for SignEncrypt<'_, S> {
    type Error = S::Error;

    fn suite(&self) -> Suite {
        Suite::Se
    }

    fn sealed_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize> {
        let key = KeyRef::Shared { kid: self.key.kid(), salt_commit: &[0; SALT_COMMIT_LEN] };
        let inner = Plan { protected: Protected { content_type: job.content_type, key }, recipient: None };
        signed_len(&signed_header(&self.signer, job, Content::Encrypt0), inner.len(body_len)?)
    }

    fn seal<P: Provider, R: TryCryptoRng + ?Sized>(
        &mut self,
        job: &Job<'_>,
        provider: &P,
        rng: &mut R,
        envelope: &mut [u8],
    ) -> Result<(), SealError<S::Error>> {
        let salt = random(rng)?;
        let iv = random(rng)?;
        let mut content_key = ContentKey::zeroed();
        let salt_commit = shared_content_key(self.key, &salt, &mut content_key);
        let key = KeyRef::Shared { kid: self.key.kid(), salt_commit: &salt_commit };
        let inner = Plan { protected: Protected { content_type: job.content_type, key }, recipient: None };
        seal_around(&mut self.signer, job, &inner, &content_key, &iv, provider, envelope)
    }
}

impl<S: Signer> Mode for SignEncryptTo<'_, S> {
    type Error = S::Error;

    fn suite(&self) -> Suite {
        Suite::Sp
    }

    fn sealed_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize> {
        let key = KeyRef::Agreed { commit: &[0; COMMIT_LEN] };
        let recipient = Some(Recipient { kid: self.recipient.kid(), x: &[0; 32], y: &[0; 32] });
        let inner = Plan { protected: Protected { content_type: job.content_type, key }, recipient };
        signed_len(&signed_header(&self.signer, job, Content::Encrypt), inner.len(body_len)?)
    }

    fn seal<P: Provider, R: TryCryptoRng + ?Sized>(
        &mut self,
        job: &Job<'_>,
        provider: &P,
        rng: &mut R,
        envelope: &mut [u8],
    ) -> Result<(), SealError<S::Error>> {
        let (ephemeral, z) = ephemeral(self.recipient, provider, rng)?;
        let iv = random(rng)?;
        let mut content_key = ContentKey::zeroed();
        content_key.derive_agreed(&z);
        let point = ephemeral.to_point();
        let (x, y) = coordinates(&point);
        let key = KeyRef::Agreed { commit: &content_key.commit };
        let recipient = Some(Recipient { kid: self.recipient.kid(), x, y });
        let inner = Plan { protected: Protected { content_type: job.content_type, key }, recipient };
        seal_around(&mut self.signer, job, &inner, &content_key, &iv, provider, envelope)
    }
}

/// An encrypted object that is about to be written.
struct Plan<'p> {
    protected: Protected<'p>,
    recipient: Option<Recipient<'p>>,
}

impl Plan<'_> {
    fn len(&self, body_len: usize) -> Option<usize> {
        let ciphertext_len = body_len.checked_add(TAG_LEN)?;
        let before =
            count(|sink| encode_before_ciphertext(&self.protected, &[0; IV_LEN], ciphertext_len, sink))?;
        let after = match &self.recipient {
            Some(recipient) => count(|sink| recipient.encode(sink))?,
            None => 0,
        };
        before.checked_add(ciphertext_len)?.checked_add(after)
    }
}

fn seal_around<S: Signer>(
    signer: &mut S,
    job: &Job<'_>,
    inner: &Plan<'_>,
    content_key: &ContentKey,
    iv: &[u8; IV_LEN],
    provider: &impl Provider,
    envelope: &mut [u8],
) -> Result<(), SealError<S::Error>> {
    let (suite, content, context) = match inner.recipient {
        None => (Suite::Se, Content::Encrypt0, EncryptContext::Encrypt0),
        Some(_) => (Suite::Sp, Content::Encrypt, EncryptContext::Encrypt),
    };
    let header = signed_header(signer, job, content);
    let mut writer = Writer::new(envelope);
    let header_start = write_start(suite, &header, &mut writer)?;
    let header_end = writer.position();

    let mut protected = [0; MAX_PROTECTED];
    let mut protected_writer = Writer::new(&mut protected);
    inner.protected.encode(&mut protected_writer)?;
    let outer = writer.as_bytes().get(header_start..header_end).unwrap_or_default();
    let aad = EncStructure::new(context, protected_writer.as_bytes(), outer)?;

    writer.map(0)?;
    writer.bytes_head(inner.len(job.body.len()).ok_or(SealError::BodyTooLong)?)?;
    let payload_start = writer.position();
    encode_before_ciphertext(&inner.protected, iv, job.body.len() + TAG_LEN, &mut writer)?;
    encrypt_body(content_key, iv, &aad, job.body, provider, &mut writer)?;
    if let Some(recipient) = &inner.recipient {
        recipient.encode(&mut writer)?;
    }
    sign(signer, writer, header_start..header_end, payload_start)
}

/// Draws scalars until one is below the order of the curve. The chance of missing it once is 2^-32: eight
/// misses in a row mean that the source of randomness is broken.
fn ephemeral<P: Provider, R: TryCryptoRng + ?Sized, E>(
    recipient: &AgreementPublicKey,
    provider: &P,
    rng: &mut R,
) -> Result<(AgreementPublicKey, Secret<32>), SealError<E>> {
    let mut scalar = Secret::zeroed();
    for _ in 0..8 {
        rng.try_fill_bytes(scalar.as_mut_bytes()).map_err(|_| SealError::Random)?;
        if let Some(agreed) = provider.agree_ephemeral(&scalar, recipient) {
            return Ok(agreed);
        }
    }
    Err(SealError::Random)
}
