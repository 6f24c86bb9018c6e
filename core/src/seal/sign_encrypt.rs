//! Suites SE and SP: an encrypted object inside a signature, bound to it.
//!
//! The AEAD has the outer protected header as associated data. If the signature is removed and the ciphertext is signed
//! again under another identity, decryption fails.

use rand_core::TryCryptoRng;

use super::encrypted::{encrypt_body, shared_content_key};
use super::signed::SigningMode;
use super::{Job, count, private, random};
use crate::cbor::encoder::Writer;
use crate::commit::ContentKey;
use crate::error::SealError;
use crate::header::SALT_COMMIT_LEN;
use crate::inner::{
    COMMIT_LEN, IV_LEN, KeyRef, MAX_PROTECTED, Protected, Recipient, TAG_LEN, encode_before_ciphertext,
};
use crate::keys::{AgreementPublicKey, EncryptionKey, POINT_LEN, coordinates};
use crate::kid::KeyId;
use crate::provider::{Provider, Signer};
use crate::secret::Secret;
use crate::structure::EncryptContext;
use crate::suite::Suite;

/// Suite SE: encrypts with a shared key, then signs.
#[derive(Debug)]
pub struct SignEncrypt<'k, S> {
    pub(super) signer: S,
    pub(super) key: &'k EncryptionKey,
}

/// Suite SP: encrypts to a public key, then signs.
#[derive(Debug)]
pub struct SignEncryptTo<'k, S> {
    pub(super) signer: S,
    pub(super) recipient: &'k AgreementPublicKey,
}

impl<S> private::Sealed for SignEncrypt<'_, S> {}
impl<S> private::Sealed for SignEncryptTo<'_, S> {}

impl<S: Signer> SigningMode for SignEncrypt<'_, S> {
    type Signer = S;
    /// Every task has its own salt and content key.
    type Session = ();

    fn signer(&self) -> &S {
        &self.signer
    }

    fn signer_mut(&mut self) -> &mut S {
        &mut self.signer
    }

    fn signed_suite(&self) -> Suite {
        Suite::Se
    }

    fn inner_kid(&self) -> Option<KeyId> {
        Some(self.key.kid())
    }

    fn begin<P: Provider, R: TryCryptoRng + ?Sized>(
        &self,
        (): &mut (),
        _: &P,
        _: &mut R,
    ) -> Result<(), SealError<S::Error>> {
        Ok(())
    }

    fn payload_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize> {
        let key = KeyRef::Shared { kid: self.key.kid(), salt_commit: &[0; SALT_COMMIT_LEN] };
        let inner = Plan { protected: Protected { content_type: job.content_type, key }, recipient: None };
        inner.len(body_len)
    }

    fn write_payload<P: Provider, R: TryCryptoRng + ?Sized>(
        &self,
        job: &Job<'_>,
        (): &mut (),
        outer: &[u8],
        provider: &P,
        rng: &mut R,
        payload: &mut [u8],
    ) -> Result<(), SealError<S::Error>> {
        let salt = random(rng)?;
        let iv = random(rng)?;
        let mut content_key = ContentKey::zeroed();
        let salt_commit = shared_content_key(self.key, &salt, &mut content_key);
        let key = KeyRef::Shared { kid: self.key.kid(), salt_commit: &salt_commit };
        let inner = Plan { protected: Protected { content_type: job.content_type, key }, recipient: None };
        inner.write(job.body, &content_key, &iv, outer, provider, payload)
    }
}

/// The state that the tasks under one signature of suite SP share: the ephemeral key and the content key.
#[doc(hidden)]
// Public because a public trait names it; not reachable from other crates.
#[allow(missing_debug_implementations, unnameable_types)]
pub struct Agreed {
    ephemeral: [u8; POINT_LEN],
    content_key: ContentKey,
    /// The last IV, if any.
    pub(super) iv: Option<[u8; IV_LEN]>,
}

impl Default for Agreed {
    fn default() -> Self {
        Self { ephemeral: [0; POINT_LEN], content_key: ContentKey::zeroed(), iv: None }
    }
}

impl Agreed {
    /// Returns an IV that was not used with this key. The first IV is random; each later one has eight random bytes and
    /// a counter of four bytes. A batch has at most 1024 tasks and the counter 2^32 values, so a stuck source does not
    /// cause a repetition. Copies of a process or a machine with an open batch have the same counter, but different
    /// random bytes once their sources differ.
    pub(super) fn next_iv<R: TryCryptoRng + ?Sized, E>(
        &mut self,
        rng: &mut R,
    ) -> Result<[u8; IV_LEN], SealError<E>> {
        let iv = match self.iv {
            None => random(rng)?,
            Some([.., i, j, k, l]) => {
                let [a, b, c, d, e, f, g, h] = random(rng)?;
                let [i, j, k, l] = u32::from_be_bytes([i, j, k, l]).wrapping_add(1).to_be_bytes();
                [a, b, c, d, e, f, g, h, i, j, k, l]
            }
        };
        self.iv = Some(iv);
        Ok(iv)
    }
}

impl<S: Signer> SigningMode for SignEncryptTo<'_, S> {
    type Signer = S;
    type Session = Agreed;

    fn signer(&self) -> &S {
        &self.signer
    }

    fn signer_mut(&mut self) -> &mut S {
        &mut self.signer
    }

    fn signed_suite(&self) -> Suite {
        Suite::Sp
    }

    fn inner_kid(&self) -> Option<KeyId> {
        Some(self.recipient.kid())
    }

    fn begin<P: Provider, R: TryCryptoRng + ?Sized>(
        &self,
        session: &mut Agreed,
        provider: &P,
        rng: &mut R,
    ) -> Result<(), SealError<S::Error>> {
        let (ephemeral, z) = ephemeral(self.recipient, provider, rng)?;
        session.content_key.derive_agreed(&z);
        session.ephemeral = ephemeral.to_point();
        Ok(())
    }

    fn payload_len(&self, job: &Job<'_>, body_len: usize) -> Option<usize> {
        let key = KeyRef::Agreed { commit: &[0; COMMIT_LEN] };
        let recipient = Some(Recipient { kid: self.recipient.kid(), x: &[0; 32], y: &[0; 32] });
        Plan { protected: Protected { content_type: job.content_type, key }, recipient }.len(body_len)
    }

    fn write_payload<P: Provider, R: TryCryptoRng + ?Sized>(
        &self,
        job: &Job<'_>,
        session: &mut Agreed,
        outer: &[u8],
        provider: &P,
        rng: &mut R,
        payload: &mut [u8],
    ) -> Result<(), SealError<S::Error>> {
        let iv = session.next_iv(rng)?;
        let (x, y) = coordinates(&session.ephemeral);
        let key = KeyRef::Agreed { commit: &session.content_key.commit };
        let recipient = Some(Recipient { kid: self.recipient.kid(), x, y });
        let inner = Plan { protected: Protected { content_type: job.content_type, key }, recipient };
        inner.write(job.body, &session.content_key, &iv, outer, provider, payload)
    }
}

/// The input of writing an encrypted object.
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

    /// Fills `payload` with the object, bound to the outer protected header.
    fn write<E>(
        &self,
        body: &[u8],
        content_key: &ContentKey,
        iv: &[u8; IV_LEN],
        outer: &[u8],
        provider: &impl Provider,
        payload: &mut [u8],
    ) -> Result<(), SealError<E>> {
        let context = match self.recipient {
            None => EncryptContext::Encrypt0,
            Some(_) => EncryptContext::Encrypt,
        };
        let mut protected = [0; MAX_PROTECTED];
        let mut protected_writer = Writer::new(&mut protected);
        self.protected.encode(&mut protected_writer)?;
        let aad = (context, protected_writer.as_bytes(), outer);
        let mut writer = Writer::new(payload);
        encode_before_ciphertext(&self.protected, iv, body.len() + TAG_LEN, &mut writer)?;
        let (_, ciphertext) = writer.reserve(body.len() + TAG_LEN)?;
        encrypt_body(content_key, iv, aad, body, provider, ciphertext)?;
        if let Some(recipient) = &self.recipient {
            recipient.encode(&mut writer)?;
        }
        Ok(())
    }
}

/// Generates scalars until one is below the order of the curve. A scalar is out of range with probability 2^-32: eight
/// in a row mean that the source of randomness is broken.
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
