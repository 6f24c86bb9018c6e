//! Whether a path still names the file that a process has open.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file was moved, deleted or replaced while this process has it open: what is written to the open file is lost for every
/// process that opens the path.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{}: the file was moved, deleted or replaced while this process uses it; nothing is written until the same file \
     is back at this path, or the process is started again", path.display()
)]
pub(crate) struct Moved {
    path: PathBuf,
}

/// A path, and the files that it and the names of its log and its index had when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    files: [(PathBuf, (u64, u64)); 3],
}

impl Location {
    /// Records the files of a connection in write-ahead mode that has been used: SQLite keeps all three until it is closed.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let with = |suffix: &str| {
            let mut name = OsString::from(&path);
            name.push(suffix);
            let path = PathBuf::from(name);
            identity(&path).map(|identity| (path, identity))
        };
        Ok(Self { files: [with("")?, with("-wal")?, with("-shm")?] })
    }

    /// Fails if one of the files is no longer at its path: three calls of the operating system, without input or output.
    pub(crate) fn check(&self) -> Result<(), Moved> {
        let moved = |(path, known): &&(PathBuf, (u64, u64))| identity(path).ok() != Some(*known);
        match self.files.iter().find(moved) {
            None => Ok(()),
            Some((path, _)) => Err(Moved { path: path.clone() }),
        }
    }
}

/// Returns device and inode of a file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}
