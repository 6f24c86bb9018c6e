//! The stores of keys and secrets in the contract server of Azure.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use taskseal::keys::{KeyError, KeyHandle, KeyStores, KeyUsage, RemoteSigner};
use taskseal_cloud::Timeouts;
use taskseal_cloud::azure::{AzureCredentials, AzureKeyVault};
use taskseal_tests::azure::AzureServer;
pub(super) use taskseal_tests::azure::{SECRET, error};

/// The server, and a process that uses it.
pub(super) struct VaultServer(AzureServer);

impl Deref for VaultServer {
    type Target = AzureServer;

    fn deref(&self) -> &AzureServer {
        &self.0
    }
}

impl VaultServer {
    pub(super) fn start() -> Self {
        Self(AzureServer::start())
    }

    pub(super) fn uri(&self, path: &str) -> String {
        format!("azurekv://{}/{path}", self.contract.address())
    }

    pub(super) fn stores(&self, timeouts: Timeouts) -> KeyStores {
        let authority = format!("http://{}", self.contract.address());
        let credentials =
            AzureCredentials::client_secret("tenant", "client", "secret&77").endpoint(authority);
        KeyStores::default().with(AzureKeyVault::with_credentials(credentials).timeouts(timeouts))
    }

    pub(super) fn open(
        &self,
        path: &str,
        usage: KeyUsage,
        timeouts: Timeouts,
    ) -> Result<KeyHandle, KeyError> {
        let stores = self.stores(timeouts);
        stores.open(&stores.parse(&self.uri(path), Path::new("taskseal.toml")).expect("a valid URI"), usage)
    }

    pub(super) fn signer(&self, path: &str, timeouts: Timeouts) -> Result<Arc<dyn RemoteSigner>, KeyError> {
        match self.open(path, KeyUsage::Sign, timeouts)? {
            KeyHandle::Signer(key) => Ok(key),
            other => panic!("{other:?} does not sign"),
        }
    }
}
