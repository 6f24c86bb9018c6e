//! A server that answers as the REST references of Cloud KMS, Secret Manager, the token endpoint and the metadata server describe.

use std::path::Path;
use std::sync::{Arc, Mutex};

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use pem_rfc7468::{LineEnding, encode_string};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};
use taskseal::keys::{FetchedSecret, KeyError, KeyHandle, KeyStores, KeyUsage, RemoteSigner};
use taskseal_cloud::Timeouts;
use taskseal_cloud::gcp::{GoogleCredentials, GoogleKms, GoogleSecrets};

use crate::contract::keys::TestKey;
use crate::contract::{Contract, Reply, Request};

/// An RSA key that is used by this test alone.
const SERVICE_ACCOUNT: &str = include_str!("service_account.pem");

pub(super) const KEY: &str =
    "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/shop/cryptoKeyVersions/1";
pub(super) const SECRET: &str = "secret88";

/// What the services contain.
pub(super) struct State {
    pub(super) algorithm: &'static str,
    /// The seed of the key whose public key is returned.
    pub(super) public: u8,
    /// The seed of the key that signs.
    pub(super) private: u8,
    /// The access token that is accepted.
    pub(super) token: String,
}

pub(super) struct GoogleServer {
    pub(super) contract: Contract,
    pub(super) state: Arc<Mutex<State>>,
}

impl GoogleServer {
    pub(super) fn start() -> Self {
        let state =
            State { algorithm: "EC_SIGN_P256_SHA256", public: 7, private: 7, token: "token1".to_owned() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        Self { contract: Contract::start(move |request| answer(request, &shared.lock().unwrap())), state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.contract.address())
    }

    /// Returns the key file of a service account whose token endpoint is this server.
    pub(super) fn key_file(&self) -> Value {
        json!({
            "type": "service_account", "client_email": "shop@p.iam.gserviceaccount.com", "private_key_id": "k1",
            "private_key": SERVICE_ACCOUNT, "token_uri": format!("{}/token", self.url()),
        })
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

    /// Returns the paths of the calls since the last call of this function.
    pub(super) fn paths(&self) -> Vec<String> {
        self.contract.take_requests().iter().map(|request| request.path.clone()).collect()
    }
}

pub(super) fn fetch(stores: &KeyStores, version: &str) -> Result<FetchedSecret, KeyError> {
    let uri = format!("gcpsm://projects/p/secrets/shop/versions/{version}");
    stores.fetch(&stores.parse(&uri, Path::new("taskseal.toml")).expect("a valid URI"))
}

/// Returns an error in the form of Google APIs.
pub(super) fn error(code: u16, status: &str) -> Reply {
    Reply::json(code, &json!({ "error": { "code": code, "message": "a message", "status": status } }))
}

fn answer(request: &Request, state: &State) -> Reply {
    let method = request.method.as_str();
    match (method, request.path.as_str()) {
        ("POST", "/token") => return service_account_token(request, state),
        ("GET", "/computeMetadata/v1/instance/service-accounts/default/token") => {
            assert_eq!(request.header("metadata-flavor"), "Google");
            return token(state);
        }
        _ => (),
    }
    if request.header("authorization") != format!("Bearer {}", state.token) {
        return error(401, "UNAUTHENTICATED");
    }
    let key = TestKey::new(state.public);
    match (method, request.path.strip_prefix("/v1/").expect("the version of the API")) {
        ("GET", path) if path == format!("{KEY}/publicKey") => {
            let pem = encode_string("PUBLIC KEY", LineEnding::LF, &key.spki()).unwrap();
            Reply::json(
                200,
                &json!({ "name": KEY, "pem": pem, "algorithm": state.algorithm, "protectionLevel": "HSM" }),
            )
        }
        ("POST", path) if path == format!("{KEY}:asymmetricSign") => {
            let digest = Base64::decode_vec(request.json()["digest"]["sha256"].as_str().unwrap()).unwrap();
            let signature = TestKey::new(state.private).sign_high(&digest).to_der();
            Reply::json(
                200,
                &json!({ "name": KEY, "signature": Base64::encode_string(signature.as_bytes()) }),
            )
        }
        (
            "GET",
            "projects/p/secrets/shop/versions/3:access" | "projects/p/secrets/shop/versions/latest:access",
        ) => secret("1467591379"),
        _ => error(404, "NOT_FOUND"),
    }
}

/// Returns the secret with a checksum.
pub(super) fn secret(checksum: &str) -> Reply {
    let payload = json!({ "data": Base64::encode_string(SECRET.as_bytes()), "dataCrc32c": checksum });
    Reply::json(200, &json!({ "name": "projects/1/secrets/shop/versions/3", "payload": payload }))
}

fn token(state: &State) -> Reply {
    Reply::json(200, &json!({ "access_token": state.token, "expires_in": 3599, "token_type": "Bearer" }))
}

/// RFC 7523: verifies the assertion with the public key of the service account.
fn service_account_token(request: &Request, state: &State) -> Reply {
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    let form = String::from_utf8(request.body.clone()).unwrap();
    let assertion = form
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .expect("the grant of RFC 7523");
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let read =
        |part: &str| serde_json::from_slice::<Value>(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap();
    let (header, claims) = (read(header), read(claims));
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    assert_eq!(claims["iss"], "shop@p.iam.gserviceaccount.com");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(claims["aud"], format!("http://{}/token", request.header("host")));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
    let (_, der) = pem_rfc7468::decode_vec(SERVICE_ACCOUNT.as_bytes()).unwrap();
    let pair = RsaKeyPair::from_pkcs8(&der).unwrap();
    let public: RsaPublicKeyComponents<Vec<u8>> = pair.public().into();
    let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
    public
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
        .expect("the signature verifies");
    token(state)
}
