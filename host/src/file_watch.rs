//! Which files a value was read from, whether they have changed since, and when what else it was read from ends.
//!
//! Files are recorded where they are opened, so that everything that decided about a value is watched: a keyset and the key files
//! that it names, in the version that was read. Metadata is compared at intervals instead of waiting for notifications, which
//! network file systems do not send and which follow no symbolic link of a Kubernetes volume.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

thread_local! {
    static RECORD: RefCell<Option<FileVersions>> = const { RefCell::new(None) };
}

/// Files and the version of each, and when secrets of other sources must be fetched again.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileVersions {
    files: BTreeMap<PathBuf, Option<Version>>,
    fetch_again: Option<Instant>,
}

/// The same versions of the same files.
impl PartialEq for FileVersions {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Eq for FileVersions {}

/// Minimum delay before a secret is fetched again. A source that states a shorter time is not asked all the time.
const MIN_FETCH_DELAY: Duration = Duration::from_secs(1);

/// Maximum of this delay: the maximum of the refresh interval. It keeps sums of times in range.
const MAX_FETCH_DELAY: Duration = Duration::from_secs(86_400);

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
        let files = self.files.keys().map(|path| (path.clone(), Version::at(path))).collect();
        Self { files, fetch_again: self.fetch_again }
    }

    /// Adds files, in place of other versions of them.
    pub(crate) fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
    }

    /// Returns when the secrets of other sources must be fetched again; `None` if none of them ends.
    pub(crate) const fn fetch_again(&self) -> Option<Instant> {
        self.fetch_again
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
        if let Some(FileVersions { files, .. }) = record {
            let version =
                || metadata.map_or_else(|| Version::at(path), |metadata| Some(Version::of(metadata)));
            // The version that was read first decides: a later one is a change.
            files.entry(path.to_owned()).or_insert_with(version);
        }
    });
}

/// Records that this thread has replaced a file: its present version is not a change.
pub(crate) fn record_written(path: &Path) {
    RECORD.with_borrow_mut(|record| {
        if let Some(FileVersions { files, .. }) = record {
            files.insert(path.to_owned(), Version::at(path));
        }
    });
}

/// Records that something that was fetched now must be fetched again after `delay`.
pub(crate) fn record_fetch_again(delay: Duration) {
    RECORD.with_borrow_mut(|record| {
        if let Some(FileVersions { fetch_again, .. }) = record {
            let at = Instant::now() + delay.clamp(MIN_FETCH_DELAY, MAX_FETCH_DELAY);
            *fetch_again = Some(fetch_again.map_or(at, |earlier| earlier.min(at)));
        }
    });
}
