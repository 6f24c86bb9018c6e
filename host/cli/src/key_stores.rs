//! The key stores of the program: those of the library, and those of the cloud services that it was built with.

use std::path::Path;

use taskseal::Config;
#[cfg(feature = "cloud")]
use taskseal::keys::{KeyError, KeyRef};
use taskseal::keys::{KeyHandle, KeyStores, KeyUsage};

use crate::failure::Failure;

/// Returns all stores.
pub(crate) fn all() -> KeyStores {
    let stores = KeyStores::default();
    #[cfg(feature = "cloud")]
    let stores = taskseal_cloud::register(&stores);
    stores
}

/// Opens the key pair in a cloud service that a URI names, for what it was created for. `None` for any other text.
#[cfg(feature = "cloud")]
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
    match stores.parse(uri, Path::new("")) {
        Ok(key) => Some(open(&key)),
        Err(error) => {
            Some(Err(KeyError::invalid(&KeyRef::new("", "", "the URI"), error.message).hint(error.hint)))
        }
    }
}

/// Opens the key in Vault or in another source of secrets that a URI names; the configuration describes how the source is reached.
/// `None` for any other text.
pub(crate) fn open_in_source(uri: &str) -> Option<Result<KeyHandle, Failure>> {
    let scheme = uri.split_once(':')?.0.to_ascii_lowercase();
    match scheme.as_str() {
        "env" => Some(open(&all(), uri, Path::new(""))),
        "exec" | "vault" => Some(match Config::load_with(&Config::locate(None), &all()) {
            Ok(config) => open(&config.key_stores, uri, &config.file),
            Err(error) => Err(Failure::config(error)),
        }),
        _ => None,
    }
}

fn open(stores: &KeyStores, uri: &str, file: &Path) -> Result<KeyHandle, Failure> {
    let key = stores.parse(uri, file).map_err(|error| Failure::usage(error.message).hint(error.hint))?;
    // The URI of an HMAC key has its kid.
    let usage = if uri.contains("kid=") { KeyUsage::Authenticate } else { KeyUsage::Sign };
    stores.open(&key, usage).map_err(Failure::key)
}
