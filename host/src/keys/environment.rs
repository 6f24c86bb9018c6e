//! Secrets in environment variables: `env:NAME`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Mutex;

use zeroize::Zeroizing;

use super::error::KeyError;
use super::reference::{InvalidKeyRef, KeyRef};
use super::secret_source::{FetchedSecret, SecretSource};
use crate::lock::lock;

#[cfg(test)]
mod tests;

/// The scheme of secrets in environment variables.
pub(crate) const ENVIRONMENT: &str = "env";

/// The source of secrets in environment variables.
///
/// A variable cannot be removed from the memory in which the kernel has put the environment of this process: with the same user id,
/// every process that may trace this one reads it in `/proc/PID/environ`.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnvironmentSource;

impl SecretSource for EnvironmentSource {
    fn scheme(&self) -> &'static str {
        ENVIRONMENT
    }

    fn parse(&self, uri: &str, _: &Path) -> Result<KeyRef, InvalidKeyRef> {
        let name = uri.split_once(':').map_or("", |(_, name)| name);
        if !is_name(name) {
            return Err(InvalidKeyRef::new(
                "not the name of an environment variable",
                "write `env:NAME` with a NAME of `A-Z a-z 0-9 _`; a secret is never written into the configuration",
            ));
        }
        Ok(KeyRef::new(ENVIRONMENT, name, format!("{ENVIRONMENT}:{name}")))
    }

    fn fetch(&self, secret: &KeyRef) -> Result<FetchedSecret, KeyError> {
        fetch(secret, |name| std::env::var_os(name))
    }
}

fn fetch(secret: &KeyRef, variable: impl Fn(&str) -> Option<OsString>) -> Result<FetchedSecret, KeyError> {
    let name = secret.address().to_str().unwrap_or_default();
    let value = Zeroizing::new(variable(name).unwrap_or_default().into_vec());
    if value.is_empty() {
        return Err(KeyError::not_found(secret, format!("the environment variable {name} is not set")).hint(
            format!("set {name} to the content of a key file or to base64 of it, or use a file or `cred:`"),
        ));
    }
    warn_once(name);
    Ok(FetchedSecret::new(value))
}

/// Variables that a warning was logged for.
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn warn_once(name: &str) {
    if lock(&WARNED).insert(name.to_owned()) {
        tracing::warn!(
            event = "secret-in-environment",
            name,
            "the environment variable {name} contains a secret: other processes of this user can read it; use a file or `cred:`"
        );
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=255).contains(&name.len())
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(allowed)
}
