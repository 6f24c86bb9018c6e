//! The input of the demonstration: the files below a folder, without ignored ones, up to a limit.

use std::fs;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use zeroize::Zeroizing;

/// The input files.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) files: Vec<File>,
    /// Number of files that are too large, unreadable or beyond the limit.
    pub(super) skipped: usize,
}

/// One file. It is read when its task is sealed, so that memory use does not grow with the input.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
}

/// Maximum number of files.
pub(super) const MAX_FILES: usize = 2000;
/// Maximum size of a file, in bytes: what a worker accepts by default.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Returns the files below `dir`, ordered by name.
pub(super) fn collect(dir: &Path) -> Files {
    let mut found = Files::default();
    let walk = WalkBuilder::new(dir).sort_by_file_path(Ord::cmp).build();
    for entry in walk.filter_map(Result::ok) {
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() {
            continue;
        }
        let readable = metadata.len() <= MAX_BYTES && fs::File::open(entry.path()).is_ok();
        if readable && found.files.len() < MAX_FILES {
            found.files.push(File { path: entry.into_path() });
        } else {
            found.skipped += 1;
        }
    }
    found
}

impl File {
    /// Returns the content. A file that has grown over the limit or was deleted since is empty, and its expected digest
    /// is computed from that.
    pub(super) fn read(&self) -> Zeroizing<Vec<u8>> {
        let content = fs::read(&self.path).unwrap_or_default();
        let fits = u64::try_from(content.len()).is_ok_and(|len| len <= MAX_BYTES);
        Zeroizing::new(if fits { content } else { Vec::new() })
    }
}
