//! Sealing keys: the keys that seal tasks or results, in a suite chosen by the configuration.

mod batch;
mod choice;
mod open;
mod randomness;
mod recipients;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use getrandom::SysRng;
use getrandom::rand_core::TryCryptoRng;
use taskseal_core::batch::MAX_BATCH;
use taskseal_core::keys::EncryptionKey;
use taskseal_core::seal::{HedgeKey, Mode};
use taskseal_core::{
    Claims, ContentType, Issuer, KeyId, Kind, MAX_BODY, MAX_HEADER, NameSet, SealError, Sealer, Suite,
};

pub use self::source::SealingSource;

use self::batch::seal_together;
use self::randomness::{Hedged, Plain, Randomness};
use self::recipients::Recipients;
use super::authenticator::Authenticating;
use super::error::KeyError;
use super::keyring::Keyring;
use super::recipients::NoRecipient;
use super::record::Record;
use super::signer::{SignerFault, Signing};

/// Seals tasks or results. Many threads may use it. Made by [`Keyring::sealing_key`](super::Keyring::sealing_key).
#[derive(Debug)]
pub struct SealingKey {
    keys: Arc<Keys>,
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
    SignEncryptTo(Signing, Recipients, HedgeKey),
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
    /// Issuer of the task, or of the request of a result. The keyset chooses the recipient for it.
    pub issuer: Issuer<'d>,
}

impl<'d> Draft<'d> {
    /// Creates the draft of a task.
    #[must_use]
    pub const fn new(claims: &'d Claims<'d>, content_type: ContentType<'d>, body: &'d [u8]) -> Self {
        Self { claims, content_type, body, issuer: claims.issuer }
    }

    /// Sets the issuer of the request: the draft is that of a result.
    #[must_use]
    pub const fn answering(self, issuer: Issuer<'d>) -> Self {
        Self { issuer, ..self }
    }
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("content_type", &self.content_type)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why sealing failed.
pub type SealFault = SealError<SignerFault>;

/// Why a draft was not sealed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSealed {
    /// The keyset has no key to encrypt the body to.
    #[error(transparent)]
    Recipient(#[from] NoRecipient),
    /// Sealing failed.
    #[error(transparent)]
    Sealing(#[from] SealFault),
}

/// Maximum size of a detached envelope: header, signature and their frame, in bytes.
const MAX_DETACHED: usize = MAX_HEADER + 128;

impl SealingKey {
    /// Seals `body` into a new envelope. A result is encrypted as if the issuer of `claims` had made the request:
    /// [`seal_draft`](Self::seal_draft) is for another issuer.
    ///
    /// # Errors
    /// [`NotSealed`]; nothing is sealed then.
    ///
    /// # Security
    /// A task id must be used for one task only.
    pub fn seal(
        &self,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
    ) -> Result<Vec<u8>, NotSealed> {
        self.seal_draft(&Draft::new(claims, content_type, body))
    }

    /// Seals a draft into a new envelope.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    ///
    /// # Security
    /// As [`seal`](Self::seal).
    pub fn seal_draft(&self, draft: &Draft<'_>) -> Result<Vec<u8>, NotSealed> {
        self.seal_with_rng(draft, &mut SysRng)
    }

    /// Returns whether the keyset chooses the recipient of each body.
    pub(crate) fn chooses_recipients(&self) -> bool {
        matches!(*self.keys, Keys::SignEncryptTo(_, Recipients::OfKeyset, _))
    }

    /// Returns whether there is a key to encrypt bodies of some of these types and an audience to now, for some issuer.
    pub(crate) fn has_recipient_for(&self, types: NameSet<'_>, audience: &str) -> bool {
        match &*self.keys {
            Keys::SignEncryptTo(_, Recipients::OfKeyset, _) => {
                self.keyset.has_recipient_for(self.kind, types, audience)
            }
            _ => true,
        }
    }

    /// Checks that there is a key to encrypt a draft to now; the body may be absent.
    ///
    /// # Errors
    /// [`NoRecipient`].
    pub fn check_recipient(&self, draft: &Draft<'_>) -> Result<(), NoRecipient> {
        match &*self.keys {
            Keys::SignEncryptTo(_, recipients, _) => {
                recipients.find(&self.keyset, self.kind, draft).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn seal_with_rng<R: TryCryptoRng>(&self, draft: &Draft<'_>, rng: &mut R) -> Result<Vec<u8>, NotSealed> {
        let sealed = match &*self.keys {
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
            Keys::SignEncryptTo(signer, recipients, hedge) => {
                let recipient = recipients.find(&self.keyset, self.kind, draft)?;
                let sealer = &mut self.of_kind(Sealer::sign_encrypt_to(signer, &recipient));
                seal_alone(sealer, draft, &mut Hedged { key: hedge, rng })
            }
        };
        sealed.map_err(NotSealed::from)
    }

    /// Seals a body that need not be secret, in the suite of this key without its encryption: a signature alone, a tag alone, or suite E.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub(crate) fn seal_readable(&self, draft: &Draft<'_>) -> Result<Vec<u8>, NotSealed> {
        match &*self.keys {
            Keys::SignEncrypt(signer, ..) | Keys::SignEncryptTo(signer, ..) => {
                let sealer = &mut self.of_kind(Sealer::sign(signer));
                seal_alone(sealer, draft, &mut Plain(&mut SysRng)).map_err(NotSealed::from)
            }
            _ => self.seal_with_rng(draft, &mut SysRng),
        }
    }

    /// Signs a draft into a detached envelope, which does not contain the body. Nothing is encrypted. Returns `None` if this key
    /// [does not sign](Self::signs).
    ///
    /// # Errors
    /// [`SealFault`].
    ///
    /// # Security
    /// As [`seal`](Self::seal). The body is transported in clear.
    #[must_use]
    pub fn seal_detached(&self, draft: &Draft<'_>) -> Option<Result<Vec<u8>, SealFault>> {
        let Draft { claims, content_type, body, .. } = *draft;
        let signer = match &*self.keys {
            Keys::Sign(signer) | Keys::SignEncrypt(signer, ..) | Keys::SignEncryptTo(signer, ..) => signer,
            Keys::Authenticate(_) | Keys::Encrypt(..) => return None,
        };
        let mut sealer = self.of_kind(Sealer::sign(signer));
        let mut envelope = vec![0; sealer.detached_len(claims, content_type).min(MAX_DETACHED)];
        let sealed = sealer.seal_detached(claims, content_type, body, &mut envelope).map(drop);
        Some(sealed.map(|()| envelope))
    }

    /// Seals all drafts with one signature for up to [`MAX_BATCH`] of them that are encrypted to one key; returns the envelopes in
    /// the same order.
    ///
    /// A draft that cannot be sealed does not affect the others. A signer that fails affects every draft under that
    /// signature. A key that [does not sign](Self::signs), and a batch of one, seal as [`seal`](Self::seal) does.
    ///
    /// # Security
    /// As [`seal`](Self::seal).
    #[must_use]
    pub fn seal_batch(&self, drafts: &[Draft<'_>]) -> Vec<Result<Vec<u8>, NotSealed>> {
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
    ) -> Vec<Result<Vec<u8>, NotSealed>> {
        let sealed = match &*self.keys {
            Keys::Sign(signer) if drafts.len() > 1 => {
                seal_together(self.of_kind(Sealer::sign(signer)), drafts, &mut Plain(rng))
            }
            Keys::SignEncrypt(signer, key, hedge) if drafts.len() > 1 => {
                let sealer = self.of_kind(Sealer::sign_encrypt(signer, key));
                seal_together(sealer, drafts, &mut Hedged { key: hedge, rng })
            }
            Keys::SignEncryptTo(signer, recipients, hedge) if drafts.len() > 1 => {
                return recipients.seal_each(&self.keyset, self.kind, drafts, |recipient, drafts| {
                    let sealer = self.of_kind(Sealer::sign_encrypt_to(signer, recipient));
                    seal_together(sealer, drafts, &mut Hedged { key: hedge, rng })
                });
            }
            _ => return drafts.iter().map(|draft| self.seal_with_rng(draft, rng)).collect(),
        };
        sealed.into_iter().map(|sealed| sealed.map_err(NotSealed::from)).collect()
    }

    fn of_kind<M: Mode>(&self, sealer: Sealer<M>) -> Sealer<M> {
        sealer.kind(self.kind)
    }

    /// Returns the suite.
    #[must_use]
    pub fn suite(&self) -> Suite {
        match &*self.keys {
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
        match &*self.keys {
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

    /// Returns the same key under another keyset, which may not allow it: [`check`](Self::check) tells.
    pub(crate) fn under(&self, keyring: &Keyring) -> Self {
        Self {
            keys: Arc::clone(&self.keys),
            kind: self.kind,
            keyset: keyring.without_decryption_keys(),
            source: self.source.clone(),
        }
    }

    /// Returns the Unix time in seconds from which the keyset does not allow it to seal, `u64::MAX` if there is none.
    pub(crate) fn end(&self) -> u64 {
        self.keyset.record(self.kid()).map_or(u64::MAX, Record::sealing_end)
    }

    /// Checks that the keyset still allows it to seal: a key ends while a process runs.
    ///
    /// # Errors
    /// [`KeyError`], of the kind [`NotAllowed`](super::KeyErrorKind::NotAllowed).
    pub fn check(&self) -> Result<(), KeyError> {
        self.keyset.check_sealing_key(&self.source, self.kid(), self.encryption_kid(), self.kind)
    }

    /// Checks that the keyset allows it to seal these claims now: its state, its times and its rights.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn check_claims(&self, claims: &Claims<'_>) -> Result<(), KeyError> {
        self.check()?;
        self.keyset.check_rights(&self.source, self.kid(), claims)
    }

    /// Returns the kid of the shared key that encrypts inside of signatures.
    fn encryption_kid(&self) -> Option<KeyId> {
        match &*self.keys {
            Keys::SignEncrypt(_, key, _) => Some(key.kid()),
            _ => None,
        }
    }

    /// Returns whether it signs, so that one signature can cover many tasks.
    #[must_use]
    pub fn signs(&self) -> bool {
        matches!(*self.keys, Keys::Sign(_) | Keys::SignEncrypt(..) | Keys::SignEncryptTo(..))
    }

    /// Returns whether sealing may wait for a token or a service, and so belongs on a blocking thread.
    #[must_use]
    pub fn may_block(&self) -> bool {
        match &*self.keys {
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
    let Draft { claims, content_type, body, .. } = *draft;
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
