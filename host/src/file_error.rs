//! Errors in files: where, what is wrong, and what to do about it.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Why a configuration, keyset or key file cannot be used.
///
/// Shown as `file:line:column: field: message`. The hint is shown on a separate line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError(Box<Fault>);

/// The parts of a [`FileError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The path of the file.
    pub file: PathBuf,
    /// Line and column, if the error is at one position.
    pub position: Option<Position>,
    /// The field with its table: `client.key`.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Set if the file cannot be read or written.
    pub io: Option<io::ErrorKind>,
}

/// A position in a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// Line number, starting at 1.
    pub line: usize,
    /// Column in characters, starting at 1.
    pub column: usize,
}

impl FileError {
    /// Creates the error of a whole file.
    #[must_use]
    pub fn new(file: &Path, message: impl Into<String>) -> Self {
        let (file, message) = (file.to_owned(), message.into());
        Self(Box::new(Fault { file, position: None, field: None, message, hint: None, io: None }))
    }

    /// Creates the error of a file that cannot be read or written; `what` says which of the two.
    #[must_use]
    pub fn io(file: &Path, what: &str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::AlreadyExists => "already exists".to_owned(),
            _ => error.to_string(),
        };
        let mut fault = Self::new(file, format!("{what}: {reason}"));
        fault.0.io = Some(error.kind());
        fault
    }

    /// Replaces the message.
    #[must_use]
    pub(crate) fn message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets the position to the byte `offset` of `text`, and the field to the one on that line.
    #[must_use]
    pub(crate) fn at(mut self, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        self.0.position = Some(Position { line, column });
        self.0.field = field_at(text, line_start);
        self
    }
}

/// Returns the field on the line that starts at `line_start`, with the table above it.
fn field_at(text: &str, line_start: usize) -> Option<String> {
    let (above, below) = text.split_at_checked(line_start)?;
    let line = below.lines().next().unwrap_or_default().trim();
    let table_of = |line: &str| {
        let name = line.trim().strip_prefix('[')?.trim_start_matches('[');
        name.split_once(']').map(|(name, _)| name.trim().to_owned())
    };
    if let Some(table) = table_of(line) {
        return Some(table);
    }
    let table = above.lines().rev().find_map(table_of);
    let key = line.split_once('=').map(|(key, _)| key.trim().to_owned());
    match (table, key) {
        (Some(table), Some(key)) => Some(format!("{table}.{key}")),
        (table, key) => key.or(table),
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for FileError {}

impl Deref for FileError {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

/// Maximum length of a configuration or keyset file, in bytes.
pub(crate) const MAX_LEN: u64 = 4 << 20;
