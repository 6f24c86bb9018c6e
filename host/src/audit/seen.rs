//! Looks up a line that a process has seen, after the files of the log have changed.

use std::fs::File;
use std::io;

use super::folder::Folder;
use super::line::{Hash, hash};
use super::line_reader::LineReader;
use super::removal::RemovalRule;
use super::tail::first_line;

/// A line that a process has written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) n: u64,
    pub(super) hash: Hash,
}

/// Returns whether the files of the log have the line, or whether it was in a file that the log has deleted because it was the oldest
/// one.
pub(super) fn is_present(folder: &Folder, seen: Seen, rule: &RemovalRule<'_>) -> io::Result<bool> {
    // The last line of a file that was deleted, as the newest file states.
    let mut removed = None;
    for name in folder.all()?.iter().rev() {
        let file = folder.open(name)?;
        let first = first_line(&file)?;
        // Without a whole first line, the file may have any line.
        let start = first.as_ref().map_or(0, |first| first.n);
        if start <= seen.n {
            if contains(file, &seen.hash)? {
                return Ok(true);
            }
            if start > 0 {
                return Ok(false);
            }
        }
        removed = removed.or(first.and_then(|first| first.removed_lines));
    }
    Ok(removed.is_some_and(|removed| seen.n <= removed) && rule.allows(folder, seen.n)?)
}

fn contains(file: File, seen: &Hash) -> io::Result<bool> {
    let mut lines = LineReader::new(file);
    while let Some(line) = lines.read_any()? {
        if hash(line) == *seen {
            return Ok(true);
        }
    }
    Ok(false)
}
