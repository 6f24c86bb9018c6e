//! The folders above a file, and the links on the way to it.
//!
//! A user who can write to one of these folders can replace the file, however strict its own mode is. Each must be owned by
//! root or this user, and no other user may write to it, except in a folder with the sticky bit like `/tmp`: there only the
//! owner of an entry can replace it, and the owner of each entry is checked too.
//!
//! The crate `fs-mistrust` offers the same check. It would add 27 crates to the build of every host, and by default it accepts
//! folders that the group with the name of the user can write to, which this check refuses.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::{unreadable, untrusted_owner};
use crate::file_error::FileError;

#[cfg(test)]
mod tests;

/// Maximum number of symbolic links on the way to a file, as in the Linux kernel.
const MAX_LINKS: usize = 40;

const STICKY: u32 = 0o1000;

/// Checks the folders above `path`, and those above the targets of links on the way. The caller checks the file itself.
pub(super) fn check(path: &Path) -> Result<(), FileError> {
    check_beside(path, None)
}

/// Checks the same. `trusted` is one more user who may own folders and links.
pub(super) fn check_beside(path: &Path, trusted: Option<u32>) -> Result<(), FileError> {
    let absolute = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    let mut pending = reversed(&absolute);
    let mut folder = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == ".." {
            // `folder` has no links in it, so its parent is the folder that `..` means.
            folder.pop();
            continue;
        }
        let metadata = std::fs::metadata(&folder).map_err(|error| unreadable(path, &error))?;
        check_folder(path, &folder, &metadata, trusted)?;
        let next = folder.join(name);
        let metadata = std::fs::symlink_metadata(&next).map_err(|error| unreadable(path, &error))?;
        if !metadata.is_symlink() {
            folder = next;
            continue;
        }
        check_owner(path, "link", &next, &metadata, trusted)?;
        links += 1;
        if links > MAX_LINKS {
            return Err(FileError::new(path, format!("more than {MAX_LINKS} symbolic links lead to it")));
        }
        let target = std::fs::read_link(&next).map_err(|error| unreadable(path, &error))?;
        if target.is_absolute() {
            folder = PathBuf::from("/");
        }
        pending.extend(reversed(&target));
    }
    Ok(())
}

/// Returns the components of a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let named = |component: &Component<'_>| matches!(component, Component::Normal(_) | Component::ParentDir);
    path.components().filter(named).map(|component| component.as_os_str().to_owned()).rev().collect()
}

fn check_folder(
    path: &Path,
    folder: &Path,
    metadata: &Metadata,
    trusted: Option<u32>,
) -> Result<(), FileError> {
    check_owner(path, "folder", folder, metadata, trusted)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 && mode & STICKY == 0 {
        let message = format!(
            "can be replaced by other users: folder {} can be written by group or others (mode {mode:04o})",
            folder.display()
        );
        return Err(FileError::new(path, message).hint(format!("chmod go-w {}", folder.display())));
    }
    Ok(())
}

fn check_owner(
    path: &Path,
    what: &str,
    entry: &Path,
    metadata: &Metadata,
    trusted: Option<u32>,
) -> Result<(), FileError> {
    let Some(owner) = untrusted_owner(metadata).filter(|owner| Some(*owner) != trusted) else {
        return Ok(());
    };
    let entry = entry.display();
    let message = format!("can be replaced by another user: {what} {entry} is owned by uid {owner}");
    Err(FileError::new(path, message).hint("move the file below folders that root or the current user owns"))
}
