//! Suite E: COSE_Encrypt0 with A256GCM; the shared key provides authenticity and confidentiality.

use core::convert::Infallible;

use rand_core::TryCryptoRng;
use sha2::Sha256;

use super::{Job, Mode, count, frame_len, private, random, write_start};
use crate::cbor::encoder::{Sink, Writer};
use crate::commit::{ContentKey, SALT_LEN};
use crate::error::SealError;
use crate::header::{Algorithm, Content, Header, SALT_COMMIT_LEN};
use crate::inner::{IV_LEN, TAG_LEN, encode_iv};
use crate::keys::EncryptionKey;
use crate::provider::Provider;
use crate::structure::{EncStructure, EncryptContext};
use crate::suite::Suite;

/// Encrypts with a shared key.
#[derive(Debug)]
pub struct Encrypt<'k> {
    pub(super) key: &'k EncryptionKey,
}

impl private::Sealed for Encrypt<'_> {}

impl Encrypt<'_> {
    const fn header<'h>(&self, job: &Job<'h>, salt_commit: &'h [u8; SALT_COMMIT_LEN]) -> Header<'h> {
        Header {
            algorithm: Algorithm::A256Gcm,
            content: Content::Body(job.content_type),
            kid: self.key.kid(),
            claims: *job.claims,
            kind: job.kind,
            salt_commit: Some(salt_commit),
        }
    }
}

impl Mode for Encrypt<'_> {
    type Error = Infallible;

    fn suite(&self) -> Suite {
        Suite::E
    }

    fn sealed_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize> {
        let unprotected = count(|sink| encode_iv(&[0; IV_LEN], sink))?;
        frame_len(&self.header(job, &[0; SALT_COMMIT_LEN]), unprotected, body_len.checked_add(TAG_LEN)?)
    }

    fn bind(&self, job: &Job<'_>, hash: &mut Sha256) {
        self.header(job, &[0; SALT_COMMIT_LEN]).encode(hash).expect("a hash takes any number of bytes");
    }

    fn seal<P: Provider, R: TryCryptoRng + ?Sized>(
        &mut self,
        job: &Job<'_>,
        provider: &P,
        rng: &mut R,
        envelope: &mut [u8],
    ) -> Result<(), SealError> {
        let salt = random(rng)?;
        let iv = random(rng)?;
        let mut content_key = ContentKey::zeroed();
        let salt_commit = shared_content_key(self.key, &salt, &mut content_key);
        let header = self.header(job, &salt_commit);
        let mut writer = Writer::new(envelope);
        let header_start = write_start(Suite::E, &header, &mut writer)?;
        let protected = header_start..writer.position();
        encode_iv(&iv, &mut writer)?;
        writer.bytes_head(job.body.len() + TAG_LEN)?;
        let (written, ciphertext) = writer.reserve(job.body.len() + TAG_LEN)?;
        let aad = (EncryptContext::Encrypt0, written.get(protected).unwrap_or_default(), [].as_slice());
        encrypt_body(&content_key, &iv, aad, job.body, provider, ciphertext)
    }
}

/// Derives the content key of one message, and returns the bytes in its header: salt, then commitment.
#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
pub(super) fn shared_content_key(
    key: &EncryptionKey,
    salt: &[u8; SALT_LEN],
    content_key: &mut ContentKey,
) -> [u8; SALT_COMMIT_LEN] {
    content_key.derive_shared(key.key(), salt);
    let mut salt_commit = [0; SALT_COMMIT_LEN];
    let (to_salt, to_commit) = salt_commit.split_at_mut(SALT_LEN);
    to_salt.copy_from_slice(salt);
    to_commit.copy_from_slice(&content_key.commit);
    salt_commit
}

/// Fills `ciphertext` with the body, encrypted in place, and the tag. The associated data is the `Enc_structure` of
/// context, protected header and external data.
#[cfg_attr(any(target_os = "none", taskseal_small), inline(never))]
pub(super) fn encrypt_body<E>(
    content_key: &ContentKey,
    iv: &[u8; IV_LEN],
    (context, protected, external): (EncryptContext, &[u8], &[u8]),
    body: &[u8],
    provider: &impl Provider,
    ciphertext: &mut [u8],
) -> Result<(), SealError<E>> {
    let aad = EncStructure::new(context, protected, external)?;
    let (encrypted, tag) = ciphertext.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::BufferTooSmall)?;
    Writer::new(encrypted).put(body)?;
    *tag = provider
        .encrypt_a256gcm(&content_key.key, iv, &aad.pieces(), encrypted)
        .map_err(|_| SealError::BodyTooLong)?;
    Ok(())
}
