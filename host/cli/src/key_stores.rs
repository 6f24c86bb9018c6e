//! The key stores of the program: those of the library, and those of the cloud services that it was built with.

use taskseal::keys::KeyStores;
#[cfg(feature = "aws")]
use taskseal::keys::{KeyError, KeyHandle, KeyRef, KeyUsage};

/// Returns all stores.
pub(crate) fn all() -> KeyStores {
    let stores = KeyStores::default();
    #[cfg(feature = "aws")]
    let stores = taskseal_cloud::register(&stores);
    stores
}

/// Opens the key pair in a cloud service that a URI names, for what it was created for. `None` for any other text.
#[cfg(feature = "aws")]
pub(crate) fn open_in_cloud(uri: &str) -> Option<Result<KeyHandle, KeyError>> {
    let stores = all();
    let scheme = uri.split_once(':')?.0.to_ascii_lowercase();
    if !taskseal_cloud::KEY_SCHEMES.contains(&scheme.as_str()) {
        return None;
    }
    let open = |key: &KeyRef| {
        stores.open(key, KeyUsage::Sign).or_else(|error| {
            // A key that does not sign may decrypt. The first error says what the key is.
            stores.open(key, KeyUsage::Decrypt).map_err(|_| error)
        })
    };
    match stores.parse(uri, std::path::Path::new("")) {
        Ok(key) => Some(open(&key)),
        Err(error) => {
            Some(Err(KeyError::invalid(&KeyRef::new("", "", "the URI"), error.message).hint(error.hint)))
        }
    }
}
