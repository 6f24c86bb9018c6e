//! Identities without a client secret: the metadata service of a virtual machine, the service account of a pod.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;
use taskseal::keys::{KeyErrorKind, KeyStores};
use taskseal_cloud::azure::{AzureCredentials, AzureKeyVault};
use taskseal_tests::azure::FEDERATED_TOKEN;

use super::vault_server::{SECRET, VaultServer};
use crate::PATIENT;
use crate::contract::{Contract, Reply, Request};

const PATH: &str = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net&client_id=abc";

fn metadata(request: &Request) -> Reply {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", PATH));
    assert_eq!(request.header("metadata"), "true");
    // This service sends numbers as texts.
    Reply::json(200, &json!({ "access_token": "token1", "expires_in": "3599", "token_type": "Bearer" }))
}

fn stores(service: &Contract) -> KeyStores {
    let credentials = AzureCredentials::managed_identity(Some("abc".to_owned()));
    let credentials = credentials.endpoint(format!("http://{}/", service.address()));
    KeyStores::default().with(AzureKeyVault::with_credentials(credentials).timeouts(PATIENT))
}

#[test]
fn machine_without_the_identity_is_an_error_at_once() {
    let (server, service) = (VaultServer::start(), Contract::start(metadata));
    let refused = json!({ "error": "invalid_request", "error_description": "Identity not found" });
    service.reply_next([Reply::json(400, &refused)]);
    let stores = stores(&service);
    let secret = stores.parse(&server.uri("secrets/shop"), Path::new("taskseal.toml")).unwrap();

    let fault = stores.fetch(&secret).unwrap_err();

    assert_eq!(fault.kind, KeyErrorKind::CredentialsRefused);
    assert!(fault.message.contains("Identity not found"), "{fault}");
}

#[test]
fn vault_on_this_machine_gets_no_token_of_an_authority_on_another_machine() {
    let server = VaultServer::start();
    let credentials = AzureCredentials::client_secret("tenant", "client", "secret77");
    let stores = KeyStores::default().with(AzureKeyVault::with_credentials(credentials).timeouts(PATIENT));
    let secret = stores.parse(&server.uri("secrets/shop"), Path::new("taskseal.toml")).unwrap();

    let fault = stores.fetch(&secret).unwrap_err();

    assert_eq!(fault.kind, KeyErrorKind::CredentialsRefused);
    assert!(fault.message.contains("gets no access token"), "{fault}");
    assert_eq!(server.paths(), Vec::<String>::new());
}

#[test]
fn client_secret_is_not_sent_in_clear_text() {
    let credentials =
        AzureCredentials::client_secret("tenant", "client", "secret77").endpoint("http://192.0.2.1");
    let stores = KeyStores::default().with(AzureKeyVault::with_credentials(credentials).timeouts(PATIENT));
    let uri = "azurekv://plant.vault.azure.net/secrets/shop";
    let secret = stores.parse(uri, Path::new("taskseal.toml")).unwrap();

    let fault = stores.fetch(&secret).unwrap_err();

    assert_eq!(fault.kind, KeyErrorKind::CredentialsRefused);
    assert!(fault.message.contains("would be sent in clear text"), "{fault}");
}

#[test]
fn token_of_a_service_account_fetches_a_secret_and_is_read_again_for_each_access_token() {
    let server = VaultServer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let write = |token: &str| {
        fs::write(&file, token).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    };
    let authority = format!("http://{}", server.contract.address());
    let credentials = AzureCredentials::federated_token("tenant", "client", &file).endpoint(authority);
    assert!(!format!("{credentials:?}").contains("signature77"));
    let stores = KeyStores::default().with(AzureKeyVault::with_credentials(credentials).timeouts(PATIENT));
    let secret = stores.parse(&server.uri("secrets/shop"), Path::new("taskseal.toml")).unwrap();
    let missing = stores.fetch(&secret).unwrap_err();
    write("old.signature77");
    let refused = stores.fetch(&secret).unwrap_err();
    write(FEDERATED_TOKEN);

    assert_eq!(stores.fetch(&secret).unwrap().content(), SECRET.as_bytes());
    for fault in [missing, refused] {
        assert_eq!(fault.kind, KeyErrorKind::CredentialsRefused);
        assert!(!format!("{fault:?}").contains("signature77"), "{fault:?}");
    }
}

#[test]
fn managed_identity_of_the_machine_fetches_a_secret() {
    let (server, service) = (VaultServer::start(), Contract::start(metadata));
    let stores = stores(&service);
    let secret = stores.parse(&server.uri("secrets/shop"), Path::new("taskseal.toml")).unwrap();

    assert_eq!(stores.fetch(&secret).unwrap().content(), SECRET.as_bytes());
    assert_eq!(service.take_requests().len(), 1);
}
