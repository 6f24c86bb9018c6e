//! The file that is being read: places errors in it and resolves its keys.

use std::path::Path;

use crate::file_error::FileError;
use crate::keys::{KeyRef, KeyStores};
use crate::toml_file::Spanned;

/// The file that is read, to place an error in it.
pub(super) struct Context<'f> {
    pub(super) file: &'f Path,
    pub(super) text: &'f str,
    pub(super) stores: &'f KeyStores,
}

impl Context<'_> {
    /// Parses the place of a key that `field` names: a path relative to this file, or a URI.
    pub(super) fn key(&self, field: &str, value: &Spanned<String>) -> Result<KeyRef, FileError> {
        match self.stores.parse(value.get_ref(), self.file) {
            Ok(key) => Ok(key.with_field(field)),
            Err(error) => Err(self.fault(value, error.message, error.hint)),
        }
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
