//! The folder of the demonstration: temporary, or kept for other commands to read.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::Failure;

/// The folder with keys, queue, ledger, quarantine and configuration.
pub(super) enum Folder {
    /// Removed on drop.
    Temporary(TempDir),
    /// Named by the user.
    Kept(PathBuf),
}

impl Folder {
    /// Creates a temporary folder, or the folder to keep, which must be empty or not exist.
    pub(super) fn create(keep: Option<&Path>) -> Result<Self, Failure> {
        let Some(dir) = keep else {
            let folder = tempfile::tempdir()
                .map_err(|error| Failure::new(format!("cannot create a temporary folder: {error}")))?;
            return Ok(Self::Temporary(folder));
        };
        let failed = |error| Failure::new(format!("{}: cannot be created: {error}", dir.display()));
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::new(format!("{}: not empty", dir.display()))
                .hint("name a folder that is empty or does not exist"));
        }
        // Secret keys and the ledger: for the user alone.
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        std::path::absolute(dir).map(Self::Kept).map_err(failed)
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }

    /// Returns the folder if it is kept.
    pub(super) fn kept(&self) -> Option<&Path> {
        match self {
            Self::Temporary(_) => None,
            Self::Kept(path) => Some(path),
        }
    }
}
