//! Google Cloud: keys in Cloud KMS, and secrets in Secret Manager.
//!
//! * `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N`: signs;
//! * `gcpsm://projects/P/secrets/S/versions/V`: the content of a key file, or a password. `V` is a number or `latest`.

mod credentials;
mod kms;
mod secrets;

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use self::credentials::SCOPE;
pub use self::credentials::{GoogleCredentials, InvalidGoogleCredentials};
pub use self::kms::CloudKms;
pub use self::secrets::SecretManager;
use crate::access_token::AccessTokens;
use crate::fault::Fault;
use crate::rest::{RestAnswer, RestBody, RestClient};
use crate::timeouts::{Deadline, Timeouts};

/// Keys in Google Cloud KMS: `gcpkms:`.
pub type GoogleKms = GoogleService<CloudKms>;

/// Secrets in Google Secret Manager: `gcpsm:`.
pub type GoogleSecrets = GoogleService<SecretManager>;

/// A service of Google Cloud: an HTTP client with credentials, opened by the first call and shared by all keys of a store.
#[derive(Clone, Debug)]
pub struct GoogleService<S> {
    /// URL of the service, without a slash at its end.
    endpoint: String,
    credentials: Option<GoogleCredentials>,
    connection: Arc<OnceLock<Connection>>,
    timeouts: Timeouts,
    service: PhantomData<S>,
}

/// Which service a [`GoogleService`] is.
pub trait Service {
    /// URL of the service.
    const ENDPOINT: &'static str;
}

#[derive(Debug)]
struct Connection {
    rest: RestClient,
    credentials: GoogleCredentials,
    tokens: AccessTokens,
}

#[derive(Deserialize)]
struct GoogleError {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

impl<S: Service> Default for GoogleService<S> {
    fn default() -> Self {
        Self {
            endpoint: S::ENDPOINT.to_owned(),
            credentials: None,
            connection: Arc::default(),
            timeouts: Timeouts::default(),
            service: PhantomData,
        }
    }
}

impl<S: Service> GoogleService<S> {
    /// Creates a store with the credentials of the environment, as [`GoogleCredentials::from_environment`] finds them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the credentials.
    #[must_use]
    pub fn credentials(self, credentials: GoogleCredentials) -> Self {
        Self { credentials: Some(credentials), connection: Arc::default(), ..self }
    }

    /// Sets the URL of the service.
    #[must_use]
    pub fn endpoint(self, url: &str) -> Self {
        Self { endpoint: url.trim_end_matches('/').to_owned(), ..self }
    }

    /// Sets the time limits of calls.
    #[must_use]
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }
}

impl<S> GoogleService<S> {
    fn connection(&self) -> Result<&Connection, Fault> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let credentials = match &self.credentials {
            Some(credentials) => credentials.clone(),
            None => GoogleCredentials::from_environment()
                .map_err(|error| Fault::credentials(error.to_string()))?,
        };
        let connection = Connection { rest: RestClient::new(), credentials, tokens: AccessTokens::default() };
        Ok(self.connection.get_or_init(|| connection))
    }

    fn call(&self, path: &str, body: &RestBody<'_>, deadline: &Deadline) -> Result<RestAnswer, Fault> {
        let Connection { rest, credentials, tokens } = self.connection()?;
        let url = format!("{}/v1/{path}", self.endpoint);
        let answer = tokens.with_token(
            SCOPE,
            || credentials.request(rest, deadline),
            |bearer| rest.call(&url, &[("authorization", bearer)], body, deadline.next_attempt()),
        )?;
        if answer.is_success() { Ok(answer) } else { Err(fault(&answer)) }
    }
}

/// Returns the fault of an error of a Google API.
fn fault(answer: &RestAnswer) -> Fault {
    let Some(GoogleError { error }) = answer.parse_error() else { return answer.fault("") };
    let message = format!("{}: {}", error.status, error.message);
    match error.status.as_str() {
        // A version that is disabled or destroyed.
        "FAILED_PRECONDITION" => Fault::disabled(message),
        _ => answer.fault(&message),
    }
}

/// Returns whether a path consists of `names`, each followed by one value.
fn is_resource(path: &str, names: &[&str]) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    let (pairs, rest) = segments.as_chunks::<2>();
    let same = |([name, value], expected): (&[&str; 2], &&str)| name == expected && is_name(value);
    rest.is_empty() && pairs.len() == names.len() && pairs.iter().zip(names).all(same)
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    !text.is_empty() && text.bytes().all(allowed)
}

/// Returns the CRC32C (RFC 3720 appendix B.4), by which Google APIs detect damaged answers.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn path_of_another_resource_is_refused() {
        let names = ["projects", "secrets", "versions"];
        assert!(is_resource("projects/p/secrets/s/versions/latest", &names));
        for path in [
            "projects/p/secrets/s",
            "projects/p/secrets/s/versions",
            "projects/p/keys/s/versions/1",
            "projects//secrets/s/versions/1",
        ] {
            assert!(!is_resource(path, &names), "{path}");
        }
    }
}
