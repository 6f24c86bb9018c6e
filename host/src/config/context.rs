//! The file that is being read: places errors in it and resolves its keys.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use super::broker::{BrokerConfig, RedisSettings};
use super::password::PasswordSource;
use crate::file_error::FileError;
use crate::keys::{ENVIRONMENT, KeyRef, KeyStores};
use crate::toml_file::Spanned;

/// The file that is read, to place an error in it.
pub(super) struct Context<'f> {
    pub(super) file: &'f Path,
    pub(super) text: &'f str,
    pub(super) stores: &'f KeyStores,
    /// Environment variables that contain keys and passwords.
    variables: RefCell<BTreeSet<String>>,
}

impl<'f> Context<'f> {
    pub(super) fn new(file: &'f Path, text: &'f str, stores: &'f KeyStores) -> Self {
        Self { file, text, stores, variables: RefCell::default() }
    }

    /// Parses the place of a key that `field` names: a path relative to this file, or a URI.
    pub(super) fn key(&self, field: &str, value: &Spanned<String>) -> Result<KeyRef, FileError> {
        match self.stores.parse(value.get_ref(), self.file) {
            Ok(key) => {
                let variable = key.address().to_str().filter(|_| key.scheme() == ENVIRONMENT);
                self.variables.borrow_mut().extend(variable.map(str::to_owned));
                Ok(key.with_field(field))
            }
            Err(error) => Err(self.fault(value, error.message, error.hint)),
        }
    }

    /// Parses the place of a password: a URI. A text without a scheme may be the secret itself, and is not shown.
    pub(super) fn secret(&self, field: &str, value: &Spanned<String>) -> Result<KeyRef, FileError> {
        if !self.stores.has_scheme(value.get_ref()) {
            let message = "not the URI of a secret, and this file is not secret";
            return Err(self.fault(value, message, format!("name a source: {}", self.stores.schemes())));
        }
        self.key(field, value)
    }

    /// Returns the environment variables that contain the keys parsed so far, or the password of the broker.
    pub(super) fn secret_variables(&self, broker: &BrokerConfig) -> BTreeSet<String> {
        let mut variables = self.variables.borrow().clone();
        if let BrokerConfig::Redis(RedisSettings {
            password: Some(PasswordSource::Environment(name)), ..
        }) = broker
        {
            variables.insert(name.clone());
        }
        variables
    }

    pub(super) fn fault<T>(
        &self,
        at: &Spanned<T>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> FileError {
        FileError::new(self.file, message).hint(hint).at(self.text, at.start())
    }
}
