//! A server that answers as the REST references of Cloud KMS, Secret Manager, the token endpoint and the metadata server describe.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64ct::{Base64, Encoding as _};
use pem_rfc7468::{LineEnding, encode_string};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::contract::keys::TestKey;
use crate::contract::{Contract, Reply, Request};

mod account;
mod administration;

/// The version of a key that a server has from the beginning.
pub const KEY: &str = "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/shop/cryptoKeyVersions/1";
/// Value of the secret `projects/p/secrets/shop`, version 3.
pub const SECRET: &str = "secret88";

/// What the services contain, and how they behave.
#[derive(Debug)]
pub struct GoogleState {
    /// Algorithm of the keys.
    pub algorithm: &'static str,
    /// The seed of the key whose public key is returned.
    pub public: u8,
    /// The seed of the key that signs.
    pub private: u8,
    /// The access token that is accepted.
    pub token: String,
    /// Versions of keys by their resource names.
    pub keys: Vec<String>,
    /// Secrets by their resource names, each with the number of its only version and its value.
    pub secrets: BTreeMap<String, Option<(u32, Vec<u8>)>>,
}

/// The services of Google Cloud.
#[derive(Debug)]
pub struct GoogleServer {
    /// The server.
    pub contract: Contract,
    state: Arc<Mutex<GoogleState>>,
}

/// The hosts that the server answers for as a proxy.
const HOSTS: [&str; 3] = ["cloudkms.googleapis.com", "secretmanager.googleapis.com", "oauth2.googleapis.com"];

impl GoogleServer {
    /// Starts a server on a port of this machine.
    #[must_use]
    pub fn start() -> Self {
        let state = shared();
        let shared = Arc::clone(&state);
        Self { contract: Contract::start(move |request| answer(request, &mut locked(&shared))), state }
    }

    /// Starts a proxy to the services; `None` without a program that creates certificates.
    #[must_use]
    pub fn start_proxy() -> Option<(Self, Authority)> {
        let authority = Authority::create_for(&HOSTS)?;
        let state = shared();
        let shared = Arc::clone(&state);
        let contract =
            Contract::start_proxy(&authority, move |request| answer(request, &mut locked(&shared)));
        Some((Self { contract, state }, authority))
    }

    /// Returns what the services contain.
    pub fn state(&self) -> MutexGuard<'_, GoogleState> {
        locked(&self.state)
    }

    /// Returns the URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.contract.address())
    }

    /// Returns the key file of a service account whose token endpoint is this server.
    #[must_use]
    pub fn key_file(&self) -> Value {
        account::key_file(&format!("{}/token", self.url()))
    }

    /// Returns the paths of the calls since the last call of this function.
    #[allow(clippy::must_use_candidate, reason = "it forgets the calls so far")]
    pub fn paths(&self) -> Vec<String> {
        self.contract.take_requests().iter().map(|request| request.path.clone()).collect()
    }
}

/// Returns the key file of a service account of the public cloud.
#[must_use]
pub fn key_file() -> Value {
    account::key_file("https://oauth2.googleapis.com/token")
}

/// A failed assertion about one request must not hide those about the next.
fn locked<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shared() -> Arc<Mutex<GoogleState>> {
    Arc::new(Mutex::new(GoogleState {
        algorithm: "EC_SIGN_P256_SHA256",
        public: 7,
        private: 7,
        token: "token1".to_owned(),
        keys: vec![KEY.to_owned()],
        secrets: BTreeMap::from([("projects/p/secrets/shop".to_owned(), Some((3, SECRET.into())))]),
    }))
}

/// Returns an error in the form of Google APIs.
#[must_use]
pub fn error(code: u16, status: &str) -> Reply {
    Reply::json(code, &json!({ "error": { "code": code, "message": "a message", "status": status } }))
}

fn answer(request: &Request, state: &mut GoogleState) -> Reply {
    let method = request.method.as_str();
    match (method, request.path.as_str()) {
        ("POST", "/token") => return account::token_of_assertion(request, state),
        ("GET", "/computeMetadata/v1/instance/service-accounts/default/token") => {
            assert_eq!(request.header("metadata-flavor"), "Google");
            return account::token(state);
        }
        _ => (),
    }
    if request.header("authorization") != format!("Bearer {}", state.token) {
        return error(401, "UNAUTHENTICATED");
    }
    let path = request.path.strip_prefix("/v1/").expect("the version of the API");
    if let Some(version) = path.strip_suffix("/publicKey") {
        return if method == "GET" && state.keys.iter().any(|key| key == version) {
            public_key(version, state)
        } else {
            error(404, "NOT_FOUND")
        };
    }
    if let Some(version) = path.strip_suffix(":asymmetricSign") {
        return if method == "POST" && state.keys.iter().any(|key| key == version) {
            sign(version, request, state)
        } else {
            error(404, "NOT_FOUND")
        };
    }
    if let Some(version) = path.strip_suffix(":access") {
        assert_eq!(method, "GET");
        return access(version, state);
    }
    administration::answer(method, path, request, state).unwrap_or_else(|| error(404, "NOT_FOUND"))
}

fn public_key(name: &str, state: &GoogleState) -> Reply {
    let pem = encode_string("PUBLIC KEY", LineEnding::LF, &TestKey::new(state.public).spki()).unwrap();
    Reply::json(
        200,
        &json!({
            "name": name, "pem": pem, "algorithm": state.algorithm, "protectionLevel": "HSM", "publicKeyFormat": "PEM",
        }),
    )
}

fn sign(name: &str, request: &Request, state: &GoogleState) -> Reply {
    let digest = Base64::decode_vec(request.json()["digest"]["sha256"].as_str().unwrap()).unwrap();
    let signature = TestKey::new(state.private).sign_high(&digest).to_der();
    Reply::json(
        200,
        &json!({
            "name": name, "signature": Base64::encode_string(signature.as_bytes()), "verifiedDigestCrc32c": false,
            "protectionLevel": "HSM",
        }),
    )
}

fn access(version: &str, state: &GoogleState) -> Reply {
    let (secret, version) = version.split_once("/versions/").expect("a version");
    let Some(Some((number, value))) = state.secrets.get(secret) else { return error(404, "NOT_FOUND") };
    if version != "latest" && version != number.to_string() {
        return error(404, "NOT_FOUND");
    }
    let name = secret.rsplit('/').next().unwrap();
    secret_version(name, *number, value, &crc32c(value).to_string())
}

/// Returns the secret of [`SECRET`] with a checksum.
#[must_use]
pub fn secret(checksum: &str) -> Reply {
    secret_version("shop", 3, SECRET.as_bytes(), checksum)
}

/// The name in an answer has the number of the project, not its id.
fn secret_version(name: &str, number: u32, value: &[u8], checksum: &str) -> Reply {
    let payload = json!({ "data": Base64::encode_string(value), "dataCrc32c": checksum });
    let name = format!("projects/1/secrets/{name}/versions/{number}");
    Reply::json(200, &json!({ "name": name, "payload": payload }))
}

/// CRC32C (RFC 3720 appendix B.4), with one table step for each bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
