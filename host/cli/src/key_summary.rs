//! What a command prints of a key, and the keys that it generates in a new file or in a token.

use std::path::Path;

use taskseal::keys::pkcs11;
use taskseal::keys::{Algorithm, SecretKey, public_text};
use taskseal_core::KeyId;
use taskseal_core::keys::{POINT_LEN, VerifyingKey};
use taskseal_hsm::{EcKey, KeyKind, KeySelector, KeyUri, Token, TokenUri, Usage};

use crate::failure::Failure;

/// What may be printed of a secret key, and the location that a configuration names it by.
#[derive(Clone, Debug)]
pub(crate) struct KeySummary {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: KeyId,
    /// The uncompressed point; `None` for a symmetric key.
    pub(crate) point: Option<[u8; POINT_LEN]>,
    /// A path, or the URI of a key in a token.
    pub(crate) location: String,
}

impl KeySummary {
    /// Generates a key in a new file.
    pub(crate) fn in_file(path: &Path, algorithm: Algorithm, purpose: &str) -> Result<Self, Failure> {
        Self::in_new_file(path, algorithm, purpose, None)
    }

    /// Generates a key in a new file. With `wrapping_key`, the file cannot be read without that key of a token.
    pub(crate) fn in_new_file(
        path: &Path,
        algorithm: Algorithm,
        purpose: &str,
        wrapping_key: Option<&KeyUri>,
    ) -> Result<Self, Failure> {
        let created = match wrapping_key {
            Some(uri) => SecretKey::create_wrapped(path, algorithm, purpose, uri),
            None => SecretKey::create(path, algorithm, purpose),
        };
        created.map(|key| Self::of_file(&key, path)).map_err(Failure::key)
    }

    /// Describes the key in a file.
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
        Self::generated(uri, usage, |token| EcKey::generate(token, usage, label))
    }

    /// As [`in_token`](Self::in_token), also if other keys have the label: the keyset chooses one of them.
    pub(crate) fn beside_others(uri: &TokenUri, usage: Usage, label: &str) -> Result<Self, Failure> {
        Self::generated(uri, usage, |token| EcKey::generate_beside(token, usage, label))
    }

    fn generated(
        uri: &TokenUri,
        usage: Usage,
        generate: impl FnOnce(&Token) -> Result<EcKey, taskseal_hsm::Error>,
    ) -> Result<Self, Failure> {
        let (token, uri) = open_token(uri)?;
        let key = generate(&token)
            .map_err(|error| token_failure(&error, &format!("cannot generate a key in {}", uri.name())))?;
        Ok(Self {
            algorithm: if usage == Usage::Agree { Algorithm::EcdhEs } else { Algorithm::Es256 },
            kid: key.kid(),
            point: Some(key.public_point()),
            location: KeyUri::new(uri, key.kid()).to_string(),
        })
    }

    /// Loads a key pair that a token has. Loading names the attribute that is wrong, and has the key prove that it works.
    pub(crate) fn of_token(uri: &KeyUri) -> Result<Self, Failure> {
        let name = uri.name().to_string();
        let failed = |error: taskseal_hsm::Error| token_failure(&error, &name);
        let (token, _) = open_token(uri.token_uri())?;
        let is_named = |id: &[u8], label: &str| {
            uri.id().is_none_or(|wanted| wanted == id) && uri.object().is_none_or(|wanted| wanted == label)
        };
        let keys = token.keys().map_err(failed)?;
        let decrypts = keys.iter().any(|key| is_named(&key.id, &key.label) && key.kind == KeyKind::Agreement);
        let (usage, algorithm) =
            if decrypts { (Usage::Agree, Algorithm::EcdhEs) } else { (Usage::Sign, Algorithm::Es256) };
        let key = EcKey::load(&token, &KeySelector::from(uri), usage).map_err(failed)?;
        let (point, location) = (Some(key.public_point()), uri.to_string());
        Ok(Self { algorithm, kid: key.kid(), point, location })
    }

    /// Describes the key in a file, a token, a cloud service, or a source of secrets.
    pub(crate) fn of(location: &str) -> Result<Self, Failure> {
        #[cfg(feature = "cloud")]
        if let Some(opened) = crate::key_stores::open_in_cloud(location) {
            let key = opened.map_err(Failure::key)?;
            let (algorithm, point) = (key.algorithm(), key.point());
            return Ok(Self { algorithm, kid: key.kid(), point, location: location.to_owned() });
        }
        if let Some(opened) = crate::key_stores::open_in_source(location) {
            let key = opened?;
            let (algorithm, point) = (key.algorithm(), key.point());
            return Ok(Self { algorithm, kid: key.kid(), point, location: location.to_owned() });
        }
        match Self::file(location) {
            Some(path) => SecretKey::read(path).map(|key| Self::of_file(&key, path)).map_err(Failure::key),
            // The error repeats no part of the URI, which may contain a PIN.
            None => KeyUri::parse(location)
                .map_err(|error| Failure::usage(error.to_string()))
                .and_then(|uri| Self::of_token(&uri)),
        }
    }

    /// Returns the path in the argument of a command; `None` for the URI of a key in a token.
    pub(crate) fn file(location: &str) -> Option<&Path> {
        let is_uri = location.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("pkcs11:"));
        (!is_uri).then(|| Path::new(location.strip_prefix("file:").unwrap_or(location)))
    }

    /// Describes a public key, which another program wrote to `path`.
    pub(crate) fn of_public(
        point: &[u8; POINT_LEN],
        algorithm: Algorithm,
        path: &Path,
    ) -> Result<Self, Failure> {
        let key = VerifyingKey::from_point(point).map_err(|error| Failure::new(error.to_string()))?;
        let location = path.to_string_lossy().into_owned();
        Ok(Self { algorithm, kid: key.kid(), point: Some(*point), location })
    }

    /// Returns the name of the location in JSON.
    pub(crate) fn member(&self) -> &'static str {
        if self.is_in_service() { "uri" } else { "file" }
    }

    /// Returns whether the key is in a token or a cloud service, which a URI names.
    fn is_in_service(&self) -> bool {
        KeyUri::parse(&self.location).is_ok() || self.location.contains("://")
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
