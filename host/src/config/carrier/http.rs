//! Requests to the web server of a keyset.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use taskseal_core::keyset::signed::MAX_KEYSET;
use ureq::Agent;
use ureq::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::server::KeysetServer;
use crate::lock::lock;

/// Maximum number of redirects, each of them to `https:`. In clear none is followed.
const MAX_REDIRECTS: u32 = 3;

/// Media type of a signed keyset.
const MEDIA_TYPE: &str = "application/cose";

/// A keyset with the tag under which the server knows it.
#[derive(Debug)]
pub(super) struct Tagged {
    tag: String,
    keyset: Vec<u8>,
}

impl KeysetServer {
    /// Fetches the keyset; `None` if the server has none.
    pub(super) fn get(&self) -> Result<Option<Vec<u8>>, String> {
        let mut last = lock(&self.last);
        let mut request = Request::builder().method(Method::GET).uri(self.url());
        if let Some(Tagged { tag, .. }) = &*last {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(()).map_err(|error| error.to_string())?;
        let mut response = self.agent()?.run(request).map_err(|error| self.unreachable(&error))?;
        match (response.status(), &*last) {
            (StatusCode::OK, _) => {}
            (StatusCode::NOT_MODIFIED, Some(known)) => return Ok(Some(known.keyset.clone())),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => return Ok(None),
            (status, _) => return Err(unexpected(status)),
        }
        let keyset = body(&mut response)?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        *last = tag.map(|tag| Tagged { tag: tag.to_owned(), keyset: keyset.clone() });
        Ok(Some(keyset))
    }

    /// Stores the keyset.
    pub(super) fn put(&self, keyset: &[u8]) -> Result<(), String> {
        let request = Request::builder().method(Method::PUT).uri(self.url());
        let request =
            request.header(CONTENT_TYPE, MEDIA_TYPE).body(keyset).map_err(|error| error.to_string())?;
        let response = self.agent()?.run(request).map_err(|error| self.unreachable(&error))?;
        // What it returned before is not what it has now.
        *lock(&self.last) = None;
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
