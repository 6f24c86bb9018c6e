//! Credentials of Google Cloud: the key of a service account, or the service account of the machine.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use pem_rfc7468::decode_vec;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;
use taskseal::keys::{KeyRef, KeyStores};
use zeroize::Zeroizing;

use crate::access_token::form;
use crate::fault::Fault;
use crate::rest::{RestAnswer, RestBody, RestClient};
use crate::timeouts::Deadline;
use crate::uri::is_confidential;

/// How this process authenticates to Google Cloud.
#[derive(Clone)]
pub struct GoogleCredentials(Kind);

#[derive(Clone)]
enum Kind {
    ServiceAccount(Arc<ServiceAccount>),
    Metadata { host: String },
}

struct ServiceAccount {
    email: String,
    key_id: String,
    token_uri: String,
    key: RsaKeyPair,
}

/// Why credentials cannot be used. It shows no part of them.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidGoogleCredentials(String);

/// The key file of a service account, as `gcloud iam service-accounts keys create` writes it.
#[derive(Deserialize)]
struct KeyFile {
    r#type: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    token_uri: String,
}

impl fmt::Debug for GoogleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::ServiceAccount(account) => account.email.as_str(),
            Kind::Metadata { .. } => "metadata server",
        };
        f.debug_tuple("GoogleCredentials").field(&kind).finish()
    }
}

pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const METADATA: &str = "http://metadata.google.internal";

/// Lifetime of an assertion, in seconds.
const ASSERTION_LIFETIME: u64 = 600;

impl GoogleCredentials {
    /// Creates credentials from the JSON key file of a service account.
    ///
    /// # Errors
    /// [`InvalidGoogleCredentials`] if it is not one, or its key is not an RSA key.
    pub fn service_account(json: &[u8]) -> Result<Self, InvalidGoogleCredentials> {
        let invalid = |message: &str| InvalidGoogleCredentials(message.to_owned());
        let file: KeyFile = serde_json::from_slice(json)
            .map_err(|_| invalid("the credentials are not the JSON key file of a service account"))?;
        let pem = Zeroizing::new(file.private_key);
        if file.r#type != "service_account" {
            return Err(invalid("the credentials are not of type service_account"));
        }
        if !is_confidential(&file.token_uri) {
            return Err(invalid("`token_uri` in the key file must be a URL of HTTPS"));
        }
        let der = decode_vec(pem.as_bytes()).map(|(_, der)| Zeroizing::new(der));
        let der = der.map_err(|_| invalid("the private key of the service account is not in PEM"))?;
        let key = RsaKeyPair::from_pkcs8(&der);
        let key =
            key.map_err(|_| invalid("the private key of the service account is not an RSA key in PKCS #8"))?;
        let (email, key_id, token_uri) = (file.client_email, file.private_key_id, file.token_uri);
        Ok(Self(Kind::ServiceAccount(Arc::new(ServiceAccount { email, key_id, token_uri, key }))))
    }

    /// Reads the JSON key file of a service account.
    ///
    /// # Errors
    /// [`InvalidGoogleCredentials`] if it cannot be read, is accessible to other users, or is not one.
    pub fn service_account_file(path: &Path) -> Result<Self, InvalidGoogleCredentials> {
        let json = KeyStores::default().fetch(&KeyRef::from(path));
        let json = json.map_err(|error| InvalidGoogleCredentials(error.to_string()))?;
        Self::service_account(json.content())
    }

    /// Creates the credentials of the service account of a virtual machine, from the metadata server at `url`.
    #[must_use]
    pub fn metadata(url: &str) -> Self {
        Self(Kind::Metadata { host: url.trim_end_matches('/').to_owned() })
    }

    /// Reads the key file that `GOOGLE_APPLICATION_CREDENTIALS` names; without it uses the metadata server of the machine, or
    /// the one that `GCE_METADATA_HOST` names.
    ///
    /// # Errors
    /// [`InvalidGoogleCredentials`] if the file cannot be read or used.
    pub fn from_environment() -> Result<Self, InvalidGoogleCredentials> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(path) = variable("GOOGLE_APPLICATION_CREDENTIALS") {
            return Self::service_account_file(Path::new(&path)).map_err(
                |InvalidGoogleCredentials(error)| {
                    InvalidGoogleCredentials(format!("GOOGLE_APPLICATION_CREDENTIALS: {error}"))
                },
            );
        }
        let host = variable("GCE_METADATA_HOST").and_then(|host| host.into_string().ok());
        Ok(Self::metadata(&host.map_or_else(|| METADATA.to_owned(), |host| format!("http://{host}"))))
    }

    /// Requests an access token.
    pub(super) fn request(&self, rest: &RestClient, deadline: &Deadline) -> Result<RestAnswer, Fault> {
        let limit = deadline.next_attempt();
        match &self.0 {
            Kind::ServiceAccount(account) => {
                let assertion = account.assertion()?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                let body = form(&[("grant_type", grant), ("assertion", &assertion)]);
                rest.call(&account.token_uri, &[], &RestBody::Form(&body), limit)
            }
            Kind::Metadata { host } => {
                let url = format!("{host}/computeMetadata/v1/instance/service-accounts/default/token");
                rest.call(&url, &[("metadata-flavor", "Google")], &RestBody::None, limit)
            }
        }
    }
}

impl ServiceAccount {
    /// Returns a signed JWT (RFC 7523) that requests an access token.
    fn assertion(&self) -> Result<Zeroizing<String>, Fault> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + ASSERTION_LIFETIME,
        });
        let part = |value: &serde_json::Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| Fault::refused("cannot sign with the key of the service account"))?;
        Ok(Zeroizing::new(format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))))
    }
}
