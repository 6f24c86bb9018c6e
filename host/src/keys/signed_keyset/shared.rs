//! The secrets of the shared keys that a signed keyset names.

use taskseal_core::keyset::signed::EntryKey;

use crate::keys::algorithm::Algorithm;
use crate::keys::error::KeyError;
use crate::keys::folder::expand;
use crate::keys::handle::{KeyHandle, KeyUsage};
use crate::keys::reference::KeyRef;
use crate::keys::registry::KeyStores;
use crate::keys::secret_key::SecretKey;

/// Shared keys of this host, each with its place.
pub(super) type Secrets = Vec<(KeyRef, SecretKey)>;

/// What happens if the secret of a shared key cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharedKeys {
    /// The keyset is not loaded: a process does not start with fewer keys than it was given.
    Required,
    /// The key is only named. A process that runs must learn of revoked keys all the same.
    Available,
}

impl SharedKeys {
    /// Returns nothing in place of the error of a key that is not required.
    pub(in crate::keys) fn or_none<T, E>(self, key: Result<Option<T>, E>) -> Result<Option<T>, E> {
        match key {
            Err(_) if self == Self::Available => Ok(None),
            key => key,
        }
    }
}

/// Opens shared keys, and each key file of a folder.
pub(super) fn open(places: &[KeyRef], stores: &KeyStores, required: SharedKeys) -> Result<Secrets, KeyError> {
    let mut secrets = Secrets::new();
    for place in places {
        for place in required.or_none(expand(place).map(Some))?.into_iter().flatten() {
            let Some(key) = required.or_none(open_one(&place, stores).map(Some))? else { continue };
            if let Some((other, _)) = secrets.iter().find(|(_, other)| other.kid() == key.kid()) {
                if required == SharedKeys::Available {
                    continue;
                }
                let message = format!("is key {}, as {other} is", key.kid());
                return Err(KeyError::invalid(&place, message).hint("remove one of the two"));
            }
            secrets.push((place, key));
        }
    }
    Ok(secrets)
}

fn open_one(place: &KeyRef, stores: &KeyStores) -> Result<SecretKey, KeyError> {
    match stores.open(place, KeyUsage::Decrypt)? {
        KeyHandle::Secret(key) if key.algorithm().is_symmetric() => Ok(key),
        other => {
            let message = format!("must be a shared key in a file, found an {} key", other.algorithm());
            Err(KeyError::invalid(place, message)
                .hint("name files of `taskseal keygen shared` only: no key pairs, and no keys in tokens"))
        }
    }
}

/// Takes the secret of the entry of a shared key. `None` if this host does not have it.
pub(super) fn take(secrets: &mut Secrets, entry: &EntryKey) -> Result<Option<SecretKey>, KeyError> {
    let kid = entry.kid();
    let Some(index) = secrets.iter().position(|(_, key)| key.kid() == kid) else { return Ok(None) };
    let (place, key) = secrets.swap_remove(index);
    let expected = match entry {
        EntryKey::Hmac256(_) => Algorithm::Hs256,
        _ => Algorithm::A256Gcm,
    };
    if key.algorithm() == expected {
        return Ok(Some(key));
    }
    let message =
        format!("the keyset names key {kid} as an {expected} key, and it is an {} key", key.algorithm());
    Err(KeyError::invalid(&place, message).hint("correct the entry in the keyset, or generate another key"))
}
