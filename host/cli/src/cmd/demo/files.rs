//! The input of the demonstration: the files below a folder, without hidden ones and caches, up to a limit.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

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
/// A folder with a file of this name holds what a program can create again: <https://bford.info/cachedir/>. Cargo marks
/// its folder of built files so.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// Returns the files below `dir`, ordered by name. Symbolic links are not followed.
pub(super) fn collect(dir: &Path) -> Files {
    let mut found = Files::default();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(listed) = fs::read_dir(&folder) else { continue };
        let mut entries: Vec<_> = listed.flatten().filter(is_visible).collect();
        entries.sort_unstable_by_key(DirEntry::file_name);
        let mut below = Vec::new();
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !is_cache(&entry) => below.push(entry.path()),
                Ok(kind) if kind.is_file() => found.add(entry.path()),
                _ => {}
            }
        }
        folders.extend(below.into_iter().rev());
    }
    found
}

fn is_visible(entry: &DirEntry) -> bool {
    !entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn is_cache(folder: &DirEntry) -> bool {
    folder.file_name() == "node_modules" || folder.path().join(CACHE_TAG).exists()
}

impl Files {
    fn add(&mut self, path: PathBuf) {
        let fits = fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= MAX_BYTES);
        if fits && self.files.len() < MAX_FILES && fs::File::open(&path).is_ok() {
            self.files.push(File { path });
        } else {
            self.skipped += 1;
        }
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "code of a test")]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_and_caches_are_left_out() {
        let top = tempfile::tempdir().unwrap();
        for folder in [".git", "target/debug", "node_modules", "src/b", "src/a"] {
            fs::create_dir_all(top.path().join(folder)).unwrap();
        }
        for file in [".git/HEAD", "target/CACHEDIR.TAG", "target/debug/x", "node_modules/x", "src/b/x"] {
            fs::write(top.path().join(file), "x").unwrap();
        }
        for file in ["src/z", "src/a/y", ".hidden", "README"] {
            fs::write(top.path().join(file), "x").unwrap();
        }

        let found = collect(top.path());

        let names = found.files.iter().map(|file| file.path.strip_prefix(top.path()).unwrap());
        let names: Vec<_> = names.map(|name| name.to_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["README", "src/z", "src/a/y", "src/b/x"]);
        assert_eq!(found.skipped, 0);
    }

    #[test]
    fn files_that_are_too_large_are_counted() {
        let top = tempfile::tempdir().unwrap();
        let large = fs::File::create(top.path().join("large")).unwrap();
        large.set_len(MAX_BYTES + 1).unwrap();
        fs::write(top.path().join("small"), "x").unwrap();

        let found = collect(top.path());

        assert_eq!((found.files.len(), found.skipped), (1, 1));
    }
}
