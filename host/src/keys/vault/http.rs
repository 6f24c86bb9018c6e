//! One request to Vault and its reply.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use ureq::Agent;
use ureq::http::Request;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

use super::fault::VaultFault;
use super::settings::VaultSettings;
use crate::wiped_buffer::WipedBuffer;

/// Maximum length of a reply, in bytes. A request has no such limit: its message is that of a caller.
const MAX_REPLY: usize = 1 << 20;

/// Maximum delay that a server can require before the next attempt, in seconds. It keeps sums of times in range.
const MAX_RETRY_AFTER: u64 = 3600;

/// Maximum number of idle connections that are kept.
const MAX_IDLE: usize = 8;

/// The connections to one server.
#[derive(Debug)]
pub(super) struct Connections {
    agent: Agent,
    base: String,
    namespace: Option<String>,
}

/// A reply with its status.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// It may contain secrets.
    pub(super) body: Zeroizing<Vec<u8>>,
    /// How long to wait before the next attempt, if the server says so.
    pub(super) retry_after: Option<Duration>,
}

impl Connections {
    /// Reads the certificates of authorities. Nothing is sent.
    pub(super) fn new(settings: &VaultSettings) -> Result<Self, VaultFault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&authorities(settings)?))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // The token must not go to another server.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A variable of the environment must not lead secrets elsewhere.
            .proxy(None)
            .max_idle_connections(MAX_IDLE)
            .max_idle_connections_per_host(MAX_IDLE)
            .user_agent("taskseal")
            .build();
        let namespace = settings.namespace.clone();
        Ok(Self { agent: config.new_agent(), base: settings.address.clone(), namespace })
    }

    /// Sends a request, with a body if there is one, and returns the reply.
    pub(super) fn call(
        &self,
        path: &str,
        token: Option<&str>,
        body: Option<&dyn ErasedBody>,
        deadline: Instant,
    ) -> Result<Reply, VaultFault> {
        let mut request = Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(format!("{}/v1/{path}", self.base))
            .header("X-Vault-Request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token);
        }
        let body = body.map(ErasedBody::json).transpose()?;
        let malformed = |_| {
            VaultFault::Invalid(
                "a credential or the namespace has a character that no header can have".to_owned(),
            )
        };
        let limit = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let sent = match &body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json");
                let request = request.body(body.as_slice()).map_err(malformed)?;
                let request = self.agent.configure_request(request).timeout_global(Some(limit)).build();
                self.agent.run(request)
            }
            None => {
                let request = request.body(()).map_err(malformed)?;
                let request = self.agent.configure_request(request).timeout_global(Some(limit)).build();
                self.agent.run(request)
            }
        };
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        let retry_after =
            response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(|seconds: u64| Duration::from_secs(seconds.min(MAX_RETRY_AFTER)));
        let status = response.status().as_u16();
        let mut kept = WipedBuffer::with_capacity(4096);
        let mut source = response.body_mut().as_reader().take(MAX_REPLY as u64 + 1);
        kept.read_from(&mut source, MAX_REPLY + 1).map_err(|error| {
            VaultFault::Unavailable(format!("the reply of {} was cut off: {error}", self.base))
        })?;
        if kept.as_bytes().len() > MAX_REPLY {
            return Err(VaultFault::Invalid(format!(
                "the reply of {} is longer than {MAX_REPLY} bytes",
                self.base
            )));
        }
        Ok(Reply { status, body: kept.into_bytes(), retry_after })
    }

    fn unreachable(&self, error: &ureq::Error) -> VaultFault {
        let message = match error {
            ureq::Error::Timeout(_) => format!("{} did not answer in time", self.base),
            other => format!("{} cannot be reached: {other}", self.base),
        };
        VaultFault::Unavailable(message)
    }
}

/// The body of a request, which is serialised into memory that is wiped.
pub(super) trait ErasedBody {
    /// Returns the body as JSON.
    fn json(&self) -> Result<Zeroizing<Vec<u8>>, VaultFault>;
}

impl<T: Serialize> ErasedBody for T {
    fn json(&self) -> Result<Zeroizing<Vec<u8>>, VaultFault> {
        WipedBuffer::json(self)
            .map_err(|_| VaultFault::Invalid("the request cannot be serialised".to_owned()))
    }
}

/// Returns the certificates of the authorities that may certify the server.
fn authorities(settings: &VaultSettings) -> Result<Vec<Certificate<'static>>, VaultFault> {
    if settings.address.starts_with("http:") {
        return Ok(Vec::new());
    }
    let Some(file) = &settings.ca_file else {
        let system = rustls_native_certs::load_native_certs().certs;
        return Ok(system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect());
    };
    let fault = |message: &str| VaultFault::Invalid(format!("{}: {message}", file.display()));
    let pem = std::fs::read(file)
        .map_err(|error| VaultFault::Unavailable(format!("{}: {error}", file.display())))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|_| fault("not PEM"))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(fault("contains no certificate")) } else { Ok(found) }
}
