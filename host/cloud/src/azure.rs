//! Microsoft Azure: keys and secrets in Key Vault.
//!
//! * `azurekv://VAULT_HOST/keys/NAME[/VERSION]`: signs;
//! * `azurekv://VAULT_HOST/secrets/NAME[/VERSION]`: the content of a key file, or a password.
//!
//! Without a version the current one is read when the key is opened, and used until the key is opened again.

mod credentials;
mod uri;
mod vault;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use taskseal::keys::{FetchedSecret, InvalidKeyRef, KeyError, KeyHandle, KeyRef, KeyStore, KeyUsage};

pub use self::credentials::AzureCredentials;
use self::uri::{Collection, VaultUri};
use self::vault::{Connection, VaultKey};
use crate::attempts::retrying;
use crate::fault::Fault;
use crate::signer::ServiceSigner;
use crate::timeouts::Timeouts;

/// Keys and secrets in Azure Key Vault: `azurekv:`.
#[derive(Clone, Debug, Default)]
pub struct AzureKeyVault {
    credentials: Option<AzureCredentials>,
    connection: Arc<OnceLock<Arc<Connection>>>,
    timeouts: Timeouts,
}

impl AzureKeyVault {
    /// Creates a store with the credentials of the environment, as [`AzureCredentials::from_environment`] finds them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a store with these credentials.
    #[must_use]
    pub fn with_credentials(credentials: AzureCredentials) -> Self {
        Self { credentials: Some(credentials), ..Self::default() }
    }

    /// Sets the time limits of calls.
    #[must_use]
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Returns the connection, which all keys share with its access token.
    fn connection(&self) -> Arc<Connection> {
        let connect = || {
            let credentials = self.credentials.clone().unwrap_or_else(AzureCredentials::from_environment);
            Arc::new(Connection::new(credentials))
        };
        Arc::clone(self.connection.get_or_init(connect))
    }

    fn sign(&self, uri: VaultUri) -> Result<KeyHandle, Fault> {
        let signer = ServiceSigner::open(VaultKey::new(self.connection(), uri), self.timeouts)?;
        Ok(KeyHandle::Signer(Arc::new(signer)))
    }
}

const FORM: &str =
    "`azurekv://NAME.vault.azure.net/keys/KEY` or `…/secrets/SECRET`, with `/VERSION` if needed";
const SECRET_FORM: &str = "name a secret: `azurekv://NAME.vault.azure.net/secrets/SECRET`";

fn parsed(key: &KeyRef) -> Result<VaultUri, KeyError> {
    let uri = key.address().to_str().and_then(|uri| VaultUri::parse(uri, FORM).ok());
    uri.ok_or_else(|| KeyError::invalid(key, "not an azurekv: URI"))
}

impl KeyStore for AzureKeyVault {
    fn scheme(&self) -> &'static str {
        "azurekv"
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        VaultUri::parse(uri, FORM)?;
        Ok(KeyRef::new("azurekv", uri, uri))
    }

    fn open(&self, key: &KeyRef, usage: KeyUsage) -> Result<KeyHandle, KeyError> {
        let uri = parsed(key)?;
        match (uri.collection, usage) {
            (Collection::Secrets, _) => KeyStore::fetch(self, key)?.to_key(key),
            (Collection::Keys, KeyUsage::Sign) => self.sign(uri).map_err(|fault| fault.into_key_error(key)),
            (Collection::Keys, _) => Err(KeyError::invalid(key, "a key in Azure Key Vault can only sign")
                .hint("store other keys as secrets: `/secrets/NAME`")),
        }
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        let uri = parsed(secret)?;
        if uri.collection == Collection::Keys {
            return Err(KeyError::invalid(secret, "the URI names a key, which never leaves Azure Key Vault")
                .hint(SECRET_FORM));
        }
        let connection = self.connection();
        let fetched = retrying(&self.timeouts, |deadline| connection.secret(&uri, deadline));
        fetched.map_err(|fault| fault.into_key_error(secret))
    }
}
