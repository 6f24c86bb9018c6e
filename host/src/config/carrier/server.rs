//! A web server that has the signed keyset. What it returns is verified like every keyset.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::keys::{KeyringError, KeysetError};

/// Default time limit of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A web server that has the signed keyset.
///
/// # Security
/// The signature of the keyset protects its content, whatever the server and the network do. TLS keeps others from reading which keys
/// there are, and from withholding newer keysets unnoticed.
#[derive(Clone)]
pub struct KeysetServer {
    url: String,
    /// Certificates of the authorities that may certify it; `None` for those of the system.
    ca_file: Option<PathBuf>,
    /// Time limit of one request, with its connection and its answer.
    timeout: Duration,
}

/// Why a URL is not that of a keyset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidServer {
    /// It is not an `https:` or `http:` URL.
    NotAUrl,
    /// It has a user or a password.
    Credentials,
    /// It is an `http:` URL of another machine, and `keyset_allow_http` is not set.
    PlainHttp,
}

impl InvalidServer {
    /// Returns what is wrong, and what to do.
    #[must_use]
    pub const fn message(self) -> (&'static str, &'static str) {
        match self {
            Self::NotAUrl => (
                "not the URL of a keyset",
                "write \"https://HOST/PATH\", or \"broker:\" for the Redis of [broker]",
            ),
            Self::Credentials => (
                "a URL of a keyset has no user and no password",
                "let the server deliver the keyset to every client: it is signed and public",
            ),
            Self::PlainHttp => (
                "http: is for servers on this machine",
                "write https:, or set `keyset_allow_http = true` in [keys]: then the network can read and withhold keysets",
            ),
        }
    }
}

impl KeysetServer {
    /// Creates the settings of a server. Nothing is sent. `allow_http` allows `http:` for servers of other machines.
    ///
    /// # Errors
    /// [`InvalidServer`].
    pub fn new(url: &str, ca_file: Option<&Path>, allow_http: bool) -> Result<Self, InvalidServer> {
        let (scheme, rest) = url.split_once("://").ok_or(InvalidServer::NotAUrl)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if !matches!(scheme, "https" | "http") || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidServer::NotAUrl);
        }
        if authority.contains('@') {
            return Err(InvalidServer::Credentials);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if authority.is_empty() || rest.contains('#') || !authority.bytes().all(allowed) {
            return Err(InvalidServer::NotAUrl);
        }
        let port =
            authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let is_local =
            matches!(port.map_or(authority, |(host, _)| host), "127.0.0.1" | "localhost" | "[::1]");
        if scheme == "http" && !is_local && !allow_http {
            return Err(InvalidServer::PlainHttp);
        }
        Ok(Self { url: url.to_owned(), ca_file: ca_file.map(Path::to_owned), timeout: TIMEOUT })
    }

    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets the time limit of one request. 10 seconds by default.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    #[cfg(feature = "http")]
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    #[cfg(feature = "http")]
    pub(super) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Returns the keyset of the server, which is not verified; `None` if there is none yet. Blocks for at most ten seconds.
    ///
    /// # Errors
    /// [`KeyringError::Keyset`] if the server cannot be reached, or returns something else.
    pub fn published(&self) -> Result<Option<Vec<u8>>, KeyringError> {
        let hint = "check the URL, and that the server is available";
        self.get().map_err(|message| KeysetError::carrier_unavailable(&self.url, &message, hint).into())
    }

    /// Stores a keyset with the method PUT, and reads it back. Blocks for at most twenty seconds. The caller has verified it.
    ///
    /// # Errors
    /// [`KeyringError::Keyset`] if the server does not store it.
    pub fn publish(&self, keyset: &[u8]) -> Result<(), KeyringError> {
        let hint = "copy the signed keyset to the place that this server delivers under the URL";
        let stored = self.put(keyset).and_then(|()| match self.get()? {
            Some(stored) if stored == keyset => Ok(()),
            _ => Err("the server accepted the keyset, and still returns another one".to_owned()),
        });
        stored.map_err(|message| KeysetError::carrier_unavailable(&self.url, &message, hint).into())
    }

    #[cfg(not(feature = "http"))]
    pub(super) fn get(&self) -> Result<Option<Vec<u8>>, String> {
        Err(NOT_BUILT.to_owned())
    }

    #[cfg(not(feature = "http"))]
    fn put(&self, _: &[u8]) -> Result<(), String> {
        Err(NOT_BUILT.to_owned())
    }
}

#[cfg(not(feature = "http"))]
const NOT_BUILT: &str = "this program was built without HTTP: build it with the feature `http`";

impl fmt::Debug for KeysetServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysetServer")
            .field("url", &self.url)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_another_scheme_with_credentials_or_in_clear_is_refused() {
        let refused = |url| KeysetServer::new(url, None, false).unwrap_err();
        for url in [
            "",
            "https://",
            "ftp://host/k",
            "https:/host/k",
            "https://ho st/k",
            "https://host/k#x",
            "https://h\u{f6}st/k",
        ] {
            assert_eq!(refused(url), InvalidServer::NotAUrl, "{url}");
        }
        for url in ["https://user@host/k", "http://user:pass@127.0.0.1/k"] {
            assert_eq!(refused(url), InvalidServer::Credentials, "{url}");
        }
        for url in [
            "http://host/k",
            "http://127.0.0.1.example/k",
            "http://localhost.example:80/k",
            "http://[::2]:80/k",
        ] {
            assert_eq!(refused(url), InvalidServer::PlainHttp, "{url}");
            assert!(KeysetServer::new(url, None, true).is_ok(), "{url}");
        }
        for url in [
            "https://host/k",
            "https://host:8443/a/k?x=y",
            "http://127.0.0.1:80/k",
            "http://[::1]/k",
            "http://localhost/k",
        ] {
            assert_eq!(KeysetServer::new(url, None, false).unwrap().url(), url);
        }
    }
}
