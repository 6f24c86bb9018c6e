//! The broker of the configuration: a file on this machine, or Redis. The configuration names a password, but does not
//! contain it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::context::Context;
use super::password::PasswordSource;
use super::value::{Count, Seconds, YEAR};
use crate::broker::ArchiveLimits;
use crate::file_error::FileError;
use crate::file_security;
use crate::keys::relative_to;
use crate::toml_file::Spanned;

mod address;

/// The broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerConfig {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// Redis.
    Redis(RedisSettings),
}

/// Connection to Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisSettings {
    /// `redis://`, `rediss://` or `unix://`, without a password.
    pub url: String,
    /// Prefix of every key.
    pub prefix: String,
    /// Source of the password; `None` if none is needed.
    pub password: Option<PasswordSource>,
    /// Files for TLS.
    pub tls: TlsFiles,
}

/// Files with the certificates of TLS connections, as PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// Certificates of the authorities that may certify the server; `None` for those of the system.
    pub roots: Option<PathBuf>,
    /// Certificate chain of this client, and its private key: a file of secrets, or `cred:NAME`.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Returns the roots, and the chain and the key of the client.
    ///
    /// # Errors
    /// [`FileError`] if a file cannot be read, or the key is accessible to others.
    pub(super) fn read(&self) -> Result<TlsContent, FileError> {
        let public =
            |path: &PathBuf| std::fs::read(path).map_err(|error| FileError::new(path, error.to_string()));
        let roots = self.roots.as_ref().map(public).transpose()?;
        let client = match &self.client {
            None => None,
            Some((chain, key)) => {
                let pem = file_security::read(key)?;
                Some((public(chain)?, pem))
            }
        };
        Ok((roots, client))
    }
}

type TlsContent = (Option<Vec<u8>>, Option<(Vec<u8>, Zeroizing<Vec<u8>>)>);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BrokerSection {
    url: Option<Spanned<String>>,
    prefix: Option<Spanned<String>>,
    password: Option<Spanned<String>>,
    password_file: Option<Spanned<String>>,
    password_env: Option<Spanned<String>>,
    ca_file: Option<Spanned<String>>,
    cert_file: Option<Spanned<String>>,
    key_file: Option<Spanned<String>>,
    archive_max_tasks: Option<Count<1, 10_000_000>>,
    archive_max_age: Option<Seconds<1, { 10 * YEAR }>>,
}

impl BrokerSection {
    /// Returns the limits of the archive.
    pub(super) fn archive(&self) -> ArchiveLimits {
        let default = ArchiveLimits::default();
        ArchiveLimits {
            tasks: self.archive_max_tasks.map_or(default.tasks, |count| count.0),
            age: self.archive_max_age.map_or(default.age, Duration::from),
        }
    }

    pub(super) fn check(self, context: &Context<'_>) -> Result<BrokerConfig, FileError> {
        let redis_only = [
            &self.prefix,
            &self.password,
            &self.password_file,
            &self.password_env,
            &self.ca_file,
            &self.cert_file,
            &self.key_file,
        ];
        let url = match &self.url {
            Some(url) if address::is_redis(url.get_ref()) => url,
            embedded => {
                if let Some(field) = redis_only.into_iter().flatten().next() {
                    let message = "applies to Redis only";
                    return Err(context.fault(field, message, "remove it, or set `url` to a redis:// URL"));
                }
                return match embedded.as_ref().map(|url| (url, url.get_ref().strip_prefix("embedded:"))) {
                    // In a separate folder, so that write access to the queue does not give access to the ledger.
                    None => Ok(BrokerConfig::Sqlite(relative_to(context.file, "queue/queue.db"))),
                    Some((_, Some(path))) if !path.is_empty() => {
                        Ok(BrokerConfig::Sqlite(relative_to(context.file, path)))
                    }
                    Some((url, _)) => Err(context.fault(
                        url,
                        "not a queue",
                        format!("{}, or embedded:PATH", address::FORMS),
                    )),
                };
            }
        };
        if address::has_password(url.get_ref()) {
            // The error shows the position, not the value.
            return Err(context.fault(
                url,
                "contains a password, and this file is not secret",
                "put it into a file of mode 0600 and name that with `password_file`, or use `password_env` or `password`",
            ));
        }
        if let Some((message, hint)) = address::fault(url.get_ref()) {
            return Err(context.fault(url, message, hint));
        }
        let prefix = match self.prefix {
            None => "asynq".to_owned(),
            Some(prefix) if is_prefix(prefix.get_ref()) => prefix.into_inner(),
            Some(prefix) => {
                return Err(context.fault(&prefix, "not a key prefix", "1 to 64 of A-Z a-z 0-9 . _ - : /"));
            }
        };
        let password =
            PasswordSource::check(context, [self.password, self.password_file, self.password_env])?;
        let is_tls = address::is_tls(url.get_ref());
        let tls_only = [&self.ca_file, &self.cert_file, &self.key_file];
        if let Some(field) = tls_only.into_iter().flatten().next().filter(|_| !is_tls) {
            return Err(context.fault(field, "applies to TLS only", "set `url` to a rediss:// URL"));
        }
        let path = |file: Spanned<String>| relative_to(context.file, file.get_ref());
        let client = match (self.cert_file, self.key_file) {
            (None, None) => None,
            (Some(chain), Some(key)) => {
                Some((path(chain), file_security::secret_path(context.file, key.get_ref())))
            }
            (Some(one), None) | (None, Some(one)) => {
                let message = "`cert_file` and `key_file` belong together";
                return Err(context.fault(&one, message, "set both, or remove it"));
            }
        };
        let tls = TlsFiles { roots: self.ca_file.map(path), client };
        Ok(BrokerConfig::Redis(RedisSettings { url: url.get_ref().clone(), prefix, password, tls }))
    }
}

fn is_prefix(prefix: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'/');
    (1..=64).contains(&prefix.len()) && prefix.bytes().all(allowed)
}
