//! The settings of a connection to Redis.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    TlsCertificates,
};
use zeroize::Zeroizing;

use crate::broker::{ArchiveLimits, BrokerError};

/// The settings of a connection to Redis.
///
/// # Security
/// The URL and the password are wiped on drop and never printed. The broker keeps a copy for reconnecting while it exists.
#[derive(Clone)]
pub struct RedisConfig {
    url: Zeroizing<String>,
    username: Option<String>,
    password: Option<PasswordReader>,
    tls: Option<TlsReader>,
    prefix: String,
    response_timeout: Duration,
    archive: ArchiveLimits,
}

impl RedisConfig {
    /// Creates settings for `redis://host:port/db`, `rediss://host:port/db` (TLS) or `unix:///path?db=0` (also
    /// `redis+unix`, `valkey`, `valkeys`), user and password optional, with asynq's key prefix and a response timeout of 5 s.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Zeroizing::new(url.into()),
            username: None,
            password: None,
            tls: None,
            prefix: "asynq".to_owned(),
            response_timeout: Duration::from_secs(5),
            archive: ArchiveLimits::default(),
        }
    }

    /// Authenticates as `username` instead of the user in the URL.
    #[must_use]
    pub fn with_username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Authenticates with `password` instead of the one in the URL.
    #[must_use]
    pub fn with_password(mut self, password: Password) -> Self {
        self.password = Some(Arc::new(move || Ok(Password(password.0.clone()))));
        self
    }

    /// Authenticates with what `read` returns, which is called for each connection: the password may change while the
    /// broker is in use.
    #[must_use]
    pub fn with_password_reader(
        mut self,
        read: impl Fn() -> Result<Password, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.password = Some(Arc::new(read));
        self
    }

    /// Uses the certificates that `read` returns, which is called for each connection. For `rediss://` URLs only.
    #[must_use]
    pub fn with_tls_reader(
        mut self,
        read: impl Fn() -> Result<TlsIdentity, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        self.tls = Some(Arc::new(read));
        self
    }

    /// Starts every key with `prefix`, to separate several systems on one Redis. Tools of asynq read only `asynq`.
    ///
    /// # Errors
    /// [`InvalidPrefix`] if it is empty, longer than 64 bytes, or has a character with a meaning in a key or a pattern.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, InvalidPrefix> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'/');
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(allowed) {
            return Err(InvalidPrefix);
        }
        prefix.clone_into(&mut self.prefix);
        Ok(self)
    }

    /// Sets the response timeout of each call.
    #[must_use]
    pub const fn with_response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Sets the limits of the archive; by default those of asynq.
    #[must_use]
    pub const fn with_archive_limits(mut self, archive: ArchiveLimits) -> Self {
        self.archive = archive;
        self
    }

    pub(super) const fn archive(&self) -> ArchiveLimits {
        self.archive
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) const fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Returns a client for the next connection, with the password of this moment.
    pub(super) fn client(&self) -> Result<Client, BrokerError> {
        let info = self.connection_info()?;
        let client = match &self.tls {
            None => Client::open(info),
            Some(read) => {
                let TlsIdentity { roots, client } = read().map_err(BrokerError::Refused)?;
                let client_tls = client.map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key: client_key.to_vec(),
                });
                Client::build_with_tls(info, TlsCertificates { client_tls, root_cert: roots })
            }
        };
        client.map_err(|error| BrokerError::Refused(error.into()))
    }

    pub(crate) fn connection_info(&self) -> Result<ConnectionInfo, BrokerError> {
        let refused = |reason: &str| BrokerError::Refused(reason.into());
        let mut info =
            self.url.as_str().into_connection_info().map_err(|error| BrokerError::Refused(error.into()))?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
            return Err(refused("a redis URL must not disable the verification of certificates"));
        }
        // A RESP3 connection also carries announcements and the notice that it was closed.
        let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(read) = &self.password {
            let Password(password) = read().map_err(BrokerError::Refused)?;
            settings = settings.set_password(password.as_str());
        }
        info = info.set_redis_settings(settings);
        Ok(info)
    }
}

type PasswordReader = Arc<dyn Fn() -> Result<Password, Box<dyn Error + Send + Sync>> + Send + Sync>;

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("prefix", &self.prefix)
            .field("response_timeout", &self.response_timeout)
            .field("archive", &self.archive)
            .finish_non_exhaustive()
    }
}

type TlsReader = Arc<dyn Fn() -> Result<TlsIdentity, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// The certificates of TLS connections, as PEM.
#[derive(Default)]
#[expect(clippy::exhaustive_structs, reason = "a caller sets every field")]
pub struct TlsIdentity {
    /// Certificates of the authorities that may certify the server, instead of those of the system.
    pub roots: Option<Vec<u8>>,
    /// Certificate chain and private key of this client.
    pub client: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

/// A password: never printed, wiped on drop.
pub struct Password(Zeroizing<String>);

impl From<Zeroizing<String>> for Password {
    fn from(password: Zeroizing<String>) -> Self {
        Self(password)
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(Zeroizing::new(password))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}

/// A key prefix that is not safe in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key prefix must have 1 to 64 characters of A-Z a-z 0-9 . _ - : /")]
#[non_exhaustive]
pub struct InvalidPrefix;
