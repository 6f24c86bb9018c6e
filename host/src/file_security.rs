//! Files that other users must not read or change: checked before they are read, created with the right mode.

mod ancestors;
mod credential;
mod folder;
mod secret;
pub(crate) mod text;

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

pub(crate) use self::credential::secret_path;
pub(crate) use self::folder::open_dir;
pub(crate) use self::secret::one_line;
pub use self::secret::{MAX_LEN, read, read_line};

use crate::file_error::FileError;
use crate::file_watch;

#[cfg(test)]
mod tests;

/// Reads a text file of at most `max_len` bytes that all users may read, but that decides which programs run. A byte order mark of
/// UTF-8 is not part of the text.
///
/// # Errors
/// [`FileError`] if it cannot be read, is not a regular file, is too long or not UTF-8, can be written by group or others, is
/// owned by another user than this one or root, or could be replaced by other users through a folder above it.
pub(crate) fn read_guarded(path: &Path, max_len: u64) -> Result<String, FileError> {
    let (file, metadata) = open(path)?;
    check_writers(path, &metadata)?;
    ancestors::check(path)?;
    let mut content = Vec::new();
    let limited = (&file).take(max_len.saturating_add(1)).read_to_end(&mut content);
    limited.map_err(|error| unreadable(path, &error))?;
    if content.len() as u64 > max_len {
        return Err(too_long(path, max_len));
    }
    text::decode(path, content)
}

/// Reads a file of at most `max_len` bytes whose content is verified elsewhere, so that any user may write it.
///
/// # Errors
/// [`FileError`] if it cannot be read, is not a regular file, or is too long.
pub(crate) fn read_unguarded(path: &Path, max_len: u64) -> Result<Vec<u8>, FileError> {
    let (file, _) = open(path)?;
    let mut content = Vec::new();
    let limited = (&file).take(max_len.saturating_add(1)).read_to_end(&mut content);
    limited.map_err(|error| unreadable(path, &error))?;
    if content.len() as u64 > max_len { Err(too_long(path, max_len)) } else { Ok(content) }
}

/// Checks that only this user and root can change what a folder contains.
///
/// # Errors
/// [`FileError`] if it is not a folder, can be written by group or others, is owned by another user than this one or root, or
/// could be replaced by other users through a folder above it.
pub fn check_dir(path: &Path) -> Result<(), FileError> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_dir() {
        return Err(FileError::new(path, "not a folder"));
    }
    check_writers(path, &metadata)?;
    ancestors::check(path)
}

/// Checks that only this user and root can change a program.
///
/// # Errors
/// [`FileError`] if it is not a regular file, can be written by group or others, is owned by another user than this one or root, or
/// could be replaced by other users through a folder above it.
pub(crate) fn check_program(path: &Path) -> Result<(), FileError> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(FileError::new(path, "not a regular file"));
    }
    check_writers(path, &metadata)?;
    ancestors::check(path)
}

fn check_writers(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    check_writers_beside(path, metadata, None)
}

/// Checks the same. `trusted` is one more user who may be the owner.
fn check_writers_beside(path: &Path, metadata: &Metadata, trusted: Option<u32>) -> Result<(), FileError> {
    if let Some(owner) = untrusted_owner(metadata).filter(|owner| Some(*owner) != trusted) {
        let message = format!("decides what runs and is owned by another user (uid {owner})");
        return Err(
            FileError::new(path, message).hint("change its owner to root or to the user that runs this")
        );
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let message = format!("decides what runs and can be written by group or others (mode {mode:04o})");
        return Err(FileError::new(path, message).hint(format!("chmod go-w {}", path.display())));
    }
    Ok(())
}

/// Returns the owner, if it is neither this user nor root.
fn untrusted_owner(metadata: &Metadata) -> Option<u32> {
    let owner = metadata.uid();
    (owner != 0 && owner != rustix::process::geteuid().as_raw()).then_some(owner)
}

/// Opens a regular file. The metadata is that of the open file, not of the name: what is checked is what is read.
fn open(path: &Path) -> Result<(File, Metadata), FileError> {
    // Without these flags, a pipe without a writer would block, and a terminal would become ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let opened = opened.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    file_watch::record(path, opened.as_ref().ok().map(|(_, metadata)| metadata));
    let (file, metadata) = opened.map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(FileError::new(path, "not a regular file"));
    }
    Ok((file, metadata))
}

fn unreadable(path: &Path, error: &io::Error) -> FileError {
    FileError::io(path, "cannot be read", error)
}

fn too_long(path: &Path, max_len: u64) -> FileError {
    FileError::new(path, format!("longer than {max_len} bytes"))
}

/// Creates a file that only its owner may read and write, and writes `content` through to the disk.
///
/// # Errors
/// [`FileError`] if it cannot be written, or if the name exists: nothing is overwritten.
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
        // A truncated key is worse than none. If this fails as well, the error stays the same.
        let _ = std::fs::remove_file(path);
        FileError::io(path, "cannot be written", &error)
    })
}

/// Replaces a regular file atomically, or creates it: readers see the old content or the new one. The file has `mode` whatever
/// the umask is.
///
/// # Errors
/// The error of the operating system if the file or its folder cannot be written. `InvalidInput` if the name is that of a
/// symbolic link or of anything else than a regular file, such as a device: replacing it would destroy it.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_after(path, content, mode, |_| Ok(()))
}

fn replace_after(
    path: &Path,
    content: &[u8],
    mode: u32,
    written: fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            let message = format!("it is {}, and only a regular file is replaced", kind(&metadata));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        _ => {}
    }
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    let mut next = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(parent(path))?;
    // The umask has removed rights when the file was created.
    next.as_file().set_permissions(Permissions::from_mode(mode))?;
    next.write_all(content)?;
    written(next.as_file())?;
    next.persist(path)?;
    Ok(())
}

/// Replaces a regular file as [`replace`] does, and writes it and its name through to the disk.
///
/// # Errors
/// [`FileError`] if the file or its folder cannot be written.
pub fn replace_durably(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    // Its content first: after a power failure, the name must not be that of an empty file.
    replace_after(path, content, mode, File::sync_all)
        .and_then(|()| sync_parent(path))
        .map_err(|error| FileError::io(path, "cannot be written", &error))
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "not a regular file",
    }
}

/// Creates a folder, and those above it, that only their owner may enter. Existing folders stay unchanged.
///
/// # Errors
/// [`FileError`] if it cannot be created.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|error| FileError::io(path, "cannot be created", &error))
}

/// Makes the name of a new file as durable as its content.
fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
