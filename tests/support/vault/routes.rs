//! The paths of the API: logins, tokens, secrets of the KV engine and keys of the Transit engine.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use taskseal::keys::pem::public_to_pem;
use taskseal_core::Signer;
use taskseal_core::keys::SigningKey;

use super::request::{Answer, Request};
use super::{State, TransitKey};

impl State {
    pub(super) fn route(&mut self, request: &Request) -> Answer {
        self.check_headers(request);
        if request.header("x-vault-namespace") != self.namespace.as_deref() {
            return self.no_route(&request.path);
        }
        let body = self.body(request);
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        match (request.method.as_str(), path) {
            ("POST", "auth/approle/login") => return self.app_role_login(&body),
            ("POST", "auth/kubernetes/login") => return self.kubernetes_login(&body),
            _ => {}
        }
        let token = request.header("x-vault-token").unwrap_or_default().to_owned();
        if !self.tokens.contains(&token) {
            return Answer::errors(403, &["permission denied"]);
        }
        match (request.method.as_str(), path) {
            ("GET", "auth/token/lookup-self") => {
                return Answer::data(
                    json!({ "id": token, "ttl": self.lease, "renewable": self.lease > 0, "type": "service" }),
                );
            }
            ("POST", "auth/token/renew-self") => {
                self.expect_fields(path, &body, &[], &["increment"]);
                if self.lease == 0 {
                    return Answer::errors(400, &["lease is not renewable"]);
                }
                let granted = self.lease_after_renewal.unwrap_or(self.lease);
                return self.auth(&token, granted);
            }
            _ if self.denies => {
                return Answer::errors(403, &["1 error occurred:\n\t* permission denied\n\n"]);
            }
            _ => {}
        }
        match (request.method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["secret", "data", path @ ..]) => self.read_secret(&path.join("/"), query),
            ("GET", ["transit", "keys", name]) => self.read_key(name),
            ("POST", ["transit", "sign", name]) => self.sign(name, &body),
            ("POST", ["transit", "hmac", name]) => self.hmac(name, &body),
            _ => self.no_route(path),
        }
    }

    fn check_headers(&mut self, request: &Request) {
        if request.header("x-vault-request") != Some("true") {
            self.violations.push(format!("{}: no X-Vault-Request", request.path));
        }
        if request.method == "POST" && request.header("content-type") != Some("application/json") {
            self.violations.push(format!("{}: not application/json", request.path));
        }
    }

    fn body(&mut self, request: &Request) -> Map<String, Value> {
        if request.method == "GET" {
            if !request.body.is_empty() {
                self.violations.push(format!("{}: a GET with a body", request.path));
            }
            return Map::new();
        }
        serde_json::from_slice(&request.body).unwrap_or_else(|_| {
            self.violations.push(format!("{}: the body is not a JSON object", request.path));
            Map::new()
        })
    }

    /// Notes fields that are missing or not documented.
    fn expect_fields(&mut self, path: &str, body: &Map<String, Value>, required: &[&str], optional: &[&str]) {
        let unknown = body
            .keys()
            .filter(|name| !required.contains(&name.as_str()) && !optional.contains(&name.as_str()));
        let missing = required.iter().filter(|name| !body.contains_key(**name));
        let found: Vec<String> = unknown.map(|name| format!("{path}: unknown {name}")).collect();
        self.violations.extend(missing.map(|name| format!("{path}: no {name}")));
        self.violations.extend(found);
    }

    fn no_route(&self, path: &str) -> Answer {
        Answer::errors(404, &[&format!("no handler for route \"{path}\". route entry not found.")])
    }

    fn app_role_login(&mut self, body: &Map<String, Value>) -> Answer {
        self.expect_fields("auth/approle/login", body, &["role_id", "secret_id"], &[]);
        let given = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match &self.app_role {
            Some((role, secret)) if *role == given("role_id") && *secret == given("secret_id") => {
                self.issue()
            }
            // Later versions: status 400.
            Some((role, _)) if *role == given("role_id") => Answer::errors(500, &["invalid secret id"]),
            _ => Answer::errors(400, &["invalid role ID"]),
        }
    }

    fn kubernetes_login(&mut self, body: &Map<String, Value>) -> Answer {
        self.expect_fields("auth/kubernetes/login", body, &["role", "jwt"], &[]);
        let given = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match &self.service_account {
            Some((role, jwt)) if *role == given("role") && *jwt == given("jwt") => self.issue(),
            Some((role, _)) if *role == given("role") => Answer::errors(403, &["permission denied"]),
            _ => Answer::errors(400, &[&format!("invalid role name \"{}\"", given("role"))]),
        }
    }

    fn issue(&mut self) -> Answer {
        self.issued += 1;
        let token = format!("hvs.issued-{}", self.issued);
        self.tokens.push(token.clone());
        self.auth(&token, self.lease)
    }

    fn auth(&self, token: &str, lease: u64) -> Answer {
        Answer::new(
            200,
            json!({
                "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0, "data": null, "wrap_info": null,
                "warnings": null, "auth": {
                    "client_token": token, "accessor": "a", "policies": ["default"], "token_policies": ["default"],
                    "metadata": {}, "lease_duration": lease, "renewable": lease > 0, "entity_id": "", "num_uses": 0,
                    "mfa_requirement": null,
                    "token_type": "service", "orphan": true
                }
            }),
        )
    }

    fn read_secret(&self, path: &str, query: &str) -> Answer {
        let versions = self.secrets.get(path).map(Vec::as_slice).unwrap_or_default();
        let wanted =
            query.strip_prefix("version=").map_or(versions.len(), |version| version.parse().unwrap_or(0));
        let Some(stored) = wanted.checked_sub(1).and_then(|index| versions.get(index)) else {
            return Answer::errors(404, &[]);
        };
        let time = if stored.deleted { "2026-11-30T10:00:00.000000000Z" } else { "" };
        let metadata = json!({
            "created_time": "2026-11-01T10:00:00.000000000Z", "custom_metadata": null, "deletion_time": time,
            "destroyed": stored.destroyed, "version": wanted
        });
        if stored.deleted {
            let answer = Answer::data(json!({ "data": null, "metadata": metadata }));
            return Answer { status: 404, ..answer };
        }
        Answer::data(json!({ "data": stored.fields, "metadata": metadata }))
    }

    fn read_key(&self, name: &str) -> Answer {
        let Some(key) = self.keys.get(name) else { return Answer::errors(404, &[]) };
        let signs = matches!(key, TransitKey::Signing(_));
        let mut data = json!({
            "name": name, "latest_version": key.versions(), "min_available_version": 0, "min_decryption_version": 1,
            "min_encryption_version": 0, "deletion_allowed": false, "derived": false, "exportable": false,
            "allow_plaintext_backup": false, "auto_rotate_period": 0, "imported_key": false, "supports_encryption": false,
            "supports_decryption": false, "supports_derivation": false, "supports_signing": signs
        });
        let more = match key {
            TransitKey::Signing(keys) => {
                let versions: Map<_, _> = keys.iter().enumerate().map(public_version).collect();
                json!({ "type": "ecdsa-p256", "keys": versions })
            }
            // The product lists no versions of such keys.
            TransitKey::Hmac(_) => json!({ "type": "hmac", "key_size": self.hmac_key_size }),
        };
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more);
        }
        Answer::data(data)
    }

    fn sign(&mut self, name: &str, body: &Map<String, Value>) -> Answer {
        let fields = ["input", "key_version", "hash_algorithm", "prehashed", "marshaling_algorithm"];
        self.expect_fields("transit/sign", body, &fields, &[]);
        let has = |name: &str, value: Value| body.get(name) == Some(&value);
        let is_es256 = has("hash_algorithm", "sha2-256".into()) && has("prehashed", true.into());
        if !is_es256 || !has("marshaling_algorithm", "jws".into()) {
            self.violations
                .push("transit/sign: not an ES256 signature of a digest in the form of JWS".to_owned());
        }
        let Some(TransitKey::Signing(keys)) = self.keys.get(name) else {
            let is_known = self.keys.contains_key(name);
            let error =
                if is_known { "key type hmac does not support signing" } else { "signing key not found" };
            return Answer::errors(400, &[error]);
        };
        let Some((version, key)) = version(body, keys) else {
            let error = "requested version for signing is higher than the latest key version";
            return Answer::errors(500, &[&format!("1 error occurred:\n\t* {error}\n\n")]);
        };
        let digest = input(body).and_then(|input| <[u8; 32]>::try_from(input).ok());
        let Some(digest) = digest else { return Answer::errors(400, &["unable to decode input as base64"]) };
        let mut key: &SigningKey = self.other_signer.as_ref().unwrap_or(key);
        let Ok(signature) = key.sign_digest(&digest);
        let signature = Base64UrlUnpadded::encode_string(&signature);
        Answer::data(json!({ "signature": format!("vault:v{version}:{signature}"), "key_version": version }))
    }

    fn hmac(&mut self, name: &str, body: &Map<String, Value>) -> Answer {
        self.expect_fields("transit/hmac", body, &["input", "key_version", "algorithm"], &[]);
        if body.get("algorithm") != Some(&Value::from("sha2-256")) {
            self.violations.push("transit/hmac: not sha2-256".to_owned());
        }
        let keys = match self.keys.get(name) {
            Some(TransitKey::Hmac(keys)) => keys.clone(),
            // Keys of all types authenticate: the others with a second secret.
            Some(TransitKey::Signing(keys)) => vec![[9; 32]; keys.len()],
            None => return Answer::errors(400, &["encryption key not found"]),
        };
        let Some((version, key)) = version(body, &keys) else {
            let latest = keys.len();
            let error = format!("key version does not exist; latest key version is {latest}");
            return Answer::errors(400, &[&error]);
        };
        let Some(input) = input(body) else {
            return Answer::errors(400, &["unable to decode input as base64"]);
        };
        let tag = Base64::encode_string(&hmac_sha256(key, &input));
        Answer::data(json!({ "hmac": format!("vault:v{version}:{tag}") }))
    }
}

fn public_version((index, key): (usize, &SigningKey)) -> (String, Value) {
    let pem = String::from_utf8(public_to_pem(&key.verifying_key().to_point())).unwrap_or_default();
    let version = json!({ "creation_time": "2026-11-01T10:00:00Z", "name": "P-256", "public_key": pem });
    ((index + 1).to_string(), version)
}

/// Returns the version that a request names, and its key.
fn version<'k, K>(body: &Map<String, Value>, keys: &'k [K]) -> Option<(u64, &'k K)> {
    let version = body.get("key_version").and_then(Value::as_u64).filter(|version| *version > 0);
    let version = version.unwrap_or(keys.len() as u64);
    let key = keys.get(usize::try_from(version).ok()? - 1)?;
    Some((version, key))
}

fn input(body: &Map<String, Value>) -> Option<Vec<u8>> {
    Base64::decode_vec(body.get("input")?.as_str()?).ok()
}

/// HMAC (RFC 2104) with a key that is shorter than a block.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(padded, key)| *padded ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}
