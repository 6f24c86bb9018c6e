//! A folder that is open while its files are used, also by root if it belongs to another user.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::{ancestors, check_dir, check_writers_beside, create_dir, parent, unreadable};
use crate::file_error::FileError;

/// Opens a folder in which only its owner and root can write, and creates it if it does not exist.
///
/// The owner is this user or root. For root it may be any user, who could replace the name of the folder at any time: use its files
/// through the open folder only.
///
/// # Errors
/// [`FileError`] if it cannot be created, is not a folder, can be written by group or others, or could be replaced by other users
/// than its owner through a folder or a link above it.
pub(crate) fn open_dir(path: &Path) -> Result<(File, Metadata), FileError> {
    if !path.try_exists().map_err(|error| unreadable(path, &error))? {
        // A link of another user would lead root to create folders elsewhere.
        check_dir(nearest(path))?;
        create_dir(path)?;
    }
    let flags = i32::try_from(OFlags::DIRECTORY.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let opened = opened.and_then(|folder| folder.metadata().map(|metadata| (folder, metadata)));
    let (folder, metadata) = opened.map_err(|error| unreadable(path, &error))?;
    let trusted = rustix::process::geteuid().is_root().then_some(metadata.uid());
    check_writers_beside(path, &metadata, trusted)?;
    // The path is checked after the folder was opened, and must still lead to it.
    ancestors::check_beside(path, trusted)?;
    let named = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if (named.dev(), named.ino()) != (metadata.dev(), metadata.ino()) {
        return Err(FileError::new(path, "was replaced while it was opened"));
    }
    Ok((folder, metadata))
}

/// Returns the nearest folder above that exists.
fn nearest(path: &Path) -> &Path {
    let mut folder = parent(path);
    while !folder.exists() && folder != Path::new("/") && folder != Path::new(".") {
        folder = parent(folder);
    }
    folder
}
