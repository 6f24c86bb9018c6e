//! The key a producer seals tasks with, or a worker results: the suite is known at run time only.

mod batch;

use std::path::Path;
use std::sync::Arc;

use getrandom::SysRng;
use taskseal_core::batch::MAX_BATCH;
use taskseal_core::keys::{AgreementPublicKey, EncryptionKey};
use taskseal_core::seal::Mode;
use taskseal_core::{Claims, ContentType, KeyId, KeyLookup, Kind, MAX_BODY, SealError, Sealer, Suite};

use self::batch::together;
use super::authenticator::{Authenticating, RemoteAuthenticator};
use super::location::KeyLocation;
use super::record::kind_word;
use super::secret_key::SecretKey;
use super::signer::{RemoteSigner, SignerFault, Signing};
use super::{Keyring, now};
use crate::file_error::FileError;

/// Where the keys to seal with are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealingSource {
    /// How to seal.
    pub suite: Suite,
    /// The key that authenticates: ES256 for S, SE and SP and HS256 for M, in a file or a token; A256GCM for E, in a file.
    pub key: KeyLocation,
    /// The key that encrypts: A256GCM, in a file, for SE only.
    pub encryption_key: Option<KeyLocation>,
    /// Whom to encrypt to: an ECDH-ES key of the keyset, for SP only.
    pub recipient: Option<KeyId>,
}

impl SealingSource {
    /// Seals with `suite` and the secret key at `key`. Suites SE and SP need one more field.
    #[must_use]
    pub fn new(suite: Suite, key: impl Into<KeyLocation>) -> Self {
        Self { suite, key: key.into(), encryption_key: None, recipient: None }
    }

    /// Encrypts with the shared key at this place: suite SE.
    #[must_use]
    pub fn encryption_key(mut self, key: impl Into<KeyLocation>) -> Self {
        self.encryption_key = Some(key.into());
        self
    }

    /// Encrypts to this key of the keyset: suite SP.
    #[must_use]
    pub const fn recipient(mut self, kid: KeyId) -> Self {
        self.recipient = Some(kid);
        self
    }
}

/// Seals tasks or results; may be used by many threads at once. Made by [`Keyring::sealing_key`].
#[derive(Debug)]
pub struct SealingKey {
    keys: Keys,
    kind: Kind,
}

#[derive(Debug)]
enum Keys {
    Sign(Signing),
    Authenticate(Authenticating),
    Encrypt(Box<EncryptionKey>),
    SignEncrypt(Signing, Box<EncryptionKey>),
    SignEncryptTo(Signing, AgreementPublicKey),
}

/// Something to seal: claims and body, not yet an envelope.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Draft<'d> {
    pub claims: &'d Claims<'d>,
    pub content_type: ContentType<'d>,
    pub body: &'d [u8],
}

/// Why something was not sealed.
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
        let draft = Draft { claims, content_type, body };
        match &self.keys {
            Keys::Sign(signer) => alone(&mut self.of_kind(Sealer::sign(signer)), &draft),
            Keys::Authenticate(key) => alone(&mut self.of_kind(Sealer::authenticate(key)), &draft),
            Keys::Encrypt(key) => alone(&mut self.of_kind(Sealer::encrypt(key)), &draft).map_err(no_signer),
            Keys::SignEncrypt(signer, key) => {
                alone(&mut self.of_kind(Sealer::sign_encrypt(signer, key)), &draft)
            }
            Keys::SignEncryptTo(signer, recipient) => {
                alone(&mut self.of_kind(Sealer::sign_encrypt_to(signer, recipient)), &draft)
            }
        }
    }

    /// Seals all drafts, at most [`MAX_BATCH`] of them under one signature, and answers in their order. A draft that
    /// cannot be sealed hurts no other; a signer that fails fails all that wait for that signature.
    ///
    /// A key that [signs nothing](Self::signs), and a batch of one, seal as [`seal`](Self::seal) does.
    ///
    /// # Security
    /// As [`seal`](Self::seal).
    #[must_use]
    pub fn seal_batch(&self, drafts: &[Draft<'_>]) -> Vec<Result<Vec<u8>, SealFault>> {
        drafts.chunks(MAX_BATCH).flat_map(|drafts| self.under_one_signature(drafts)).collect()
    }

    fn under_one_signature(&self, drafts: &[Draft<'_>]) -> Vec<Result<Vec<u8>, SealFault>> {
        match &self.keys {
            Keys::Sign(signer) if drafts.len() > 1 => together(self.of_kind(Sealer::sign(signer)), drafts),
            Keys::SignEncrypt(signer, key) if drafts.len() > 1 => {
                together(self.of_kind(Sealer::sign_encrypt(signer, key)), drafts)
            }
            Keys::SignEncryptTo(signer, recipient) if drafts.len() > 1 => {
                together(self.of_kind(Sealer::sign_encrypt_to(signer, recipient)), drafts)
            }
            _ => drafts.iter().map(|draft| self.seal(draft.claims, draft.content_type, draft.body)).collect(),
        }
    }

    fn of_kind<M: Mode>(&self, sealer: Sealer<M>) -> Sealer<M> {
        sealer.kind(self.kind)
    }

    /// How it seals.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        match &self.keys {
            Keys::Sign(_) => Suite::S,
            Keys::Authenticate(_) => Suite::M,
            Keys::Encrypt(_) => Suite::E,
            Keys::SignEncrypt(..) => Suite::Se,
            Keys::SignEncryptTo(..) => Suite::Sp,
        }
    }

    /// The kid that verifiers look up.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        match &self.keys {
            Keys::Sign(signer) | Keys::SignEncrypt(signer, _) | Keys::SignEncryptTo(signer, _) => {
                signer.kid()
            }
            Keys::Authenticate(key) => key.kid(),
            Keys::Encrypt(key) => key.kid(),
        }
    }

    /// What it seals.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it signs, so that one signature can cover many tasks.
    #[must_use]
    pub const fn signs(&self) -> bool {
        matches!(self.keys, Keys::Sign(_) | Keys::SignEncrypt(..) | Keys::SignEncryptTo(..))
    }

    /// Whether sealing may wait for a token or a service, and belongs on a thread that may block.
    #[must_use]
    pub const fn may_block(&self) -> bool {
        match &self.keys {
            Keys::Sign(signer) | Keys::SignEncrypt(signer, _) | Keys::SignEncryptTo(signer, _) => {
                signer.may_block()
            }
            Keys::Authenticate(key) => key.may_block(),
            Keys::Encrypt(_) => false,
        }
    }
}

fn alone<M: Mode>(sealer: &mut Sealer<M>, draft: &Draft<'_>) -> Result<Vec<u8>, SealError<M::Error>> {
    let Draft { claims, content_type, body } = *draft;
    if body.len() > MAX_BODY {
        return Err(SealError::BodyTooLong);
    }
    let mut envelope = vec![0; sealer.sealed_len(claims, content_type, body.len())];
    sealer.seal(claims, content_type, body, &mut SysRng, &mut envelope)?;
    Ok(envelope)
}

fn no_signer(error: SealError) -> SealFault {
    error.map_signer(|never| match never {})
}

pub(super) fn open(keyring: &Keyring, source: &SealingSource, kind: Kind) -> Result<SealingKey, FileError> {
    let suite = source.suite;
    let file = match &source.key {
        KeyLocation::Token(key) if suite == Suite::M => {
            return open_authenticated(keyring, key.authenticator()?, source, kind);
        }
        KeyLocation::Token(key) => return open_remote(keyring, key.signer()?, source, kind),
        KeyLocation::File(file) => file,
    };
    let key = SecretKey::read(file)?;
    let kid = key.kid();
    let keys = match (suite, key) {
        (Suite::S | Suite::Se | Suite::Sp, SecretKey::Sign(key)) => {
            signing(keyring, source, Signing::Software(key), kind)?
        }
        (Suite::M, SecretKey::Mac(key)) => Keys::Authenticate(Authenticating::Software(key)),
        (Suite::E, SecretKey::Encrypt(key)) => Keys::Encrypt(key),
        (_, key) => {
            let message = format!("an {} key cannot seal with suite {suite}", key.algorithm());
            return Err(source.key.fault(message).hint(format!("{} is needed", needed(suite))));
        }
    };
    check(keyring, source, kid, kind)?;
    Ok(SealingKey { keys, kind })
}

pub(super) fn open_remote(
    keyring: &Keyring,
    signer: Arc<dyn RemoteSigner>,
    source: &SealingSource,
    kind: Kind,
) -> Result<SealingKey, FileError> {
    let kid = signer.kid();
    let keys = signing(keyring, source, Signing::Remote(signer), kind)?;
    check(keyring, source, kid, kind)?;
    Ok(SealingKey { keys, kind })
}

pub(super) fn open_authenticated(
    keyring: &Keyring,
    authenticator: Arc<dyn RemoteAuthenticator>,
    source: &SealingSource,
    kind: Kind,
) -> Result<SealingKey, FileError> {
    if source.suite != Suite::M {
        let message = format!("an HMAC key cannot seal with suite {}", source.suite);
        return Err(source.key.fault(message).hint("an HMAC key seals with suite M"));
    }
    check(keyring, source, authenticator.kid(), kind)?;
    Ok(SealingKey { keys: Keys::Authenticate(Authenticating::Remote(authenticator)), kind })
}

/// The keys of a suite that signs.
fn signing(
    keyring: &Keyring,
    source: &SealingSource,
    signer: Signing,
    kind: Kind,
) -> Result<Keys, FileError> {
    match (source.suite, source.recipient) {
        (Suite::S, _) => Ok(Keys::Sign(signer)),
        (Suite::Se, _) => Ok(Keys::SignEncrypt(signer, shared_key(keyring, source)?)),
        (Suite::Sp, Some(recipient)) => {
            Ok(Keys::SignEncryptTo(signer, keyring.recipient(recipient, kind, now())?))
        }
        (Suite::Sp, None) => Err(source.key.fault("suite SP needs a recipient to encrypt to")),
        (suite, _) => Err(source
            .key
            .fault(format!("suite {suite} does not sign"))
            .hint("an ES256 key seals with S, SE or SP")),
    }
}

/// Whether the keyset has the key as one that may seal `kind` now.
fn check(keyring: &Keyring, source: &SealingSource, kid: KeyId, kind: Kind) -> Result<(), FileError> {
    let Some(record) = keyring.record(kid) else {
        return Err(unknown(keyring, &source.key, kid));
    };
    record.may_seal(kind, now()).map_err(|reason| {
        source
            .key
            .fault(format!("the keyset says that key {kid} {reason}"))
            .hint(format!("seal with a key whose entry says `use = \"{}\"` and is active", kind_word(kind)))
    })
}

fn shared_key(keyring: &Keyring, source: &SealingSource) -> Result<Box<EncryptionKey>, FileError> {
    let Some(key) = &source.encryption_key else {
        return Err(source.key.fault("suite SE needs a shared key to encrypt with"));
    };
    let file: &Path = match key {
        KeyLocation::File(file) => file,
        KeyLocation::Token(_) => {
            return Err(key.fault("a token does not hand out shared keys").hint(
                "shared keys are kept in files; to keep them wrapped by a token, see `taskseal keygen --wrap`",
            ));
        }
    };
    match SecretKey::read(file)? {
        SecretKey::Encrypt(key) if keyring.is_withdrawn(key.kid()) => {
            Err(FileError::new(file, format!("the keyset has withdrawn key {}", key.kid()))
                .hint("encrypt with a key that is active"))
        }
        SecretKey::Encrypt(key) if keyring.find(key.kid()).is_some() => {
            let message =
                format!("the keyset has key {} as one of suite E: it may not encrypt for SE", key.kid());
            Err(FileError::new(file, message)
                .hint("one key, one purpose: make another, and leave rights out of its [[key]] entry"))
        }
        SecretKey::Encrypt(key) => Ok(key),
        other => Err(FileError::new(file, format!("an {} key cannot encrypt", other.algorithm()))
            .hint("shared keys are made with `taskseal keygen --suite SE`")),
    }
}

fn unknown(keyring: &Keyring, key: &KeyLocation, kid: KeyId) -> FileError {
    let message = format!("key {kid} is not in {}", keyring.file().display());
    key.fault(message).hint("add the [[key]] entry that `taskseal keygen` printed")
}

const fn needed(suite: Suite) -> &'static str {
    match suite {
        Suite::M => "an HS256 key (`taskseal keygen --suite M`)",
        Suite::E => "an A256GCM key (`taskseal keygen --suite E`)",
        _ => "an ES256 key (`taskseal keygen --suite S`)",
    }
}
