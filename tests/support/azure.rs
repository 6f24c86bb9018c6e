//! A server that answers as the REST reference of Azure Key Vault 7.4 and the one of the token endpoint describe.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::contract::keys::TestKey;
use crate::contract::{Contract, Reply, Request};

/// What the vault contains, and how it behaves.
#[derive(Debug)]
pub struct AzureVault {
    /// The versions of the key `shop`, the current one last: each is the seed of a key.
    pub versions: Vec<(&'static str, u8)>,
    /// Type of the key.
    pub kty: &'static str,
    /// Curve of the key.
    pub crv: &'static str,
    /// The seed of the key that signs in place of that of the version.
    pub forged: Option<u8>,
    /// The secrets by name. Each has the version `s1`.
    pub secrets: BTreeMap<String, String>,
    /// The client secret that is accepted.
    pub client_secret: String,
    /// The access token that is accepted.
    pub token: String,
}

/// A vault with a token endpoint.
#[derive(Debug)]
pub struct AzureServer {
    /// The server.
    pub contract: Contract,
    vault: Arc<Mutex<AzureVault>>,
}

/// The value of the secret `shop`.
pub const SECRET: &str = "secret88";

/// The token of a service account of Kubernetes that is accepted.
pub const FEDERATED_TOKEN: &str = "header.claims.signature77";

/// RFC 7523 section 2.2, as a form encodes it.
const ASSERTION_TYPE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

/// The hosts that the server answers for as a proxy.
const HOSTS: [&str; 2] = ["plant.vault.azure.net", "login.microsoftonline.com"];

impl AzureServer {
    /// Starts a server on a port of this machine.
    #[must_use]
    pub fn start() -> Self {
        let vault = shared();
        let state = Arc::clone(&vault);
        Self { contract: Contract::start(move |request| answer(request, &locked(&state))), vault }
    }

    /// Starts a proxy to the vault `plant` and the authority of the public cloud; `None` without a program that creates certificates.
    #[must_use]
    pub fn start_proxy() -> Option<(Self, Authority)> {
        let authority = Authority::create_for(&HOSTS)?;
        let vault = shared();
        let state = Arc::clone(&vault);
        let contract = Contract::start_proxy(&authority, move |request| answer(request, &locked(&state)));
        Some((Self { contract, vault }, authority))
    }

    /// Returns what the vault contains.
    pub fn vault(&self) -> MutexGuard<'_, AzureVault> {
        locked(&self.vault)
    }

    /// Returns the paths of the calls since the last call of this function.
    #[allow(clippy::must_use_candidate, reason = "it forgets the calls so far")]
    pub fn paths(&self) -> Vec<String> {
        self.contract.take_requests().iter().map(|request| request.path.clone()).collect()
    }
}

/// A failed assertion about one request must not hide those about the next.
fn locked<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shared() -> Arc<Mutex<AzureVault>> {
    Arc::new(Mutex::new(AzureVault {
        versions: vec![("v7", 7)],
        kty: "EC",
        crv: "P-256",
        forged: None,
        secrets: BTreeMap::from([("shop".to_owned(), SECRET.to_owned())]),
        client_secret: "secret&77".to_owned(),
        token: "token1".to_owned(),
    }))
}

/// Returns an error in the form of the vault.
#[must_use]
pub fn error(status: u16, code: &str, inner: Option<&str>) -> Reply {
    let inner = inner.map(|code| json!({ "code": code }));
    Reply::json(status, &json!({ "error": { "code": code, "message": "a message", "innererror": inner } }))
}

fn answer(request: &Request, vault: &AzureVault) -> Reply {
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
        ("GET", ["secrets", name, "" | "s1"]) if vault.secrets.contains_key(*name) => {
            let id = format!("https://{}/secrets/{name}/s1", request.header("host"));
            let attributes = json!({
                "enabled": true, "created": 1_793_000_000, "updated": 1_793_000_000, "recoveryLevel": "Recoverable+Purgeable",
                "recoverableDays": 90
            });
            Reply::json(
                200,
                &json!({ "value": vault.secrets[*name], "id": id, "attributes": attributes, "tags": {} }),
            )
        }
        ("GET", ["keys", ..]) => error(404, "KeyNotFound", None),
        ("GET", ["secrets", ..]) => error(404, "SecretNotFound", None),
        other => panic!("unexpected request {other:?}"),
    }
}

/// RFC 6749 section 4.4, with the scope of the vault.
fn token(request: &Request, vault: &AzureVault) -> Reply {
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    let form = String::from_utf8(request.body.clone()).unwrap();
    let secret = vault.client_secret.replace('&', "%26");
    let federated = format!("client_assertion_type={ASSERTION_TYPE}&client_assertion={FEDERATED_TOKEN}");
    let of = |credential: &str| {
        format!(
            "grant_type=client_credentials&client_id=client&{credential}&scope=https%3A%2F%2Fvault.azure.net%2F.default"
        )
    };
    if ![of(&format!("client_secret={secret}")), of(&federated)].contains(&form) {
        let refused = json!({ "error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided." });
        return Reply::json(401, &refused);
    }
    Reply::json(
        200,
        &json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": vault.token }),
    )
}

fn kid(request: &Request, version: &str) -> String {
    format!("https://{}/keys/shop/{version}", request.header("host"))
}

/// Returns the name and the seed of a version; the last one is the current one.
fn find(vault: &AzureVault, version: &str) -> Option<(&'static str, u8)> {
    match version {
        "" => vault.versions.last().copied(),
        name => vault.versions.iter().find(|(other, _)| *other == name).copied(),
    }
}

fn key(request: &Request, vault: &AzureVault, version: &str) -> Reply {
    let Some((version, seed)) = find(vault, version) else { return error(404, "KeyNotFound", None) };
    let point = TestKey::new(seed).point();
    let coordinate = |range: std::ops::Range<usize>| Base64UrlUnpadded::encode_string(&point[range]);
    let key: Value = json!({
        "kid": kid(request, version), "kty": vault.kty, "crv": vault.crv, "key_ops": ["sign", "verify"],
        "x": coordinate(1..33), "y": coordinate(33..65),
    });
    Reply::json(200, &json!({ "key": key, "attributes": { "enabled": true, "created": 1_793_000_000 } }))
}

fn sign(request: &Request, vault: &AzureVault, version: &str) -> Reply {
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
