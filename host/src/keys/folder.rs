//! Folders of key files: a reference to a folder names every key in it, so that a rotation changes files and the keyset alone.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::KeyError;
use super::reference::{FILE, KeyRef};
use crate::file_error::FileError;
use crate::file_watch;

/// Returns the key files of a folder, or the place itself. Hidden files and those that end in `~` are ignored.
pub(super) fn expand(place: &KeyRef) -> Result<Vec<KeyRef>, KeyError> {
    let path = Path::new(place.address());
    if !is_folder(place) {
        return Ok(vec![place.clone()]);
    }
    let fault = |error| KeyError::of_file(place, &FileError::io(path, "cannot be read", &error));
    // A file that is added to it later is a change.
    file_watch::record(path, Some(&fs::metadata(path).map_err(fault)?));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if !is_ignored(&entry.file_name().to_string_lossy()) {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    let field = place.field().unwrap_or_default().to_owned();
    Ok(files.into_iter().map(|file: PathBuf| KeyRef::from(file).with_field(&field)).collect())
}

/// Returns whether a reference names a folder.
fn is_folder(place: &KeyRef) -> bool {
    place.scheme() == FILE && Path::new(place.address()).is_dir()
}

/// Returns whether a file of a folder is hidden or the backup of an editor.
fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~')
}
