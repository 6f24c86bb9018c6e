//! Keys in files: PEM armour, with comments above it.

use std::path::Path;

use pem_rfc7468::LineEnding;
use taskseal_core::keys::CoseKey;
use taskseal_core::{KeyId, Secret};
#[cfg(feature = "pkcs11")]
use taskseal_hsm::KeyUri;
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
#[cfg(feature = "pkcs11")]
use super::armoured_key::WRAPPED_LABEL;
use super::armoured_key::{self, LABEL, MAX_CONTENT, of_cose_key};
use super::error::KeyError;
use super::folder;
use super::handle::{KeyHandle, KeyUsage};
use super::reference::{FILE, InvalidKeyRef, KeyRef, relative_to};
use super::secret_key::SecretKey;
use super::secret_source::FetchedSecret;
use super::store::KeyStore;
#[cfg(feature = "pkcs11")]
use super::wrapped_file;
use crate::file_security;
use crate::stack::with_wiped_stack;

#[cfg(test)]
mod tests;

/// The store of keys in files: `file:PATH`, or a path alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileStore;

impl KeyStore for FileStore {
    fn scheme(&self) -> &'static str {
        FILE
    }

    /// Accepts `file:PATH` and `file:///PATH` (RFC 8089). The path is not percent-decoded.
    fn parse(&self, uri: &str, file: &Path) -> Result<KeyRef, InvalidKeyRef> {
        let path = uri.split_once(':').map_or(uri, |(_, path)| path);
        let path = match path.strip_prefix("//") {
            None => path,
            Some(local) if local.starts_with('/') => local,
            Some(_) => {
                let message = "the file: URI names another host";
                return Err(InvalidKeyRef::new(message, "write file:PATH or file:///PATH"));
            }
        };
        if path.is_empty() {
            return Err(InvalidKeyRef::new("the file: URI has no path", "write file:PATH"));
        }
        Ok(relative_to(file, path).into())
    }

    fn list(&self, key: &KeyRef, _: KeyUsage) -> Result<Vec<KeyRef>, KeyError> {
        folder::expand(key)
    }

    /// Opens whichever key the file contains: the caller checks the algorithm.
    fn open(&self, key: &KeyRef, _: KeyUsage) -> Result<KeyHandle, KeyError> {
        read(key).map(KeyHandle::Secret)
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        content(secret).map(FetchedSecret::new)
    }
}

impl SecretKey {
    /// Writes a private key of another program to a new file with mode 0600. A comment in the file contains `purpose`.
    ///
    /// # Errors
    /// [`KeyError`] if the scalar or the algorithm is not that of a key pair on P-256, or the file exists or cannot be written.
    pub fn import(
        path: &Path,
        algorithm: Algorithm,
        purpose: &str,
        scalar: &Secret<32>,
    ) -> Result<Self, KeyError> {
        let place = &path.into();
        with_wiped_stack(|| {
            // The kid of a key pair is that of its public key.
            let cose_key = CoseKey::new(algorithm.cose(), KeyId::from_bytes([0; KeyId::LEN]), scalar)
                .map_err(|error| KeyError::invalid(place, format!("cannot import the key: {error}")))?;
            store(place, cose_key, purpose)
        })
    }

    /// Reads a secret key file, in plain or wrapped. `cred:NAME` is the file of a systemd credential.
    ///
    /// A wrapped file requires the token that wrapped it. The library and the source of the PIN come from the environment
    /// (`TASKSEAL_PKCS11_MODULE`, `TASKSEAL_PKCS11_PIN_SOURCE`), never from the file.
    ///
    /// # Errors
    /// [`KeyError`] if the file cannot be read, is accessible to others than its owner, or is not a secret key, or if the
    /// token cannot be used.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        read(&path.into())
    }

    /// Generates a key and writes it to a new file with mode 0600. A comment in the file contains `purpose`.
    ///
    /// # Errors
    /// [`KeyError`] if there is no randomness, or the file exists or cannot be written.
    pub fn create(path: &Path, algorithm: Algorithm, purpose: &str) -> Result<Self, KeyError> {
        let place = &path.into();
        with_wiped_stack(|| store(place, generate(place, algorithm)?, purpose))
    }

    /// Generates a key and writes it to a new file that cannot be read without the token: the file is encrypted, and the
    /// wrapping key `kek` wraps the file's key.
    ///
    /// [`WrappingKey::generate`](taskseal_hsm::WrappingKey::generate) makes wrapping keys. The file names the wrapping key,
    /// but neither the library nor the source of the PIN.
    ///
    /// # Errors
    /// [`KeyError`] as for [`create`](Self::create), or if the token or the wrapping key cannot be used.
    #[cfg(feature = "pkcs11")]
    pub fn create_wrapped(
        path: &Path,
        algorithm: Algorithm,
        purpose: &str,
        kek: &KeyUri,
    ) -> Result<Self, KeyError> {
        let place = &path.into();
        with_wiped_stack(|| {
            let cose_key = generate(place, algorithm)?;
            let key = of_cose_key(place, &cose_key)?;
            let cose_key = cose_key.encode();
            let wrapped_file::Wrapped { content, kek } = wrapped_file::wrap(place, kek, cose_key.as_bytes())?;
            let comment = format!("{}# wrapped by: {kek}\n", comment(&key, purpose));
            write(place, &armour(WRAPPED_LABEL, &content, &comment))?;
            Ok(key)
        })
    }
}

/// Reads a secret key file, in plain or wrapped.
pub(super) fn read(place: &KeyRef) -> Result<SecretKey, KeyError> {
    armoured_key::parse(place, &content(place)?)
}

/// Reads the COSE_Key of a secret key file, in plain or wrapped.
pub(super) fn read_cose_key(place: &KeyRef) -> Result<CoseKey, KeyError> {
    armoured_key::cose_key(place, &content(place)?)
}

/// Reads a file of secrets.
pub(super) fn content(place: &KeyRef) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    file_security::read(Path::new(place.address())).map_err(|error| KeyError::of_file(place, &error))
}

fn write(place: &KeyRef, content: &[u8]) -> Result<(), KeyError> {
    let created = file_security::create(Path::new(place.address()), content);
    created.map_err(|error| KeyError::of_file(place, &error))
}

fn generate(place: &KeyRef, algorithm: Algorithm) -> Result<CoseKey, KeyError> {
    SecretKey::random(algorithm).map_err(|error| KeyError::no_randomness(place, error))
}

/// Writes a key to a new file.
fn store(place: &KeyRef, cose_key: CoseKey, purpose: &str) -> Result<SecretKey, KeyError> {
    let key = of_cose_key(place, &cose_key)?;
    write(place, &armour(LABEL, cose_key.encode().as_bytes(), &comment(&key, purpose)))?;
    Ok(key)
}

/// Returns the comment above the armour.
fn comment(key: &SecretKey, purpose: &str) -> String {
    let algorithm = key.algorithm();
    let verb = algorithm.verb();
    // A line break in the purpose would end the comment.
    let purpose: String = purpose.chars().filter(|character| !character.is_control()).collect();
    let mut comment = format!("# {algorithm} secret key: {verb}; {purpose}\n# kid: {}\n", key.kid());
    if let Some(public) = key.public() {
        comment.push_str(&format!("# public key: {public}\n"));
    }
    comment
}

pub(super) fn armour(label: &str, content: &[u8], comment: &str) -> Zeroizing<Vec<u8>> {
    let mut armour = Zeroizing::new([0; 2 * MAX_CONTENT]);
    let armour = pem_rfc7468::encode(label, LineEnding::LF, content, armour.as_mut_slice())
        .expect("the armour of the longest content is less than twice as long");
    let mut content = Zeroizing::new(Vec::with_capacity(comment.len() + armour.len()));
    content.extend_from_slice(comment.as_bytes());
    content.extend_from_slice(armour.as_bytes());
    content
}
