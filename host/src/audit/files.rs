//! The files of a log: the current one and the rotated ones, `NAME.000001` and so on, the oldest first.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid, fchown};

/// Number of digits in the name of a rotated file: names sort by age.
const DIGITS: usize = 6;

/// Returns the name of `log` with a dot and `suffix`.
pub(super) fn with_suffix(log: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(log);
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Returns the name of the rotated file with this number.
pub(super) fn rotated(log: &Path, number: u64) -> PathBuf {
    with_suffix(log, &format!("{number:0DIGITS$}"))
}

/// Returns the rotated files with their numbers, the oldest first.
pub(super) fn list_rotated(log: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder(log))? {
        let entry = entry?;
        let entry_name = entry.file_name();
        let number = entry_name.to_str().and_then(|entry| entry.strip_prefix(&name)?.strip_prefix('.'));
        let is_number = |text: &&str| text.len() >= DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = number.filter(is_number).and_then(|text| text.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Returns all files of a log that exist, the oldest first.
///
/// # Errors
/// The error of the operating system if the folder cannot be read.
pub fn all(log: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = list_rotated(log)?.into_iter().map(|(_, path)| path).collect();
    if log.try_exists()? {
        files.push(log.to_owned());
    }
    Ok(files)
}

/// Returns the folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens the file to read and to append. `create` makes a new one, for its owner alone.
pub(super) fn open(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    if create {
        let file = options.create_new(true).open(path)?;
        give_to_owner_of_folder(&file, path)?;
        return Ok(file);
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Gives a file that root has created to the owner of its folder, so that the worker of another user can write it.
pub(super) fn give_to_owner_of_folder(file: &File, path: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let folder = std::fs::metadata(folder(path))?;
    let (own, owner) = (file.metadata()?, (folder.uid(), folder.gid()));
    if (own.uid(), own.gid()) != owner {
        fchown(file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
    }
    Ok(())
}

/// Makes names in the folder of `path` as durable as the content of files.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_log_are_listed_by_age_without_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("audit.jsonl");
        for name in ["audit.jsonl", "audit.jsonl.000010", "audit.jsonl.000009", "audit.jsonl.1000000"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        for name in ["audit.jsonl.lock", "audit.jsonl.1", "audit.jsonl.00000x", "other.000001"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            all(&log).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["audit.jsonl.000009", "audit.jsonl.000010", "audit.jsonl.1000000", "audit.jsonl"]);
    }
}
