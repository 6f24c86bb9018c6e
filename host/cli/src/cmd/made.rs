//! Keys that a command makes: in a new file or in a token, and their keyset entries.

use std::path::Path;

use taskseal::keys::pkcs11;
use taskseal::keys::{Algorithm, SecretKey, public_text};
use taskseal_core::keys::POINT_LEN;
use taskseal_core::{KeyId, Kind};
use taskseal_hsm::{EcKey, KeyUri, Token, TokenUri, Usage};

use super::show;
use crate::ui::Failure;

/// The public side of a key, and the name by which a configuration finds it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) algorithm: Algorithm,
    pub(super) kid: KeyId,
    /// The uncompressed point; symmetric keys have none.
    pub(super) point: Option<[u8; POINT_LEN]>,
    /// A path, or the URI of a key in a token.
    pub(super) place: String,
}

impl Made {
    /// Makes a key in a new file.
    pub(super) fn in_file(path: &Path, algorithm: Algorithm, purpose: &str) -> Result<Self, Failure> {
        SecretKey::create(path, algorithm, purpose).map(|key| Self::of_file(&key, path)).map_err(Failure::key)
    }

    /// Makes a key in a new file that is of no use without the key `kek` of a token.
    pub(super) fn in_wrapped_file(
        path: &Path,
        algorithm: Algorithm,
        purpose: &str,
        kek: &KeyUri,
    ) -> Result<Self, Failure> {
        SecretKey::create_wrapped(path, algorithm, purpose, kek)
            .map(|key| Self::of_file(&key, path))
            .map_err(Failure::key)
    }

    /// A key that was made in a file.
    pub(super) fn of_file(key: &SecretKey, path: &Path) -> Self {
        Self {
            algorithm: key.algorithm(),
            kid: key.kid(),
            point: key.point(),
            place: path.to_string_lossy().into_owned(),
        }
    }

    /// Makes a key that never leaves its token. The URI in `place` says what `uri` says of library and PIN.
    pub(super) fn in_token(uri: &TokenUri, usage: Usage, label: &str) -> Result<Self, Failure> {
        let (token, uri) = open(uri)?;
        let key = EcKey::generate(&token, usage, label)
            .map_err(|error| token_failed(&error, &format!("no key was made in {}", uri.name())))?;
        Ok(Self {
            algorithm: if usage == Usage::Agree { Algorithm::EcdhEs } else { Algorithm::Es256 },
            kid: key.kid(),
            point: Some(key.public_point()),
            place: KeyUri::new(uri, key.kid()).to_string(),
        })
    }

    /// The public half as keyset files write it.
    pub(super) fn public(&self) -> Option<String> {
        self.point.as_ref().map(public_text)
    }
}

/// Opens a token for a command.
pub(super) fn open(uri: &TokenUri) -> Result<(Token, TokenUri), Failure> {
    let failed = |error: &taskseal_hsm::Error| token_failed(error, &uri.name().to_string());
    let uri = pkcs11::with_environment(uri).map_err(|error| failed(&error))?;
    Ok((pkcs11::open(&uri).map_err(|error| failed(&error))?, uri))
}

/// Exit code 5, with what to do about it.
pub(super) fn token_failed(error: &taskseal_hsm::Error, what: &str) -> Failure {
    let failure = Failure::unavailable(format!("{what}: {error}"));
    match pkcs11::hint(error) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The public side of a key, as the keyset file has it.
pub(super) struct Entry<'k> {
    pub(super) key: &'k Made,
    pub(super) kind: Kind,
    pub(super) label: Option<&'k str>,
    /// Issuers, types and audiences; `None`: it vouches for nothing.
    pub(super) rights: Option<[Vec<String>; 3]>,
}

impl Entry<'_> {
    /// The entry with an empty line after it.
    pub(super) fn to_toml(&self) -> String {
        let mut lines = vec![
            "[[key]]".to_owned(),
            format!("kid = {}", quoted(&self.key.kid.to_string())),
            format!("alg = {}", quoted(self.key.algorithm.name())),
            format!("use = {}", quoted(show::kind(self.kind))),
        ];
        match self.key.public() {
            Some(public) => lines.push(format!("public = {}", quoted(&public))),
            None => lines.push(format!("secret_file = {}", quoted(&self.key.place))),
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

/// A TOML string, escaped.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
