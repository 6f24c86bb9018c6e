//! Why a call to Vault failed, grouped by what to do about it.

use std::time::Duration;

use super::super::error::KeyError;
use super::super::reference::KeyRef;
use super::super::signer::SignerFault;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VaultFault {
    /// A later attempt may succeed.
    Unavailable(String),
    /// The credentials are refused, or do not allow the call.
    CredentialsRefused(String),
    /// The secret or key does not exist, or not in this version.
    NotFound(String),
    /// The server refused the call, or its answer is not as expected.
    Invalid(String),
    /// A credential of this process cannot be read.
    Credential(KeyError),
}

/// Retry delay of a server that does not give one.
const RETRY: Duration = Duration::from_millis(500);

impl VaultFault {
    /// Returns the error of a key.
    pub(super) fn of_key(self, key: &KeyRef) -> KeyError {
        match self {
            Self::Unavailable(message) => KeyError::unavailable(key, message)
                .hint("check that the server of [vault] is reachable and unsealed; the same command can be repeated"),
            Self::CredentialsRefused(message) => KeyError::credentials_refused(key, message)
                .hint("check the credentials in [vault], and that their policies allow this path"),
            Self::NotFound(message) => {
                KeyError::not_found(key, message).hint("check path, field and version of the URI")
            }
            Self::Invalid(message) => KeyError::invalid(key, message),
            Self::Credential(error) => {
                let of_key = KeyError::new(key, error.kind, error.to_string());
                match &error.hint {
                    Some(hint) => of_key.hint(hint),
                    None => of_key,
                }
            }
        }
    }

    /// Returns the fault of a signature or tag. Refused credentials can be replaced while the process runs.
    pub(super) fn of_signer(self) -> SignerFault {
        match self {
            Self::Unavailable(message) | Self::CredentialsRefused(message) => {
                SignerFault::transient(message, RETRY)
            }
            Self::Credential(error) => SignerFault::transient(error.to_string(), RETRY),
            Self::NotFound(message) | Self::Invalid(message) => SignerFault::new(message),
        }
    }
}
