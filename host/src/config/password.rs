//! The source of the password of the broker.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::context::Context;
use crate::file_error::FileError;
use crate::file_security;
use crate::keys::{KeyError, KeyRef, KeyStores, KeyringError};
use crate::toml_file::Spanned;

/// Source of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordSource {
    /// A file of secrets, or `cred:NAME`. A line break at its end is ignored.
    File(PathBuf),
    /// An environment variable of this name.
    Environment(String),
    /// A secret of one of the [`KeyStores`].
    Secret(KeyRef),
}

impl PasswordSource {
    /// Reads the password. `config` is the configuration file that names it, `stores` are those of its keys. It may block.
    ///
    /// # Errors
    /// [`KeyringError`] if the source is unavailable, the file is accessible to others, the variable is not set, or the
    /// secret is not one line of text.
    pub fn read(&self, config: &Path, stores: &KeyStores) -> Result<Zeroizing<String>, KeyringError> {
        match self {
            Self::File(path) => Ok(file_security::read_line(path)?),
            Self::Environment(name) => {
                let value = std::env::var(name).ok().filter(|value| !value.is_empty());
                Ok(value.map(Zeroizing::new).ok_or_else(|| {
                    FileError::new(
                        config,
                        format!("the environment variable {name} with the password of Redis is not set"),
                    )
                    .hint(format!("set {name}, or use `password_file`"))
                })?)
            }
            Self::Secret(key) => {
                let secret = stores.fetch(key)?;
                let line = file_security::one_line(secret.content()).map_err(|message| {
                    KeyError::invalid(key, message).hint("store the password alone, as one line of UTF-8")
                })?;
                Ok(Zeroizing::new(line.to_owned()))
            }
        }
    }

    /// Checks the fields `password`, `password_file` and `password_env`, of which one may be set.
    pub(super) fn check(
        context: &Context<'_>,
        fields: [Option<Spanned<String>>; 3],
    ) -> Result<Option<Self>, FileError> {
        let mut set =
            NAMES.into_iter().zip(&fields).filter_map(|(name, field)| Some((name, field.as_ref()?)));
        let (first, second) = (set.next(), set.next());
        match (first, second) {
            (None, _) => Ok(None),
            (Some(("password", uri)), None) => {
                Ok(Some(Self::Secret(context.secret("broker.password", uri)?)))
            }
            (Some(("password_file", file)), None) => {
                Ok(Some(Self::File(file_security::secret_path(context.file, file.get_ref()))))
            }
            (Some((_, name)), None) => Ok(Some(Self::Environment(name.get_ref().clone()))),
            (Some((first, _)), Some((_, second))) => {
                Err(context.fault(second, format!("`{first}` is set as well"), "remove one of the two"))
            }
        }
    }
}

const NAMES: [&str; 3] = ["password", "password_file", "password_env"];
