//! The key a producer seals tasks with, or a worker results: the suite is known at run time only.

use std::path::{Path, PathBuf};

use getrandom::SysRng;
use taskseal_core::keys::{AgreementPublicKey, EncryptionKey, MacKey, SigningKey};
use taskseal_core::seal::Mode;
use taskseal_core::{Claims, ContentType, KeyId, KeyLookup, Kind, SealError, Sealer, Suite};

use super::record::kind_word;
use super::secret_key::SecretKey;
use super::{Keyring, now};
use crate::file_error::FileError;

/// Where the keys to seal with are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealingSource {
    /// How to seal.
    pub suite: Suite,
    /// The secret key file that authenticates: ES256 for S, SE and SP, HS256 for M, A256GCM for E.
    pub key: PathBuf,
    /// The secret key file that encrypts: A256GCM, for SE only.
    pub encryption_key: Option<PathBuf>,
    /// Whom to encrypt to: an ECDH-ES key of the keyset, for SP only.
    pub recipient: Option<KeyId>,
}

impl SealingSource {
    /// Seals with `suite` and the secret key in `key`. Suites SE and SP need one more field.
    #[must_use]
    pub fn new(suite: Suite, key: impl Into<PathBuf>) -> Self {
        Self { suite, key: key.into(), encryption_key: None, recipient: None }
    }

    /// Encrypts with the shared key in this file: suite SE.
    #[must_use]
    pub fn encryption_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.encryption_key = Some(file.into());
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
    Sign(SigningKey),
    Authenticate(MacKey),
    Encrypt(EncryptionKey),
    SignEncrypt(SigningKey, EncryptionKey),
    SignEncryptTo(SigningKey, AgreementPublicKey),
}

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
    ) -> Result<Vec<u8>, SealError> {
        match &self.keys {
            Keys::Sign(signer) => self.run(Sealer::sign(signer), claims, content_type, body),
            Keys::Authenticate(key) => self.run(Sealer::authenticate(key), claims, content_type, body),
            Keys::Encrypt(key) => self.run(Sealer::encrypt(key), claims, content_type, body),
            Keys::SignEncrypt(signer, key) => {
                self.run(Sealer::sign_encrypt(signer, key), claims, content_type, body)
            }
            Keys::SignEncryptTo(signer, recipient) => {
                self.run(Sealer::sign_encrypt_to(signer, recipient), claims, content_type, body)
            }
        }
    }

    fn run<M: Mode<Error = std::convert::Infallible>>(
        &self,
        sealer: Sealer<M>,
        claims: &Claims<'_>,
        content_type: ContentType<'_>,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        if body.len() > taskseal_core::MAX_BODY {
            return Err(SealError::BodyTooLong);
        }
        let mut sealer = sealer.kind(self.kind);
        let mut envelope = vec![0; sealer.sealed_len(claims, content_type, body.len())];
        sealer.seal(claims, content_type, body, &mut SysRng, &mut envelope)?;
        Ok(envelope)
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
            Keys::Sign(key) | Keys::SignEncrypt(key, _) | Keys::SignEncryptTo(key, _) => {
                key.verifying_key().kid()
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
}

pub(super) fn open(keyring: &Keyring, source: &SealingSource, kind: Kind) -> Result<SealingKey, FileError> {
    let suite = source.suite;
    let now = now();
    let key = SecretKey::read(&source.key)?;
    let kid = key.kid();
    let keys = match (suite, key) {
        (Suite::S, SecretKey::Sign(key)) => Keys::Sign(key),
        (Suite::M, SecretKey::Mac(key)) => Keys::Authenticate(key),
        (Suite::E, SecretKey::Encrypt(key)) => Keys::Encrypt(key),
        (Suite::Se, SecretKey::Sign(key)) => Keys::SignEncrypt(key, shared_key(keyring, source)?),
        (Suite::Sp, SecretKey::Sign(key)) => {
            let Some(recipient) = source.recipient else {
                return Err(FileError::new(&source.key, "suite SP needs a recipient to encrypt to"));
            };
            Keys::SignEncryptTo(key, keyring.recipient(recipient, kind, now)?)
        }
        (_, key) => {
            let message = format!("an {} key cannot seal with suite {suite}", key.algorithm());
            return Err(FileError::new(&source.key, message).hint(format!("{} is needed", needed(suite))));
        }
    };
    let Some(record) = keyring.record(kid) else {
        return Err(unknown(keyring, &source.key, kid));
    };
    record.may_seal(kind, now).map_err(|reason| {
        FileError::new(&source.key, format!("the keyset says that key {kid} {reason}"))
            .hint(format!("seal with a key whose entry says `use = \"{}\"` and is active", kind_word(kind)))
    })?;
    Ok(SealingKey { keys, kind })
}

fn shared_key(keyring: &Keyring, source: &SealingSource) -> Result<EncryptionKey, FileError> {
    let Some(file) = &source.encryption_key else {
        return Err(FileError::new(&source.key, "suite SE needs a shared key to encrypt with"));
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
            .hint("shared keys are made with `taskseal keygen --suite E`")),
    }
}

fn unknown(keyring: &Keyring, file: &Path, kid: KeyId) -> FileError {
    let message = format!("key {kid} is not in {}", keyring.file().display());
    FileError::new(file, message).hint("add the [[key]] entry that `taskseal keygen` printed")
}

const fn needed(suite: Suite) -> &'static str {
    match suite {
        Suite::M => "an HS256 key (`taskseal keygen --suite M`)",
        Suite::E => "an A256GCM key (`taskseal keygen --suite E`)",
        _ => "an ES256 key (`taskseal keygen --suite S`)",
    }
}
