//! Calls of JSON services over HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};
use zeroize::Zeroizing;

use crate::fault::{Fault, retry_after};

/// Maximum length of an answer, in bytes: that of the longest secret, with its encoding.
const MAX_ANSWER: u64 = 256 * 1024;

/// A client that keeps connections. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct RestClient(Agent);

/// The body of a request.
#[derive(Debug)]
pub(crate) enum RestBody<'b> {
    /// A request without a body: GET.
    None,
    /// POST of JSON.
    Json(&'b [u8]),
    /// POST of a form, which may contain credentials.
    Form(&'b [u8]),
}

/// An answer, whatever its status is.
pub(crate) struct RestAnswer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
}

impl RestClient {
    /// Creates a client that trusts the certificates of the system. It follows no redirects: they could lead credentials elsewhere.
    pub(crate) fn new() -> Self {
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = roots.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        Self(Agent::new_with_config(config))
    }

    /// Makes one request.
    pub(crate) fn call(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &RestBody<'_>,
        limit: Duration,
    ) -> Result<RestAnswer, Fault> {
        // What is not encrypted is reached directly: metadata services and emulators.
        let proxy = self.0.config().proxy().cloned().filter(|_| url.starts_with("https:"));
        let answer = match body {
            RestBody::None => {
                let request = headers
                    .iter()
                    .fold(self.0.get(url), |request, (name, value)| request.header(*name, *value));
                request.config().timeout_global(Some(limit)).proxy(proxy).build().call()
            }
            RestBody::Json(bytes) | RestBody::Form(bytes) => {
                let media_type = match body {
                    RestBody::Json(_) => "application/json",
                    _ => "application/x-www-form-urlencoded",
                };
                let request = self.0.post(url).header("content-type", media_type);
                let request =
                    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
                request.config().timeout_global(Some(limit)).proxy(proxy).build().send(*bytes)
            }
        };
        let answer = answer.map_err(|error| fault(&error, limit))?;
        let status = answer.status().as_u16();
        let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after(header);
        let body = read(answer.into_body()).map_err(|error| fault(&error, limit))?;
        Ok(RestAnswer { status, retry_after, body })
    }
}

fn read(mut body: Body) -> Result<Zeroizing<Vec<u8>>, ureq::Error> {
    body.with_config().limit(MAX_ANSWER).read_to_vec().map(Zeroizing::new)
}

fn fault(error: &ureq::Error, limit: Duration) -> Fault {
    match error {
        ureq::Error::Timeout(Timeout::Global) => Fault::timed_out(limit),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => Fault::refused("the URL of the service is invalid"),
        ureq::Error::BodyExceedsLimit(_) => Fault::faulty_answer("the answer is too long"),
        error => Fault::unreachable(error.to_string()),
    }
}

impl RestAnswer {
    /// Creates an answer that no service has sent.
    #[cfg(test)]
    pub(crate) fn new(status: u16, body: Vec<u8>) -> Self {
        Self { status, retry_after: None, body: Zeroizing::new(body) }
    }

    /// Returns the content of a successful answer.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        // The error of the parser may show a part of a secret.
        serde_json::from_slice(&self.body)
            .map_err(|_| Fault::faulty_answer("the answer is not of the API of the service"))
    }

    /// Returns the content of an error, if it has the form of the service.
    pub(crate) fn parse_error<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) const fn is_success(&self) -> bool {
        self.status == 200
    }

    /// Returns the fault of a status, with the message of the service.
    pub(crate) fn fault(&self, message: &str) -> Fault {
        let message =
            if message.is_empty() { format!("HTTP status {}", self.status) } else { message.to_owned() };
        match self.status {
            401 | 403 => Fault::credentials(message),
            404 => Fault::not_found(message),
            429 => Fault::throttled(message, self.retry_after),
            408 | 500.. => Fault::unreachable(message),
            _ => Fault::refused(message),
        }
    }
}
