//! Sealing keys: the keys that seal tasks or results, in a suite chosen by the configuration.

mod batch;
mod open;
mod randomness;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;

use getrandom::SysRng;
use getrandom::rand_core::TryCryptoRng;
use taskseal_core::batch::MAX_BATCH;
use taskseal_core::keys::{AgreementPublicKey, EncryptionKey};
use taskseal_core::seal::{HedgeKey, Mode};
use taskseal_core::{Claims, ContentType, KeyId, Kind, MAX_BODY, SealError, Sealer, Suite};

pub use self::source::SealingSource;

use self::batch::seal_together;
use self::randomness::{Hedged, Plain, Randomness};
use super::authenticator::Authenticating;
use super::error::KeyError;
use super::keyring::Keyring;
use super::signer::{SignerFault, Signing};

/// Seals tasks or results. Many threads may use it. Made by [`Keyring::sealing_key`](super::Keyring::sealing_key).
#[derive(Debug)]
pub struct SealingKey {
    keys: Keys,
    kind: Kind,
    /// The keyset that allows it to seal.
    keyset: Keyring,
    source: SealingSource,
}

/// The keys of a suite. Each that encrypts has a key that hedges its randomness.
#[derive(Debug)]
enum Keys {
    Sign(Signing),
    Authenticate(Authenticating),
    Encrypt(Box<EncryptionKey>, HedgeKey),
    SignEncrypt(Signing, Box<EncryptionKey>, HedgeKey),
    SignEncryptTo(Signing, AgreementPublicKey, HedgeKey),
}

/// The content of an envelope that is yet to be sealed. `Debug` omits the body.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Draft<'d> {
    /// The claims.
    pub claims: &'d Claims<'d>,
    /// The content type of the body.
    pub content_type: ContentType<'d>,
    /// The body in plaintext.
    pub body: &'d [u8],
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("content_type", &self.content_type)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why a draft was not sealed.
pub type SealFault = SealError<SignerFault>;

impl SealingKey {
    /// Seals `body` into a new envelope.
    ///
    /// # Errors
    /// [`SealError`]; nothing is sealed then.
    ///
    /// # Security
    /// A task id must be used for one task only.
    pub fn seal(
        &self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
    ) -> Result<Vec<u8>, SealFault> {
        self.seal_with_rng(&Draft { claims, content_type, body }, &mut SysRng)
    }

    fn seal_with_rng<R: TryCryptoRng>(&self, draft: &Draft<'_>, rng: &mut R) -> Result<Vec<u8>, SealFault> {
        match &self.keys {
            Keys::Sign(signer) => seal_alone(&mut self.of_kind(Sealer::sign(signer)), draft, &mut Plain(rng)),
            Keys::Authenticate(key) => {
                seal_alone(&mut self.of_kind(Sealer::authenticate(key)), draft, &mut Plain(rng))
            }
            Keys::Encrypt(key, hedge) => {
                let sealer = &mut self.of_kind(Sealer::encrypt(key));
                seal_alone(sealer, draft, &mut Hedged { key: hedge, rng }).map_err(without_signer)
            }
            Keys::SignEncrypt(signer, key, hedge) => {
                let sealer = &mut self.of_kind(Sealer::sign_encrypt(signer, key));
                seal_alone(sealer, draft, &mut Hedged { key: hedge, rng })
            }
            Keys::SignEncryptTo(signer, recipient, hedge) => {
                let sealer = &mut self.of_kind(Sealer::sign_encrypt_to(signer, recipient));
                seal_alone(sealer, draft, &mut Hedged { key: hedge, rng })
            }
        }
    }

    /// Seals all drafts with one signature for up to [`MAX_BATCH`] of them; returns the envelopes in the same order.
    ///
    /// A draft that cannot be sealed does not affect the others. A signer that fails affects every draft under that
    /// signature. A key that [does not sign](Self::signs), and a batch of one, seal as [`seal`](Self::seal) does.
    ///
    /// # Security
    /// As [`seal`](Self::seal).
    #[must_use]
    pub fn seal_batch(&self, drafts: &[Draft<'_>]) -> Vec<Result<Vec<u8>, SealFault>> {
        let mut envelopes = Vec::with_capacity(drafts.len());
        for drafts in drafts.chunks(MAX_BATCH) {
            envelopes.append(&mut self.seal_chunk(drafts, &mut SysRng));
        }
        envelopes
    }

    fn seal_chunk<R: TryCryptoRng>(
        &self,
        drafts: &[Draft<'_>],
        rng: &mut R,
    ) -> Vec<Result<Vec<u8>, SealFault>> {
        match &self.keys {
            Keys::Sign(signer) if drafts.len() > 1 => {
                seal_together(self.of_kind(Sealer::sign(signer)), drafts, &mut Plain(rng))
            }
            Keys::SignEncrypt(signer, key, hedge) if drafts.len() > 1 => {
                let sealer = self.of_kind(Sealer::sign_encrypt(signer, key));
                seal_together(sealer, drafts, &mut Hedged { key: hedge, rng })
            }
            Keys::SignEncryptTo(signer, recipient, hedge) if drafts.len() > 1 => {
                let sealer = self.of_kind(Sealer::sign_encrypt_to(signer, recipient));
                seal_together(sealer, drafts, &mut Hedged { key: hedge, rng })
            }
            _ => drafts.iter().map(|draft| self.seal_with_rng(draft, rng)).collect(),
        }
    }

    fn of_kind<M: Mode>(&self, sealer: Sealer<M>) -> Sealer<M> {
        sealer.kind(self.kind)
    }

    /// Returns the suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        match &self.keys {
            Keys::Sign(_) => Suite::S,
            Keys::Authenticate(_) => Suite::M,
            Keys::Encrypt(..) => Suite::E,
            Keys::SignEncrypt(..) => Suite::Se,
            Keys::SignEncryptTo(..) => Suite::Sp,
        }
    }

    /// Returns the kid of the key that authenticates.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        match &self.keys {
            Keys::Sign(signer) | Keys::SignEncrypt(signer, ..) | Keys::SignEncryptTo(signer, ..) => {
                signer.kid()
            }
            Keys::Authenticate(key) => key.kid(),
            Keys::Encrypt(key, _) => key.kid(),
        }
    }

    /// Returns what it seals: tasks or results.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Checks that the keyset still allows it to seal: a key ends while a process runs.
    ///
    /// # Errors
    /// [`KeyError`], of the kind [`NotAllowed`](super::KeyErrorKind::NotAllowed).
    pub fn check(&self) -> Result<(), KeyError> {
        self.keyset.check_sealing_key(&self.source, self.kid(), self.encryption_kid(), self.kind)
    }

    /// Returns the kid of the shared key that encrypts inside of signatures.
    fn encryption_kid(&self) -> Option<KeyId> {
        match &self.keys {
            Keys::SignEncrypt(_, key, _) => Some(key.kid()),
            _ => None,
        }
    }

    /// Returns whether it signs, so that one signature can cover many tasks.
    #[must_use]
    pub const fn signs(&self) -> bool {
        matches!(self.keys, Keys::Sign(_) | Keys::SignEncrypt(..) | Keys::SignEncryptTo(..))
    }

    /// Returns whether sealing may wait for a token or a service, and so belongs on a blocking thread.
    #[must_use]
    pub const fn may_block(&self) -> bool {
        match &self.keys {
            Keys::Sign(signer) | Keys::SignEncrypt(signer, ..) | Keys::SignEncryptTo(signer, ..) => {
                signer.may_block()
            }
            Keys::Authenticate(key) => key.may_block(),
            Keys::Encrypt(..) => false,
        }
    }
}

/// Seals one draft under its own signature or tag.
fn seal_alone<M: Mode>(
    sealer: &mut Sealer<M>,
    draft: &Draft<'_>,
    random: &mut impl Randomness,
) -> Result<Vec<u8>, SealError<M::Error>> {
    let Draft { claims, content_type, body } = *draft;
    if body.len() > MAX_BODY {
        return Err(SealError::BodyTooLong);
    }
    let mut envelope = vec![0; sealer.sealed_len(claims, content_type, body.len())];
    random.seal(sealer, draft, &mut envelope)?;
    Ok(envelope)
}

/// Converts the error of an operation that does not call a signer.
fn without_signer(error: SealError) -> SealFault {
    error.map_signer(|never| match never {})
}
