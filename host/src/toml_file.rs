//! Reads TOML files into types. Errors contain the position and a hint.

use std::fmt;
use std::path::Path;

use serde::de::{self, DeserializeOwned};
use toml::de::DeTable;

pub(crate) use self::spanned::Spanned;
use self::value::ValueError;
use crate::file_error::FileError;

mod spanned;
#[cfg(test)]
mod tests;
mod value;

/// Parses the text of a TOML file.
pub(crate) fn parse_toml<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, FileError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map(|span| span.start);
        file_error(file, text, &ValueError { message: error.message().to_owned(), at })
    })?;
    value::read(table).map_err(|error| file_error(file, text, &error))
}

/// Creates a serde error with a hint; [`FileError`] shows the two separately.
pub(crate) fn invalid<E: de::Error>(message: impl fmt::Display, hint: impl fmt::Display) -> E {
    E::custom(format_args!("{message}{HINT}{hint}"))
}

fn file_error(file: &Path, text: &str, error: &ValueError) -> FileError {
    // serde: "unknown field `x`, expected one of `y`, `z`"
    let (message, hint) = match error.message.split_once(HINT) {
        Some((message, hint)) => (message, Some(hint.to_owned())),
        None => match error.message.split_once(", expected ") {
            Some((message, rest)) => (message, Some(format!("expected {rest}"))),
            None => (error.message.as_str(), None),
        },
    };
    let mut fault = FileError::new(file, message.trim_end());
    if let Some(hint) = hint {
        fault = fault.hint(hint);
    }
    match error.at {
        Some(at) => fault.at(text, at),
        None => fault,
    }
}

/// Separates message and hint in a serde error. TOML strings cannot contain it unescaped.
const HINT: char = '\u{1f}';
