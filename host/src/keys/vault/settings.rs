//! The server, and how this process logs in to it.

use std::path::PathBuf;
use std::time::Duration;

use super::super::reference::KeyRef;
use super::super::registry::KeyStores;

/// How Vault is reached.
#[derive(Clone, Debug)]
pub(crate) struct VaultSettings {
    /// `https://HOST:PORT`, or `http://` to this machine, without a path.
    pub(crate) address: String,
    /// Namespace of the mounts.
    pub(crate) namespace: Option<String>,
    /// Certificates of the authorities that may certify the server; `None` for those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// Time limit of one operation, with its retries.
    pub(crate) timeout: Duration,
    pub(crate) auth: VaultAuth,
    /// The stores that the credentials come from.
    pub(crate) stores: KeyStores,
}

/// How this process logs in. Each credential is fetched again for each login.
#[derive(Clone, Debug)]
pub(crate) enum VaultAuth {
    /// A token that was issued for this process.
    Token(KeyRef),
    /// The auth method `approle`.
    AppRole {
        /// Path of the auth method, without `auth/`.
        mount: String,
        role_id: KeyRef,
        secret_id: KeyRef,
    },
    /// The auth method `kubernetes`.
    Kubernetes {
        /// Path of the auth method, without `auth/`.
        mount: String,
        role: String,
        /// The token of the service account.
        jwt: KeyRef,
    },
}
