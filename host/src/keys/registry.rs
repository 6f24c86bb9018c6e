//! The registry of key stores: which store opens the keys of which URI scheme.

use std::path::Path;
use std::sync::Arc;

use super::command::CommandSource;
use super::credential::CredentialSource;
use super::environment::EnvironmentSource;
use super::error::KeyError;
use super::file::FileStore;
use super::handle::{KeyHandle, KeyUsage};
#[cfg(feature = "pkcs11")]
use super::pkcs11::Pkcs11Store;
use super::reference::{InvalidKeyRef, KeyRef, relative_to};
use super::secret_source::{FetchedSecret, SecretSource, SourceStore};
use super::store::KeyStore;

#[cfg(test)]
mod tests;

/// The key stores of a host, by URI scheme. Cloning shares them.
#[derive(Clone, Debug)]
pub struct KeyStores(Arc<[Arc<dyn KeyStore>]>);

/// The stores of this crate: `file:`, `cred:`, `env:`, `exec:`, and `pkcs11:` with the feature of that name.
impl Default for KeyStores {
    fn default() -> Self {
        Self(Arc::new([
            Arc::new(FileStore),
            Arc::new(SourceStore(CredentialSource)),
            Arc::new(SourceStore(EnvironmentSource)),
            Arc::new(SourceStore(CommandSource::default())),
            #[cfg(feature = "pkcs11")]
            Arc::new(Pkcs11Store),
        ]))
    }
}

impl KeyStores {
    /// Adds a store. It replaces the one of the same scheme.
    #[must_use]
    pub fn with(&self, store: impl KeyStore + 'static) -> Self {
        let others = self.0.iter().filter(|other| other.scheme() != store.scheme()).cloned();
        let mut stores: Vec<Arc<dyn KeyStore>> = others.collect();
        stores.push(Arc::new(store));
        Self(stores.into())
    }

    /// Adds a source of secrets, which can be keys or passwords. It replaces the store of the same scheme.
    #[must_use]
    pub fn with_source(&self, source: impl SecretSource + 'static) -> Self {
        self.with(SourceStore(source))
    }

    /// Parses the URI or path of a key in the configuration file `file`.
    ///
    /// A text that starts with a scheme and a colon is a URI. Any other text is the path of a key file, relative to the
    /// folder of `file`; `./a:b` is a path.
    ///
    /// # Errors
    /// [`InvalidKeyRef`] if no store has the scheme, or the URI does not name one key.
    pub fn parse(&self, text: &str, file: &Path) -> Result<KeyRef, InvalidKeyRef> {
        let Some(scheme) = scheme(text) else {
            return Ok(relative_to(file, text).into());
        };
        match self.find(scheme) {
            Some(store) => store.parse(text, file),
            None => Err(self.unknown(scheme)),
        }
    }

    /// Returns the keys to which a reference leads: more than one for a folder, or for a label that several keys of a token have. It may
    /// block.
    ///
    /// # Errors
    /// [`KeyError`] if no store has the scheme, the keys cannot be listed, or there is none.
    pub(super) fn list(&self, key: &KeyRef, usage: KeyUsage) -> Result<Vec<KeyRef>, KeyError> {
        let keys = self.store_of(key)?.list(key, usage)?;
        if keys.is_empty() {
            return Err(KeyError::invalid(key, "the folder has no key files")
                .hint("put a key file of `taskseal keygen` into it, or name another folder"));
        }
        Ok(keys)
    }

    /// Opens a key in the store that has its scheme. It may block.
    ///
    /// # Errors
    /// [`KeyError`] if no store has the scheme, or the key cannot be used.
    pub fn open(&self, key: &KeyRef, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
        self.store_of(key)?.open(key, usage)
    }

    /// Fetches a secret, such as a password, from the store that has its scheme. It may block.
    ///
    /// # Errors
    /// [`KeyError`] if no store has the scheme, the store hands out no secrets, or the secret is unavailable.
    pub fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        self.store_of(secret)?.fetch(secret)
    }

    fn store_of(&self, key: &KeyRef) -> Result<&dyn KeyStore, KeyError> {
        self.find(key.scheme()).ok_or_else(|| {
            let InvalidKeyRef { message, hint } = self.unknown(key.scheme());
            KeyError::invalid(key, message).hint(hint)
        })
    }

    /// Finds a store. RFC 3986 compares schemes without case.
    fn find(&self, scheme: &str) -> Option<&dyn KeyStore> {
        self.0.iter().find(|store| store.scheme().eq_ignore_ascii_case(scheme)).map(|store| &**store)
    }

    fn unknown(&self, scheme: &str) -> InvalidKeyRef {
        if scheme.eq_ignore_ascii_case("vault") {
            // Its store is made from the section.
            let message = "no section [vault], which names the server";
            return InvalidKeyRef::new(
                message,
                "add it with `address`; the program needs the feature `vault`",
            );
        }
        InvalidKeyRef::new(
            format!("unknown key scheme `{scheme}:`"),
            format!("use {} or a path; a path with a colon starts with `./`", self.schemes()),
        )
    }

    /// Returns whether a text starts with the scheme of a store.
    pub(crate) fn has_scheme(&self, text: &str) -> bool {
        scheme(text).is_some_and(|scheme| self.find(scheme).is_some())
    }

    /// Returns the schemes for a message.
    pub(crate) fn schemes(&self) -> String {
        let known: Vec<_> = self.0.iter().map(|store| format!("`{}:`", store.scheme())).collect();
        known.join(", ")
    }
}

/// Returns the scheme of a URI (RFC 3986 section 3.1); `None` for a path.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let is_scheme =
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(allowed);
    is_scheme.then_some(scheme)
}
