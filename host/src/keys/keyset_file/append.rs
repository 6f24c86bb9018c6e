//! Appends an entry to a keyset file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::parse;
use crate::file_error::{FileError, MAX_LEN};
use crate::file_security;

#[cfg(test)]
mod tests;

/// Checks that an entry can be appended to a keyset file.
///
/// # Errors
/// [`FileError`] if the file does not exist, is not a valid keyset, may be changed by other users, or cannot be written.
pub fn check_appendable(file: &Path) -> Result<(), FileError> {
    read(file)?;
    OpenOptions::new().append(true).open(file).map(drop).map_err(|error| unwritable(file, &error))
}

/// Appends an entry to a keyset file, in one write.
///
/// # Errors
/// [`FileError`] as for [`check_appendable`], or if the keyset would not be valid with the entry: it has the key already.
pub fn append_entry(file: &Path, entry: &str) -> Result<(), FileError> {
    let text = read(file)?;
    let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let added = format!("{separator}{entry}");
    let with_entry = text + &added;
    if with_entry.len() as u64 > MAX_LEN {
        return Err(FileError::new(file, format!("would be longer than {MAX_LEN} bytes")));
    }
    parse(file, &with_entry)?;
    append(file, &added).map_err(|error| unwritable(file, &error))
}

/// Appends all of the text or, on a full disk, nothing: a part of an entry would make the keyset invalid.
fn append(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(file)?;
    let len = file.metadata()?.len();
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        file.set_len(len)?;
    }
    written
}

/// Reads a keyset file and checks its form. It reads no file of a shared key: this host may not have it.
fn read(file: &Path) -> Result<String, FileError> {
    let text = file_security::read_guarded(file, MAX_LEN).map_err(|error| match error.io {
        Some(io::ErrorKind::NotFound) => error.hint(format!("create it first: touch {}", file.display())),
        _ => error,
    })?;
    parse(file, &text)?;
    Ok(text)
}

fn unwritable(file: &Path, error: &io::Error) -> FileError {
    FileError::io(file, "cannot be written", error)
}
