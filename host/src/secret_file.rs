//! Files that only their owner may read: opened after a look at their mode, created with the right one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::file_error::FileError;

#[cfg(test)]
mod tests;

/// Reads a file of secrets of at most [`MAX_LEN`] bytes into memory that is wiped.
///
/// # Errors
/// [`FileError`] if it cannot be read, is no regular file, is too long, can be read or written by group or
/// others, or belongs to somebody else than this user or root.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |error| FileError::io(path, "cannot be read", &error);
    let file = File::open(path).map_err(failed)?;
    // The open file is looked at, not the name: what is checked is what is read.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FileError::new(path, "not a regular file"));
    }
    let shown = path.display();
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        let message = format!("holds a secret and belongs to another user (uid {owner})");
        return Err(FileError::new(path, message).hint("run as its owner, or copy it and give it mode 0600"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let message = format!("holds a secret and is open to group or others (mode {mode:04o})");
        return Err(FileError::new(path, message).hint(format!("chmod 600 {shown}")));
    }
    if metadata.len() > MAX_LEN as u64 {
        return Err(FileError::new(path, format!("longer than {MAX_LEN} bytes")));
    }
    // Room for everything from the start: a growing vector leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    (&file).take(MAX_LEN as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > MAX_LEN {
        return Err(FileError::new(path, format!("longer than {MAX_LEN} bytes")));
    }
    Ok(content)
}

/// Creates a file that only its owner may read and write, and writes `content` through to the disk.
///
/// # Errors
/// [`FileError`] if it cannot be written, or if there is anything of that name: nothing is ever overwritten.
pub fn create(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
            let fault = FileError::io(path, "cannot be created", &error);
            match error.kind() {
                io::ErrorKind::AlreadyExists => fault.hint("keys are never overwritten: choose another name"),
                io::ErrorKind::NotFound => fault.hint("create its folder first"),
                _ => fault,
            }
        })?;
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| sync_parent(path));
    written.map_err(|error| {
        // Half a key is worse than none. That this may fail as well changes nothing about the fault.
        let _ = std::fs::remove_file(path);
        FileError::io(path, "cannot be written", &error)
    })
}

/// Makes the name of a new file as durable as its content.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Most bytes of a file of secrets.
pub const MAX_LEN: usize = 64 << 10;
