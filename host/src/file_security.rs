//! Files that only their owner may read: opened after a look at their mode, created with the right one.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
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
    let (file, metadata) = open(path)?;
    if let Some(owner) = stranger(&metadata) {
        let message = format!("holds a secret and belongs to another user (uid {owner})");
        return Err(FileError::new(path, message).hint("run as its owner, or copy it and give it mode 0600"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let message = format!("holds a secret and is open to group or others (mode {mode:04o})");
        return Err(FileError::new(path, message).hint(format!("chmod 600 {}", path.display())));
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

/// Reads a text file that may be read by all, but decides what runs: of at most `most` bytes.
///
/// # Errors
/// [`FileError`] if it cannot be read, is no regular file, is too long or no UTF-8, can be written by group or others, or
/// belongs to somebody else than this user or root.
pub(crate) fn read_guarded(path: &Path, most: u64) -> Result<String, FileError> {
    let failed = |error| FileError::io(path, "cannot be read", &error);
    let (file, metadata) = open(path)?;
    guarded(path, &metadata)?;
    let mut text = String::new();
    (&file).take(most.saturating_add(1)).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > most {
        return Err(FileError::new(path, format!("longer than {most} bytes")));
    }
    Ok(text)
}

/// Checks that nobody but its owner can change what is in a folder.
///
/// # Errors
/// [`FileError`] if it is no folder, can be written by group or others, or belongs to somebody else than this user or root.
pub fn check_dir(path: &Path) -> Result<(), FileError> {
    let metadata = std::fs::metadata(path).map_err(|error| FileError::io(path, "cannot be read", &error))?;
    if !metadata.is_dir() {
        return Err(FileError::new(path, "not a folder"));
    }
    guarded(path, &metadata)
}

fn guarded(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if let Some(owner) = stranger(metadata) {
        let message = format!("decides what runs and belongs to another user (uid {owner})");
        return Err(FileError::new(path, message).hint("give it to root or to the user that runs this"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let message = format!("decides what runs and can be written by group or others (mode {mode:04o})");
        return Err(FileError::new(path, message).hint(format!("chmod go-w {}", path.display())));
    }
    Ok(())
}

/// The owner, if it is neither this user nor root.
fn stranger(metadata: &Metadata) -> Option<u32> {
    let owner = metadata.uid();
    (owner != 0 && owner != rustix::process::geteuid().as_raw()).then_some(owner)
}

/// Opens a regular file. The open file is looked at, not the name: what is checked is what is read.
fn open(path: &Path) -> Result<(File, Metadata), FileError> {
    let failed = |error| FileError::io(path, "cannot be read", &error);
    // A pipe without a writer would block, a terminal would become ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FileError::new(path, "not a regular file"));
    }
    Ok((file, metadata))
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

/// Creates a folder, and those above it, that only their owner may enter. One that is there stays as it is.
///
/// # Errors
/// [`FileError`] if it cannot be created.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|error| FileError::io(path, "cannot be created", &error))
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
