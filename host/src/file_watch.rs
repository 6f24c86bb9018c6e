//! Which files a value was read from, and whether they have changed since.
//!
//! Files are recorded where they are opened, so that everything that decided about a value is watched: a keyset and the key files
//! that it names, in the version that was read. Metadata is compared at intervals instead of waiting for notifications, which
//! network file systems do not send and which follow no symbolic link of a Kubernetes volume.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

thread_local! {
    static RECORD: RefCell<Option<FileVersions>> = const { RefCell::new(None) };
}

/// Files and the version of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileVersions(BTreeMap<PathBuf, Option<Version>>);

/// What differs between two versions of a file. The change time covers the mode, the owner and the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Returns the present version of the file to which a path leads, `None` if there is no such file.
    fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

impl FileVersions {
    /// Returns the present versions of the same files.
    pub(crate) fn now(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Version::at(path))).collect())
    }

    /// Adds files, in place of other versions of them.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Returns what `read` returns, and the files that this thread opened meanwhile.
pub(crate) fn recorded<T>(read: impl FnOnce() -> T) -> (T, FileVersions) {
    let outer = RECORD.replace(Some(FileVersions::default()));
    let value = read();
    let files = RECORD.replace(outer).unwrap_or_default();
    (value, files)
}

/// Records a file or folder that was opened, in the version of `metadata`, or that cannot be opened.
pub(crate) fn record(path: &Path, metadata: Option<&Metadata>) {
    RECORD.with_borrow_mut(|record| {
        if let Some(FileVersions(files)) = record {
            let version =
                || metadata.map_or_else(|| Version::at(path), |metadata| Some(Version::of(metadata)));
            // The version that was read first decides: a later one is a change.
            files.entry(path.to_owned()).or_insert_with(version);
        }
    });
}
