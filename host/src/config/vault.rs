//! The server of `vault:` keys: the section `[vault]`.

use std::time::Duration;

use serde::Deserialize;

use super::context::Context;
use super::value::Seconds;
use crate::file_error::FileError;
use crate::keys::{KeyRef, VaultAuth, VaultSettings, VaultStore, relative_to};
use crate::toml_file::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultSection {
    address: Spanned<String>,
    namespace: Option<String>,
    ca_file: Option<String>,
    timeout: Option<Seconds<1, 300>>,
    #[serde(default)]
    auth: Auth,
    mount: Option<Spanned<String>>,
    token: Option<Spanned<String>>,
    role_id: Option<Spanned<String>>,
    secret_id: Option<Spanned<String>>,
    role: Option<Spanned<String>>,
    jwt: Option<Spanned<String>>,
}

/// How to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Auth {
    #[default]
    Token,
    AppRole,
    Kubernetes,
}

/// Default time limit of one operation.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where Kubernetes puts the token of the service account.
const SERVICE_ACCOUNT: &str = "file:/var/run/secrets/kubernetes.io/serviceaccount/token";

impl VaultSection {
    /// Returns the store of the server. Nothing is sent yet.
    pub(super) fn store(self, context: &Context<'_>) -> Result<VaultStore, FileError> {
        let address = self.address.get_ref().trim_end_matches('/').to_owned();
        if let Some(message) = fault(&address) {
            return Err(context.fault(
                &self.address,
                message,
                "write https://HOST:PORT, or http://127.0.0.1:PORT",
            ));
        }
        Ok(VaultStore::new(VaultSettings {
            address,
            namespace: self.namespace.clone(),
            ca_file: self.ca_file.as_ref().map(|file| relative_to(context.file, file)),
            timeout: self.timeout.map_or(TIMEOUT, Duration::from),
            auth: self.auth(context)?,
            stores: context.stores.clone(),
        }))
    }

    fn auth(&self, context: &Context<'_>) -> Result<VaultAuth, FileError> {
        let fields = [
            ("mount", &self.mount, &[Auth::AppRole, Auth::Kubernetes][..]),
            ("token", &self.token, &[Auth::Token]),
            ("role_id", &self.role_id, &[Auth::AppRole]),
            ("secret_id", &self.secret_id, &[Auth::AppRole]),
            ("role", &self.role, &[Auth::Kubernetes]),
            ("jwt", &self.jwt, &[Auth::Kubernetes]),
        ];
        for (name, field, applies_to) in fields {
            if let Some(field) = field.as_ref().filter(|_| !applies_to.contains(&self.auth)) {
                let message = format!("`{name}` does not apply to this `auth`");
                return Err(context.fault(field, message, "remove it, or change `auth`"));
            }
        }
        let secret = |name: &str, field: &Option<Spanned<String>>| match field {
            Some(field) => context.secret(&format!("vault.{name}"), field),
            None => Err(context.fault(
                &self.address,
                format!("`{name}` is missing"),
                "add the URI of a source to [vault]",
            )),
        };
        let default = |uri: &str| -> Result<KeyRef, FileError> {
            let parsed = context.stores.parse(uri, context.file);
            parsed.map_err(|error| context.fault(&self.address, error.message, error.hint))
        };
        let mount = |default: &str| self.mount.as_ref().map_or(default, |mount| mount.get_ref()).to_owned();
        Ok(match self.auth {
            Auth::Token => VaultAuth::Token(match &self.token {
                None => default("env:VAULT_TOKEN")?,
                some => secret("token", some)?,
            }),
            Auth::AppRole => VaultAuth::AppRole {
                mount: mount("approle"),
                role_id: secret("role_id", &self.role_id)?,
                secret_id: secret("secret_id", &self.secret_id)?,
            },
            Auth::Kubernetes => VaultAuth::Kubernetes {
                mount: mount("kubernetes"),
                role: self.role.as_ref().map(|role| role.get_ref().clone()).ok_or_else(|| {
                    context.fault(
                        &self.address,
                        "`role` is missing",
                        "add the role of the service account to [vault]",
                    )
                })?,
                jwt: match &self.jwt {
                    None => default(SERVICE_ACCOUNT)?,
                    some => secret("jwt", some)?,
                },
            },
        })
    }
}

/// Returns what is wrong with an address. Without TLS, a token would cross the network in clear.
fn fault(address: &str) -> Option<&'static str> {
    let (scheme, authority) = address.split_once("://").unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    if !matches!(scheme, "https" | "http") || authority.is_empty() || !authority.bytes().all(allowed) {
        return Some("not the address of a server");
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let is_local = matches!(host, "127.0.0.1" | "localhost" | "[::1]");
    (scheme == "http" && !is_local).then_some("http: is for servers on this machine only")
}
