//! The stores of keys and secrets in the contract server of Google Cloud.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use taskseal::keys::{FetchedSecret, KeyError, KeyHandle, KeyStores, KeyUsage, RemoteSigner};
use taskseal_cloud::Timeouts;
use taskseal_cloud::gcp::{GoogleCredentials, GoogleKms, GoogleSecrets};
pub(super) use taskseal_tests::google::{KEY, SECRET, error, secret};

/// The server, and a process that uses it.
pub(super) struct GoogleServer(taskseal_tests::google::GoogleServer);

impl Deref for GoogleServer {
    type Target = taskseal_tests::google::GoogleServer;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl GoogleServer {
    pub(super) fn start() -> Self {
        Self(taskseal_tests::google::GoogleServer::start())
    }

    pub(super) fn stores_with(&self, credentials: &GoogleCredentials, timeouts: Timeouts) -> KeyStores {
        let kms = GoogleKms::new().credentials(credentials.clone()).endpoint(&self.url()).timeouts(timeouts);
        let secrets =
            GoogleSecrets::new().credentials(credentials.clone()).endpoint(&self.url()).timeouts(timeouts);
        KeyStores::default().with(kms).with_source(secrets)
    }

    pub(super) fn stores(&self, timeouts: Timeouts) -> KeyStores {
        let credentials = GoogleCredentials::service_account(self.key_file().to_string().as_bytes()).unwrap();
        self.stores_with(&credentials, timeouts)
    }

    pub(super) fn signer(&self, timeouts: Timeouts) -> Result<Arc<dyn RemoteSigner>, KeyError> {
        let stores = self.stores(timeouts);
        let key = stores.parse(&format!("gcpkms://{KEY}"), Path::new("taskseal.toml")).expect("a valid URI");
        match stores.open(&key, KeyUsage::Sign)? {
            KeyHandle::Signer(key) => Ok(key),
            other => panic!("{other:?} does not sign"),
        }
    }

    pub(super) fn secret(&self, version: &str, timeouts: Timeouts) -> Result<FetchedSecret, KeyError> {
        fetch(&self.stores(timeouts), version)
    }
}

pub(super) fn fetch(stores: &KeyStores, version: &str) -> Result<FetchedSecret, KeyError> {
    let uri = format!("gcpsm://projects/p/secrets/shop/versions/{version}");
    stores.fetch(&stores.parse(&uri, Path::new("taskseal.toml")).expect("a valid URI"))
}
