//! Keys that a command generates, in a new file or in a token, and their keyset entries.

use std::path::Path;

use taskseal::keys::pkcs11;
use taskseal::keys::{Algorithm, SecretKey, public_text};
use taskseal_core::keys::POINT_LEN;
use taskseal_core::{KeyId, Kind};
use taskseal_hsm::{EcKey, KeyUri, Token, TokenUri, Usage};

use crate::failure::Failure;
use crate::output::json;

/// The public part of a generated key, and the location that a configuration names it by.
#[derive(Debug)]
pub(crate) struct GeneratedKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: KeyId,
    /// The uncompressed point; `None` for a symmetric key.
    pub(crate) point: Option<[u8; POINT_LEN]>,
    /// A path, or the URI of a key in a token.
    pub(crate) location: String,
}

impl GeneratedKey {
    /// Generates a key in a new file.
    pub(crate) fn in_file(path: &Path, algorithm: Algorithm, purpose: &str) -> Result<Self, Failure> {
        SecretKey::create(path, algorithm, purpose).map(|key| Self::of_file(&key, path)).map_err(Failure::key)
    }

    /// Generates a key in a new file that only the key `kek` of a token can decrypt.
    pub(crate) fn in_wrapped_file(
        path: &Path,
        algorithm: Algorithm,
        purpose: &str,
        kek: &KeyUri,
    ) -> Result<Self, Failure> {
        SecretKey::create_wrapped(path, algorithm, purpose, kek)
            .map(|key| Self::of_file(&key, path))
            .map_err(Failure::key)
    }

    /// Describes a key that was generated in a file.
    pub(crate) fn of_file(key: &SecretKey, path: &Path) -> Self {
        Self {
            algorithm: key.algorithm(),
            kid: key.kid(),
            point: key.point(),
            location: path.to_string_lossy().into_owned(),
        }
    }

    /// Generates a key in a token, which it never leaves. The URI in `location` has the module and PIN source of `uri`.
    pub(crate) fn in_token(uri: &TokenUri, usage: Usage, label: &str) -> Result<Self, Failure> {
        let (token, uri) = open_token(uri)?;
        let key = EcKey::generate(&token, usage, label)
            .map_err(|error| token_failure(&error, &format!("cannot generate a key in {}", uri.name())))?;
        Ok(Self {
            algorithm: if usage == Usage::Agree { Algorithm::EcdhEs } else { Algorithm::Es256 },
            kid: key.kid(),
            point: Some(key.public_point()),
            location: KeyUri::new(uri, key.kid()).to_string(),
        })
    }

    /// Returns the public key in the form of keyset files.
    pub(crate) fn public(&self) -> Option<String> {
        self.point.as_ref().map(public_text)
    }
}

/// Opens a token for a command.
pub(crate) fn open_token(uri: &TokenUri) -> Result<(Token, TokenUri), Failure> {
    let failed = |error: &taskseal_hsm::Error| token_failure(error, &uri.name().to_string());
    let uri = pkcs11::with_environment(uri).map_err(|error| failed(&error))?;
    Ok((pkcs11::open(&uri).map_err(|error| failed(&error))?, uri))
}

/// Exit code 5, with a hint for the error.
pub(crate) fn token_failure(error: &taskseal_hsm::Error, what: &str) -> Failure {
    let message = format!("{what}: {error}");
    let failure =
        if error.is_locked() { Failure::pin_refused(message) } else { Failure::unavailable(message) };
    match pkcs11::hint(error) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// An entry of the keyset file.
pub(crate) struct Entry<'k> {
    pub(crate) key: &'k GeneratedKey,
    pub(crate) kind: Kind,
    pub(crate) label: Option<&'k str>,
    /// Patterns of issuers, types and audiences; `None` for a key that authenticates nothing.
    pub(crate) rights: Option<[Vec<String>; 3]>,
}

impl Entry<'_> {
    /// Returns the entry in TOML, followed by an empty line.
    pub(crate) fn to_toml(&self) -> String {
        let mut lines = vec![
            "[[key]]".to_owned(),
            format!("kid = {}", quoted(&self.key.kid.to_string())),
            format!("alg = {}", quoted(self.key.algorithm.name())),
            format!("use = {}", quoted(json::kind(self.kind))),
        ];
        match self.key.public() {
            Some(public) => lines.push(format!("public = {}", quoted(&public))),
            None => lines.push(format!("secret_file = {}", quoted(&self.key.location))),
        }
        for (name, patterns) in ["issuers", "types", "audiences"].iter().zip(self.rights.iter().flatten()) {
            let patterns: Vec<_> = patterns.iter().map(|pattern| quoted(pattern)).collect();
            lines.push(format!("{name} = [{}]", patterns.join(", ")));
        }
        lines.extend(self.label.map(|label| format!("label = {}", quoted(label))));
        lines.push("\n".to_owned());
        lines.join("\n")
    }
}

/// Returns a TOML string with escapes.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
