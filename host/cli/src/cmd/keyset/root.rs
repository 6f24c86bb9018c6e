//! Root keys: in a file or a token.

use std::path::Path;
use std::sync::Arc;

use taskseal::keys::{Algorithm, KeyHandle, KeyUsage, RemoteSigner, SecretKey, SignerFault};
use taskseal_core::keys::SigningKey;
use taskseal_core::{KeyId, Signer};
use taskseal_hsm::{KeyUri, Usage};

use crate::failure::Failure;
use crate::key_stores;
use crate::key_summary::{KeySummary, open_token, token_failure};
use crate::ui::Ui;

/// A root key that signs keysets.
pub(super) enum RootKey {
    File(Box<SigningKey>),
    Remote(Arc<dyn RemoteSigner>),
}

impl RootKey {
    /// Opens the root key in a file or a token.
    pub(super) fn open(location: &str) -> Result<Self, Failure> {
        let stores = key_stores::all();
        // A relative path starts in the current folder.
        let key = stores
            .parse(location, Path::new(""))
            .map_err(|error| Failure::usage(error.to_string()).hint(error.hint))?;
        match stores.open(&key, KeyUsage::Sign).map_err(Failure::key)? {
            KeyHandle::Secret(SecretKey::Sign(key)) => Ok(Self::File(key)),
            KeyHandle::Signer(key) => Ok(Self::Remote(key)),
            other => Err(not_a_root(&key.to_string(), other.algorithm())),
        }
    }
}

impl Signer for RootKey {
    type Error = SignerFault;

    fn kid(&self) -> KeyId {
        match self {
            Self::File(key) => key.verifying_key().kid(),
            Self::Remote(key) => key.kid(),
        }
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], SignerFault> {
        match self {
            Self::File(key) => {
                let mut key: &SigningKey = key;
                key.sign_digest(digest).map_err(|never| match never {})
            }
            Self::Remote(key) => key.sign_digest(digest),
        }
    }
}

/// Describes a root key. A key that does not exist is generated, in a file or with the label of the URI in a token.
pub(super) fn find_or_generate(location: &str, ui: &Ui) -> Result<KeySummary, Failure> {
    let key = match KeySummary::file(location) {
        Some(path) if !path.exists() => {
            generated(KeySummary::in_file(path, Algorithm::Es256, "keysets, as a root"), ui)?
        }
        Some(_) => KeySummary::of(location)?,
        None => in_token(location, ui)?,
    };
    if key.algorithm != Algorithm::Es256 {
        return Err(not_a_root(&key.location, key.algorithm));
    }
    Ok(key)
}

fn in_token(location: &str, ui: &Ui) -> Result<KeySummary, Failure> {
    // The error repeats no part of the URI, which may contain a PIN.
    let uri = KeyUri::parse(location).map_err(|error| Failure::usage(error.to_string()))?;
    let (Some(label), None) = (uri.object(), uri.id()) else { return KeySummary::of_token(&uri) };
    let (token, _) = open_token(uri.token_uri())?;
    let keys = token.keys().map_err(|error| token_failure(&error, &uri.name().to_string()))?;
    if keys.iter().any(|key| key.label == label) {
        return KeySummary::of_token(&uri);
    }
    generated(KeySummary::in_token(uri.token_uri(), Usage::Sign, label), ui)
}

fn generated(key: Result<KeySummary, Failure>, ui: &Ui) -> Result<KeySummary, Failure> {
    let key = key?;
    ui.note(&format!("generated root key {} in {}", key.kid, key.location));
    Ok(key)
}

fn not_a_root(location: &str, algorithm: Algorithm) -> Failure {
    Failure::usage(format!("{location}: a root must be an ES256 key, found {algorithm}"))
        .hint("name a file or a label that does not exist: `taskseal keyset init` generates the key")
}
