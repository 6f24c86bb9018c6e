//! Requests to the web server of a keyset.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use taskseal_core::keyset::signed::MAX_KEYSET;
use ureq::Agent;
use ureq::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::server::KeysetServer;

/// Maximum number of redirects, each of them to `https:`. In clear none is followed.
const MAX_REDIRECTS: u32 = 3;

/// Media type of a signed keyset.
const MEDIA_TYPE: &str = "application/cose";

impl KeysetServer {
    /// Fetches the keyset; `None` if the server has none. The request has no condition: one wrong answer with the tag of the right
    /// keyset would be believed until the process ends.
    pub(super) fn get(&self) -> Result<Option<Vec<u8>>, String> {
        let request =
            Request::builder().method(Method::GET).uri(self.url()).header(CACHE_CONTROL, "no-cache");
        let request = request.body(()).map_err(|error| error.to_string())?;
        let mut response = self.agent()?.run(request).map_err(|error| self.unreachable(&error))?;
        match response.status() {
            StatusCode::OK => body(&mut response).map(Some),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status => Err(unexpected(status)),
        }
    }

    /// Stores the keyset.
    pub(super) fn put(&self, keyset: &[u8]) -> Result<(), String> {
        let request = Request::builder().method(Method::PUT).uri(self.url());
        let request =
            request.header(CONTENT_TYPE, MEDIA_TYPE).body(keyset).map_err(|error| error.to_string())?;
        let response = self.agent()?.run(request).map_err(|error| self.unreachable(&error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                Err(format!("the server does not accept PUT: it answered {}", response.status()))
            }
            status => Err(unexpected(status)),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => format!("the server did not answer within {:?}", self.timeout()),
            ureq::Error::RequireHttpsOnly(_) => {
                "the server redirects to http:, which is not followed".to_owned()
            }
            error => format!("the server cannot be reached: {error}"),
        }
    }

    /// Creates the client of one request: certificates of authorities are read each time, because they are replaced.
    fn agent(&self) -> Result<Agent, String> {
        let is_https = self.url().starts_with("https:");
        let authorities = if is_https { authorities(self.ca_file())? } else { Vec::new() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&authorities))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(is_https)
            .http_status_as_error(false)
            .max_redirects(if is_https { MAX_REDIRECTS } else { 0 })
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(self.timeout()))
            .user_agent("taskseal");
        Ok(config.build().new_agent())
    }
}

/// Reads a keyset. One byte more than is allowed is read, so that a longer one is refused as too large.
fn body(response: &mut Response<ureq::Body>) -> Result<Vec<u8>, String> {
    let is_page = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
    });
    if is_page {
        return Err("the server returned a web page in place of a keyset".to_owned());
    }
    let mut keyset = Vec::new();
    let source = response.body_mut().as_reader();
    let read = source.take(MAX_KEYSET as u64 + 1).read_to_end(&mut keyset);
    read.map_err(|error| format!("the answer of the server was cut off: {error}"))?;
    Ok(keyset)
}

fn unexpected(status: StatusCode) -> String {
    let redirect = if status.is_redirection() { ", a redirect that is not followed" } else { "" };
    format!("the server answered {status}{redirect}")
}

/// Returns the certificates of the authorities that may certify the server.
fn authorities(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, String> {
    let Some(file) = file else {
        let system = rustls_native_certs::load_native_certs().certs;
        return Ok(system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect());
    };
    let fault = |message: &str| format!("{}: {message}", file.display());
    let pem = std::fs::read(file).map_err(|error| fault(&error.to_string()))?;
    let items = parse_pem(&pem).map(|item| item.map_err(|_| fault("not PEM")));
    let found = items.filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let found = found.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(fault("contains no certificate")) } else { Ok(found) }
}
