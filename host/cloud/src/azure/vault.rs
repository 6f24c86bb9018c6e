//! Calls of the REST API of Azure Key Vault, version 7.4.

use std::sync::{Arc, OnceLock};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use p256::ecdsa::Signature;
use serde::Deserialize;
use serde_json::json;
use taskseal::keys::FetchedSecret;
use taskseal_core::keys::POINT_LEN;
use zeroize::Zeroizing;

use super::credentials::AzureCredentials;
use super::uri::VaultUri;
use crate::access_token::AccessTokens;
use crate::fault::Fault;
use crate::public_key::Point;
use crate::rest::{RestAnswer, RestBody, RestClient};
use crate::signer::SigningService;
use crate::timeouts::Deadline;

const API_VERSION: &str = "7.4";

/// An HTTP client with credentials, shared by all keys of a store.
#[derive(Debug)]
pub(super) struct Connection {
    rest: RestClient,
    credentials: AzureCredentials,
    tokens: AccessTokens,
}

/// A key with the version that was current when it was opened: another version is another key, with another kid.
#[derive(Debug)]
pub(super) struct VaultKey {
    connection: Arc<Connection>,
    uri: VaultUri,
    /// URL of the version, as the vault returned it.
    kid: OnceLock<String>,
}

#[derive(Deserialize)]
struct KeyBundle {
    key: JsonWebKey,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Deserialize)]
struct JsonWebKey {
    kid: String,
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    key_ops: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Attributes {
    enabled: Option<bool>,
}

#[derive(Deserialize)]
struct SignResult {
    kid: String,
    value: String,
}

#[derive(Deserialize)]
struct SecretBundle {
    value: Zeroized,
    id: String,
}

/// A text that is wiped on drop.
struct Zeroized(Zeroizing<String>);

impl<'de> Deserialize<'de> for Zeroized {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new).map(Self)
    }
}

#[derive(Deserialize)]
struct VaultError {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    /// The service has used both spellings.
    #[serde(alias = "innerError")]
    innererror: Option<Box<Self>>,
}

impl Connection {
    pub(super) fn new(credentials: AzureCredentials) -> Self {
        Self { rest: RestClient::new(), credentials, tokens: AccessTokens::default() }
    }

    fn call(
        &self,
        uri: &VaultUri,
        path: &str,
        body: &RestBody<'_>,
        deadline: &Deadline,
    ) -> Result<RestAnswer, Fault> {
        if uri.is_loopback() && !self.credentials.is_of_this_machine() {
            return Err(Fault::credentials(
                "a vault on this machine gets no access token of an authority on another machine",
            ));
        }
        let url = format!("{}/{path}?api-version={API_VERSION}", uri.vault);
        let answer = self.tokens.with_token(
            uri.resource,
            || self.credentials.request(&self.rest, uri.resource, deadline),
            |bearer| self.rest.call(&url, &[("authorization", bearer)], body, deadline.next_attempt()),
        )?;
        if answer.is_success() { Ok(answer) } else { Err(fault(&answer)) }
    }

    /// Reads a secret.
    pub(super) fn secret(&self, uri: &VaultUri, deadline: &Deadline) -> Result<FetchedSecret, Fault> {
        let path = format!("secrets/{}/{}", uri.name, uri.version.as_deref().unwrap_or_default());
        let bundle: SecretBundle = self.call(uri, &path, &RestBody::None, deadline)?.parse()?;
        let version = last_segment(&bundle.id);
        if uri.version.as_deref().is_some_and(|wanted| wanted != version) {
            return Err(Fault::faulty_answer("the answer is another version of the secret"));
        }
        let content = Zeroizing::new(bundle.value.0.as_bytes().to_vec());
        Ok(FetchedSecret::new(content).with_version(version))
    }
}

/// Returns the fault of an error of the vault.
fn fault(answer: &RestAnswer) -> Fault {
    let Some(VaultError { error }) = answer.parse_error() else { return answer.fault("") };
    let ErrorDetail { code, message, innererror } = error;
    let text = format!("{code}: {message}");
    let inner = innererror.map(|inner| inner.code).unwrap_or_default();
    // A disabled key or secret is reported with the status of a missing permission.
    if [code, inner].iter().any(|code| matches!(code.as_str(), "KeyDisabled" | "SecretDisabled")) {
        return Fault::disabled(text);
    }
    answer.fault(&text)
}

fn last_segment(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

impl VaultKey {
    pub(super) const fn new(connection: Arc<Connection>, uri: VaultUri) -> Self {
        Self { connection, uri, kid: OnceLock::new() }
    }

    /// Returns the version to call: the one of the URI, or the current one when the key was opened. Empty before that.
    fn version(&self) -> &str {
        self.kid
            .get()
            .map_or_else(|| self.uri.version.as_deref().unwrap_or_default(), |kid| last_segment(kid))
    }
}

impl SigningService for VaultKey {
    fn verifying_point(&self, deadline: &Deadline) -> Result<Point, Fault> {
        let path = format!("keys/{}/{}", self.uri.name, self.version());
        let bundle: KeyBundle = self.connection.call(&self.uri, &path, &RestBody::None, deadline)?.parse()?;
        let point = point(&bundle)?;
        let kid = self.kid.get_or_init(|| bundle.key.kid.clone());
        if *kid != bundle.key.kid || self.version() != last_segment(kid) {
            return Err(Fault::faulty_answer("the answer is another version of the key"));
        }
        Ok(point)
    }

    fn sign(&self, digest: &[u8; 32], deadline: &Deadline) -> Result<Signature, Fault> {
        let path = format!("keys/{}/{}/sign", self.uri.name, self.version());
        let request =
            json!({ "alg": "ES256", "value": Base64UrlUnpadded::encode_string(digest) }).to_string();
        let answer = self.connection.call(&self.uri, &path, &RestBody::Json(request.as_bytes()), deadline)?;
        let result: SignResult = answer.parse()?;
        if self.kid.get() != Some(&result.kid) {
            return Err(Fault::faulty_answer("the answer is of another version of the key"));
        }
        let mut signature = [0; 64];
        let decoded =
            Base64UrlUnpadded::decode(&result.value, &mut signature).ok().filter(|bytes| bytes.len() == 64);
        let signature = decoded.and_then(|bytes| Signature::from_slice(bytes).ok());
        signature.ok_or_else(|| Fault::faulty_answer("the answer is not an ECDSA signature of 64 bytes"))
    }
}

/// Returns the public key of a key that can sign with ES256.
fn point(bundle: &KeyBundle) -> Result<Point, Fault> {
    let key = &bundle.key;
    if !matches!(key.kty.as_str(), "EC" | "EC-HSM")
        || key.crv != "P-256"
        || !key.key_ops.iter().any(|op| op == "sign")
    {
        let operations = key.key_ops.join(", ");
        return Err(Fault::wrong_key(format!(
            "expected a key of type EC on P-256 that can sign, found {} {} with key_ops {operations}",
            key.kty, key.crv
        )));
    }
    if bundle.attributes.enabled == Some(false) {
        return Err(Fault::disabled("the key is disabled"));
    }
    let mut point: Point = [4; POINT_LEN];
    let (x, y) = point.split_at_mut(33);
    let x = Base64UrlUnpadded::decode(&key.x, x.split_at_mut(1).1).map(<[u8]>::len);
    let y = Base64UrlUnpadded::decode(&key.y, y).map(<[u8]>::len);
    if (x, y) != (Ok(32), Ok(32)) {
        return Err(Fault::faulty_answer("the answer has no public key on P-256"));
    }
    Ok(point)
}
