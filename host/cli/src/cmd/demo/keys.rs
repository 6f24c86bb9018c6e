//! The keys of the demonstration, in files or in a token, and the keyset that lists them.

use std::path::{Path, PathBuf};

use taskseal::keys::{Algorithm, KeyRef, KeyStores};
use taskseal_hsm::{TokenUri, Usage};

use super::attacker::AnyError;
use crate::failure::Failure;
use crate::key_summary::KeySummary;

/// Generates keys and collects their keyset entries.
pub(super) struct Keys<'t> {
    folder: PathBuf,
    token: Option<&'t TokenUri>,
    keyset: String,
}

impl<'t> Keys<'t> {
    pub(super) const fn new(folder: PathBuf, token: Option<&'t TokenUri>) -> Self {
        Self { folder, token, keyset: String::new() }
    }

    /// Generates a key of the deployment, in the token if there is one, with these lines in its entry.
    pub(super) fn generate(
        &mut self,
        name: &str,
        algorithm: Algorithm,
        entry: &str,
    ) -> Result<KeySummary, AnyError> {
        let key = match (self.token, algorithm) {
            (Some(token), Algorithm::Es256) => KeySummary::in_token(token, Usage::Sign, name),
            (Some(token), Algorithm::EcdhEs) => KeySummary::in_token(token, Usage::Agree, name),
            _ => KeySummary::in_file(&self.file(name), algorithm, name),
        };
        let key = key.map_err(Failure::into_message)?;
        self.add(&key, entry)?;
        Ok(key)
    }

    /// Adds a key to the keyset.
    pub(super) fn add(&mut self, key: &KeySummary, entry: &str) -> Result<(), AnyError> {
        let (kid, algorithm, public) = (key.kid, key.algorithm, key.public().ok_or("not a public key")?);
        self.keyset +=
            &format!("[[key]]\nkid = \"{kid}\"\nalg = \"{algorithm}\"\npublic = \"{public}\"\n{entry}\n");
        Ok(())
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// Returns the content of the keyset file.
    pub(super) fn into_keyset(self) -> String {
        self.keyset
    }
}

/// Returns the location of a generated key.
pub(super) fn location(key: &KeySummary) -> Result<KeyRef, AnyError> {
    // The paths are absolute, so the base folder does not matter.
    Ok(KeyStores::default().parse(&key.location, Path::new(""))?)
}
