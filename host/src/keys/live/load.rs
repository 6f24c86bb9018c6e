//! Loading keys again: a keyset that can be read takes effect, also while a secret key cannot be opened.

use crate::file_error::FileError;
use crate::keys::error::{KeyErrorKind, KeyringError};
use crate::keys::keyring::Keyring;

/// Keys that were loaded again.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) keys: T,
    /// Why one of them is still the former one, or may not be used.
    pub(crate) fault: Option<KeyringError>,
    /// Whether the keyset of `keys` was loaded. It is the former one otherwise.
    pub(crate) keyset_loaded: bool,
}

/// Opens a keyset with its decryption keys through `open`. If one of these or a shared key cannot be opened, those of `previous`
/// are used, under the keyset alone that `open_keyset` reads: a key that is revoked must not stay in use because another one is
/// unavailable.
pub(crate) fn reload_keyring(
    open: impl FnOnce() -> Result<Keyring, KeyringError>,
    open_keyset: impl FnOnce() -> Result<Keyring, KeyringError>,
    previous: &Keyring,
) -> Result<Loaded<Keyring>, KeyringError> {
    let mut loaded = match open() {
        Ok(keys) => Loaded { keys, fault: None, keyset_loaded: true },
        // A file that names another key than its entry is an error of the keyset file.
        Err(fault @ (KeyringError::Key(_) | KeyringError::File(_))) => {
            let keys = open_keyset()?.with_secrets_of(previous);
            Loaded { keys, fault: Some(fault), keyset_loaded: true }
        }
        Err(error) => return Err(error),
    };
    if loaded.keys.known_kids().next().is_none() {
        return Err(FileError::new(loaded.keys.file(), "the keyset has no keys")
            .hint(
                "restore its [[key]] entries; a deployment without keys is stopped by stopping its processes",
            )
            .into());
    }
    // The copy of this host verifies whatever a file or a carrier contains.
    let source_fault = loaded.keys.head().and_then(|head| head.source_fault.clone());
    loaded.fault = loaded.fault.or(source_fault);
    Ok(loaded)
}

impl KeyringError {
    /// Returns whether the keyset does not allow the use of a key.
    pub(crate) fn is_not_allowed(&self) -> bool {
        matches!(self, Self::Key(error) if error.kind == KeyErrorKind::NotAllowed)
    }
}
