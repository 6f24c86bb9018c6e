//! The keys of the demonstration, in files or in a token, and the keyset that knows them.

use std::path::{Path, PathBuf};

use taskseal::keys::{Algorithm, KeyRef, KeyStores};
use taskseal_hsm::{TokenUri, Usage};

use super::intruder::Mishap;
use crate::cmd::made::Made;
use crate::ui::Failure;

/// Makes keys and notes the public ones.
pub(super) struct Keys<'t> {
    folder: PathBuf,
    token: Option<&'t TokenUri>,
    keyset: String,
}

impl<'t> Keys<'t> {
    pub(super) const fn new(folder: PathBuf, token: Option<&'t TokenUri>) -> Self {
        Self { folder, token, keyset: String::new() }
    }

    /// A key of the deployment, with these lines in its entry: in the token if there is one.
    pub(super) fn of_deployment(
        &mut self,
        name: &str,
        algorithm: Algorithm,
        entry: &str,
    ) -> Result<Made, Mishap> {
        let made = match (self.token, algorithm) {
            (Some(token), Algorithm::Es256) => Made::in_token(token, Usage::Sign, name),
            (Some(token), Algorithm::EcdhEs) => Made::in_token(token, Usage::Agree, name),
            _ => Made::in_file(&self.file(name), algorithm, name),
        };
        let made = made.map_err(Failure::into_message)?;
        self.note(&made, entry)?;
        Ok(made)
    }

    /// Puts a key into the keyset.
    pub(super) fn note(&mut self, key: &Made, entry: &str) -> Result<(), Mishap> {
        let (kid, algorithm, public) = (key.kid, key.algorithm, key.public().ok_or("not a public key")?);
        self.keyset +=
            &format!("[[key]]\nkid = \"{kid}\"\nalg = \"{algorithm}\"\npublic = \"{public}\"\n{entry}\n");
        Ok(())
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// The keyset file's content.
    pub(super) fn into_keyset(self) -> String {
        self.keyset
    }
}

/// Where a key was made.
pub(super) fn location(key: &Made) -> Result<KeyRef, Mishap> {
    // Paths are whole, so nothing is relative to anything.
    Ok(KeyStores::default().parse(&key.place, Path::new(""))?)
}
