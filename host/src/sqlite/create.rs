//! Creating a file with the right mode, or finding that it exists.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode bits of a folder whose group shares what is created in it: set-group-id, and group-writable.
const SHARED: u32 = 0o2020;

/// Creates an empty file if there is none, such that its name survives a power failure.
///
/// The mode is 0600, or 0660 in a folder that its group shares if `shared`.
pub(super) fn create(path: &Path, shared: bool) -> io::Result<()> {
    match find(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let metadata = fs::metadata(folder)?;
    check_owner(&metadata)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            if shared && metadata.mode() & SHARED == SHARED {
                file.set_permissions(Permissions::from_mode(0o660))?;
            }
            file.sync_all()?;
            fs::File::open(folder)?.sync_all()
        }
        // Another process created it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => find(path),
        Err(error) => Err(error),
    }
}

/// Finds a regular file: opening a pipe or a device could block.
pub(super) fn find(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() { Ok(()) } else { Err(io::Error::other("not a regular file")) }
}

/// Finds a regular file that is not empty: what an empty one contained is lost.
pub(super) fn find_used(path: &Path) -> io::Result<()> {
    find(path)?;
    if fs::metadata(path)?.len() == 0 { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
}

/// Refuses to create a file as root in the folder of another user, which that user could not open afterwards.
fn check_owner(folder: &fs::Metadata) -> io::Result<()> {
    let owner = folder.uid();
    if owner == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "not created by root, because the folder belongs to another user (uid {owner}): run this command as that user"
    )))
}
