//! The files of a log: the current one and the rotated ones, `NAME.000001` and so on, the oldest first.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Number of digits in the name of a rotated file: names sort by age.
const DIGITS: usize = 6;

/// Returns the name of the log with a dot and `suffix`.
pub(super) fn with_suffix(log: &OsStr, suffix: &str) -> OsString {
    let mut name = log.to_owned();
    name.push(".");
    name.push(suffix);
    name
}

/// Returns the name of the rotated file with this number.
pub(super) fn rotated(log: &OsStr, number: u64) -> OsString {
    with_suffix(log, &format!("{number:0DIGITS$}"))
}

/// Returns the number of a rotated file; `None` for any other file.
pub(super) fn number(log: &OsStr, name: &OsStr) -> Option<u64> {
    let number = name.to_str()?.strip_prefix(log.to_str()?)?.strip_prefix('.')?;
    let is_number = number.len() >= DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { number.parse().ok() } else { None }
}

/// Returns the folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use crate::audit::folder::Folder;

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
        let names = Folder::to_read(&log).unwrap().all().unwrap();
        assert_eq!(names, ["audit.jsonl.000009", "audit.jsonl.000010", "audit.jsonl.1000000", "audit.jsonl"]);
    }
}
