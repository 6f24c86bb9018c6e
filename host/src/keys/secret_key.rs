//! A secret key and the file it is kept in: PEM armour (RFC 7468) around a COSE_Key, in plain or wrapped, comments above.

use std::fmt;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use getrandom::SysRng;
use getrandom::rand_core::TryRng;
use pem_rfc7468::LineEnding;
use serde::Deserialize;
use taskseal_core::keys::{
    AgreementKey, CoseKey, EncodedCoseKey, EncryptionKey, KeyAlgorithm, MacKey, POINT_LEN, SigningKey,
};
use taskseal_core::{InvalidKey, KeyId, Secret};
use taskseal_hsm::KeyUri;
use zeroize::Zeroizing;

use super::wrapped_file::{self, Wrapped};
use crate::file_error::FileError;
use crate::file_security;
use crate::stack::leaving_nothing;

/// What a key does: one algorithm, one act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: signs.
    #[serde(rename = "ES256")]
    Es256,
    /// HMAC with SHA-256: authenticates.
    #[serde(rename = "HS256")]
    Hs256,
    /// AES-256-GCM: encrypts and authenticates.
    #[serde(rename = "A256GCM")]
    A256Gcm,
    /// ECDH on P-256: what bodies are encrypted to.
    #[serde(rename = "ECDH-ES")]
    EcdhEs,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Es256, Self::Hs256, Self::A256Gcm, Self::EcdhEs];

    /// The name in keyset files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
            Self::A256Gcm => "A256GCM",
            Self::EcdhEs => "ECDH-ES",
        }
    }

    /// Whether the same secret seals and opens.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::A256Gcm)
    }

    const fn cose(self) -> KeyAlgorithm {
        match self {
            Self::Es256 => KeyAlgorithm::Es256,
            Self::Hs256 => KeyAlgorithm::Hmac256,
            Self::A256Gcm => KeyAlgorithm::A256Gcm,
            Self::EcdhEs => KeyAlgorithm::EcdhEs,
        }
    }

    const fn act(self) -> &'static str {
        match self {
            Self::Es256 => "signs",
            Self::Hs256 => "authenticates",
            Self::A256Gcm => "encrypts and decrypts",
            Self::EcdhEs => "decrypts",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One secret key, held in memory that is wiped.
///
/// # Security
/// Use the key by reference. Moved out of its box, it leaves a copy in freed memory.
#[derive(Debug)]
pub enum SecretKey {
    /// Signs with ES256.
    Sign(Box<SigningKey>),
    /// Decrypts what is encrypted to its public half.
    Agree(Box<AgreementKey>),
    /// Authenticates with HMAC.
    Mac(Box<MacKey>),
    /// Encrypts and decrypts with AES-256-GCM.
    Encrypt(Box<EncryptionKey>),
}

impl SecretKey {
    /// Reads a secret key file, in plain or wrapped. One that is wrapped needs the token that wrapped it; through which
    /// library and with which PIN is what the environment says ([`MODULE_VARIABLE`](crate::tokens::MODULE_VARIABLE),
    /// [`PIN_SOURCE_VARIABLE`](crate::tokens::PIN_SOURCE_VARIABLE)), never what the file says.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read, is open to others than its owner, or is no secret key, or if the token cannot be
    /// used.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        leaving_nothing(|| Self::read_file(path))
    }

    fn read_file(path: &Path) -> Result<Self, FileError> {
        let pem = file_security::read(path)?;
        let fault = |message: &str| {
            FileError::new(path, message).hint("secret key files are made by `taskseal keygen`")
        };
        let mut buffer = Zeroizing::new([0; wrapped_file::MAX_LEN]);
        let (label, bytes) = pem_rfc7468::decode(&pem, buffer.as_mut_slice())
            .map_err(|_| fault("not a secret key in PEM armour"))?;
        let decoded = match label {
            LABEL => CoseKey::decode(bytes),
            wrapped_file::LABEL => CoseKey::decode(&wrapped_file::unwrap(path, bytes)?),
            other => {
                let message = format!("not a taskseal secret key but a `{}`", other.escape_default());
                return Err(fault(&message));
            }
        };
        let damaged =
            |reason: &dyn fmt::Display| fault(&format!("the secret key in it is damaged: {reason}"));
        let cose_key = decoded.map_err(|error| damaged(&error))?;
        Self::from_cose_key(&cose_key).map_err(|error| damaged(&error))
    }

    fn from_cose_key(key: &CoseKey) -> Result<Self, InvalidKey> {
        let secret = || Secret::copy_from(key.secret().as_bytes());
        Ok(match key.algorithm() {
            KeyAlgorithm::Es256 => Self::Sign(Box::new(SigningKey::from_scalar(key.secret())?)),
            KeyAlgorithm::EcdhEs => Self::Agree(Box::new(AgreementKey::from_scalar(key.secret())?)),
            KeyAlgorithm::Hmac256 => Self::Mac(Box::new(MacKey::new(key.kid(), secret()))),
            KeyAlgorithm::A256Gcm => Self::Encrypt(Box::new(EncryptionKey::new(key.kid(), secret()))),
            _ => return Err(InvalidKey),
        })
    }

    /// Makes a fresh key from the randomness of the operating system and writes it to a new file with mode 0600;
    /// `purpose` is written above it, for people.
    ///
    /// # Errors
    /// [`FileError`] if there is no randomness, the file exists or cannot be written.
    pub fn create(path: &Path, algorithm: Algorithm, purpose: &str) -> Result<Self, FileError> {
        leaving_nothing(|| {
            let (key, cose_key) = Self::generate(path, algorithm)?;
            file_security::create(path, &Self::armour(LABEL, cose_key.as_bytes(), &key.comment(purpose)))?;
            Ok(key)
        })
    }

    /// As [`create`](Self::create), but the file is of no use without the token: it is encrypted, and what decrypts it is
    /// wrapped by the key that `kek` names, one made by [`WrappingKey::generate`](taskseal_hsm::WrappingKey::generate).
    /// The file names that key, and says nothing of library and PIN.
    ///
    /// # Errors
    /// As [`create`](Self::create); also if the token or the wrapping key cannot be used.
    pub fn create_wrapped(
        path: &Path,
        algorithm: Algorithm,
        purpose: &str,
        kek: &KeyUri,
    ) -> Result<Self, FileError> {
        leaving_nothing(|| {
            let (key, cose_key) = Self::generate(path, algorithm)?;
            let Wrapped { content, kek } = wrapped_file::wrap(path, kek, cose_key.as_bytes())?;
            let comment = format!("{}# wrapped by: {kek}\n", key.comment(purpose));
            file_security::create(path, &Self::armour(wrapped_file::LABEL, &content, &comment))?;
            Ok(key)
        })
    }

    /// Creates a key for the file at `path`; returns it with its COSE_Key.
    fn generate(path: &Path, algorithm: Algorithm) -> Result<(Self, EncodedCoseKey), FileError> {
        let key = Self::random(algorithm)
            .map_err(|error| FileError::new(path, format!("no randomness from the system: {error}")))?;
        let secret_key = Self::from_cose_key(&key)
            .map_err(|error| FileError::new(path, format!("cannot generate an {algorithm} key: {error}")))?;
        Ok((secret_key, key.encode()))
    }

    fn random(algorithm: Algorithm) -> Result<CoseKey, getrandom::Error> {
        let mut kid = [0; KeyId::LEN];
        SysRng.try_fill_bytes(&mut kid)?;
        loop {
            let mut secret = Secret::zeroed();
            SysRng.try_fill_bytes(secret.as_mut_bytes())?;
            // Fails once in 2^32: a scalar not below the order of the curve.
            if let Ok(key) = CoseKey::new(algorithm.cose(), KeyId::from_bytes(kid), &secret) {
                return Ok(key);
            }
        }
    }

    /// What stands above the armour.
    fn comment(&self, purpose: &str) -> String {
        let algorithm = self.algorithm();
        let act = algorithm.act();
        // A line break in a purpose would end the comment.
        let purpose: String = purpose.chars().filter(|character| !character.is_control()).collect();
        let mut comment = format!("# {algorithm} secret key: {act}; {purpose}\n# kid: {}\n", self.kid());
        if let Some(public) = self.public() {
            comment.push_str(&format!("# public key: {public}\n"));
        }
        comment
    }

    fn armour(label: &str, content: &[u8], comment: &str) -> Zeroizing<Vec<u8>> {
        let mut armour = Zeroizing::new([0; 2 * wrapped_file::MAX_LEN]);
        let armour = pem_rfc7468::encode(label, LineEnding::LF, content, armour.as_mut_slice())
            .expect("twice the longest content holds its armour");
        let mut content = Zeroizing::new(Vec::with_capacity(comment.len() + armour.len()));
        content.extend_from_slice(comment.as_bytes());
        content.extend_from_slice(armour.as_bytes());
        content
    }

    /// What it does.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sign(_) => Algorithm::Es256,
            Self::Agree(_) => Algorithm::EcdhEs,
            Self::Mac(_) => Algorithm::Hs256,
            Self::Encrypt(_) => Algorithm::A256Gcm,
        }
    }

    /// The kid.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        match self {
            Self::Sign(key) => key.verifying_key().kid(),
            Self::Agree(key) => key.public_key().kid(),
            Self::Mac(key) => key.kid(),
            Self::Encrypt(key) => key.kid(),
        }
    }

    /// The public half as an uncompressed point, if it has one.
    #[must_use]
    pub fn point(&self) -> Option<[u8; POINT_LEN]> {
        match self {
            Self::Sign(key) => Some(key.verifying_key().to_point()),
            Self::Agree(key) => Some(key.public_key().to_point()),
            Self::Mac(_) | Self::Encrypt(_) => None,
        }
    }

    /// The public half as keyset files write it: base64url of the uncompressed point.
    #[must_use]
    pub fn public(&self) -> Option<String> {
        self.point().map(|point| public_text(&point))
    }
}

/// A public key as keyset files write it: base64url of the uncompressed point.
#[must_use]
pub fn public_text(point: &[u8; POINT_LEN]) -> String {
    Base64UrlUnpadded::encode_string(point)
}

/// The label of the armour.
const LABEL: &str = "TASKSEAL SECRET KEY";
