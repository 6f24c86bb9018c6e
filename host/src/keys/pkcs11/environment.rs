//! The environment variables that complete URIs of tokens: the library and the source of the PIN.

use std::ffi::OsString;

use taskseal_hsm::{Error, PinSource, TokenUri};

/// Name of the variable with the path of the PKCS#11 library, for URIs without a `module-path`.
pub const MODULE_VARIABLE: &str = "TASKSEAL_PKCS11_MODULE";

/// Name of the variable with the source of the PIN, for URIs without a `pin-source`: `file:PATH`, `env:NAME`, `fd:N` or
/// `cred:NAME`.
pub const PIN_SOURCE_VARIABLE: &str = "TASKSEAL_PKCS11_PIN_SOURCE";

/// Returns the URI with its own library and PIN source, or else those of the environment.
///
/// # Errors
/// [`Error::Config`] if neither the URI nor the environment names a library, or the environment has an invalid PIN source.
pub fn with_environment(uri: &TokenUri) -> Result<TokenUri, Error> {
    let mut uri = uri.clone();
    if uri.module_path().is_none() {
        let path = variable(MODULE_VARIABLE).ok_or(Error::Config(
            "no PKCS#11 library: add `module-path` to the URI or set TASKSEAL_PKCS11_MODULE",
        ))?;
        uri = uri.with_module_path(path);
    }
    if uri.pin_source().is_none()
        && let Some(source) = variable(PIN_SOURCE_VARIABLE)
    {
        let source = source.to_str().and_then(|source| source.parse::<PinSource>().ok());
        uri = uri.with_pin_source(
            source.ok_or(Error::Config("TASKSEAL_PKCS11_PIN_SOURCE is none of file:, env:, fd:, cred:"))?,
        );
    }
    Ok(uri)
}

/// Reads a variable. An empty one counts as not set.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
