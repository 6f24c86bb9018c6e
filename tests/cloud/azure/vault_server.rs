//! A server that answers as the REST reference of Azure Key Vault 7.4 and the one of the token endpoint describe.

use std::path::Path;
use std::sync::{Arc, Mutex};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};
use taskseal::keys::{KeyError, KeyHandle, KeyStores, KeyUsage, RemoteSigner};
use taskseal_cloud::Timeouts;
use taskseal_cloud::azure::{AzureCredentials, AzureKeyVault};

use crate::contract::keys::TestKey;
use crate::contract::{Contract, Reply, Request};

/// What the vault contains: each version of the key `shop` is the seed of a key, with the version as its name.
pub(super) struct Vault {
    pub(super) versions: Vec<(&'static str, u8)>,
    pub(super) kty: &'static str,
    pub(super) crv: &'static str,
    /// The seed of the key that signs in place of that of the version.
    pub(super) forged: Option<u8>,
    /// The access token that is accepted.
    pub(super) token: String,
}

pub(super) struct VaultServer {
    pub(super) contract: Contract,
    pub(super) vault: Arc<Mutex<Vault>>,
}

/// The value of the secret `shop`.
pub(super) const SECRET: &str = "secret88";

impl VaultServer {
    pub(super) fn start() -> Self {
        let vault = Vault {
            versions: vec![("v7", 7)],
            kty: "EC",
            crv: "P-256",
            forged: None,
            token: "token1".to_owned(),
        };
        let vault = Arc::new(Mutex::new(vault));
        let shared = Arc::clone(&vault);
        Self { contract: Contract::start(move |request| answer(request, &mut shared.lock().unwrap())), vault }
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

    /// Returns the paths of the calls since the last call of this function.
    pub(super) fn paths(&self) -> Vec<String> {
        self.contract.take_requests().iter().map(|request| request.path.clone()).collect()
    }
}

/// Returns an error in the form of the vault.
pub(super) fn error(status: u16, code: &str, inner: Option<&str>) -> Reply {
    let inner = inner.map(|code| json!({ "code": code }));
    Reply::json(status, &json!({ "error": { "code": code, "message": "a message", "innererror": inner } }))
}

fn answer(request: &Request, vault: &mut Vault) -> Reply {
    let path = request.path.clone();
    if path == "/tenant/oauth2/v2.0/token" {
        return token(request, vault);
    }
    if request.header("authorization") != format!("Bearer {}", vault.token) {
        return error(401, "Unauthorized", None);
    }
    let path = path.strip_suffix("?api-version=7.4").expect("the version of the API");
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["keys", "shop", version]) => key(request, vault, version),
        ("POST", ["keys", "shop", version, "sign"]) => sign(request, vault, version),
        ("GET", ["secrets", "shop", version @ ("" | "s1")]) => {
            let version = if version.is_empty() { "s1" } else { *version };
            let id = format!("https://{}/secrets/shop/{version}", request.header("host"));
            Reply::json(200, &json!({ "value": SECRET, "id": id, "attributes": { "enabled": true } }))
        }
        ("GET", ["keys", ..]) => error(404, "KeyNotFound", None),
        ("GET", ["secrets", ..]) => error(404, "SecretNotFound", None),
        other => panic!("unexpected request {other:?}"),
    }
}

/// RFC 6749 section 4.4, with the scope of the vault.
fn token(request: &Request, vault: &Vault) -> Reply {
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    let form = String::from_utf8(request.body.clone()).unwrap();
    assert_eq!(
        form,
        "grant_type=client_credentials&client_id=client&client_secret=secret%2677&scope=https%3A%2F%2Fvault.azure.net%2F.default"
    );
    Reply::json(200, &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": vault.token }))
}

fn kid(request: &Request, version: &str) -> String {
    format!("https://{}/keys/shop/{version}", request.header("host"))
}

/// Returns the name and the seed of a version; the last one is the current one.
fn find(vault: &Vault, version: &str) -> Option<(&'static str, u8)> {
    match version {
        "" => vault.versions.last().copied(),
        name => vault.versions.iter().find(|(other, _)| *other == name).copied(),
    }
}

fn key(request: &Request, vault: &Vault, version: &str) -> Reply {
    let Some((version, seed)) = find(vault, version) else { return error(404, "KeyNotFound", None) };
    let point = TestKey::new(seed).point();
    let coordinate = |range: std::ops::Range<usize>| Base64UrlUnpadded::encode_string(&point[range]);
    let key: Value = json!({
        "kid": kid(request, version), "kty": vault.kty, "crv": vault.crv, "key_ops": ["sign", "verify"],
        "x": coordinate(1..33), "y": coordinate(33..65),
    });
    Reply::json(200, &json!({ "key": key, "attributes": { "enabled": true } }))
}

fn sign(request: &Request, vault: &Vault, version: &str) -> Reply {
    let (version, seed) = find(vault, version).filter(|_| !version.is_empty()).expect("a version");
    let body = request.json();
    assert_eq!(body["alg"], "ES256");
    let digest = Base64UrlUnpadded::decode_vec(body["value"].as_str().unwrap()).unwrap();
    let signature = TestKey::new(vault.forged.unwrap_or(seed)).sign_high(&digest).to_bytes();
    Reply::json(
        200,
        &json!({ "kid": kid(request, version), "value": Base64UrlUnpadded::encode_string(&signature) }),
    )
}
