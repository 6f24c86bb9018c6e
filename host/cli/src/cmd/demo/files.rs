//! The demonstration's input: real files below a folder, ignore files honoured, capped.

use std::fs;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use zeroize::Zeroizing;

/// Files to digest, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) files: Vec<File>,
    /// Files left out because they are too large or cannot be read, or because there are enough.
    pub(super) left_out: usize,
}

/// One file. It is read when its task is sealed, so that memory does not grow with the input.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
}

/// Most files taken.
pub(super) const MAX_FILES: usize = 2000;
/// Most bytes of a file: what a worker accepts by default.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Collects the files below `dir`, in order of name.
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
            found.left_out += 1;
        }
    }
    found
}

impl File {
    /// Its content; a file that has grown since or is gone by now is read as empty, as its digest is then.
    pub(super) fn read(&self) -> Zeroizing<Vec<u8>> {
        let content = fs::read(&self.path).unwrap_or_default();
        let fits = u64::try_from(content.len()).is_ok_and(|len| len <= MAX_BYTES);
        Zeroizing::new(if fits { content } else { Vec::new() })
    }
}
