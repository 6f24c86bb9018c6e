//! Looks up a line that a process has seen, after the files of the log have changed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::files;
use super::line::{Hash, MAX_LINE, hash};
use super::settings::AuditSettings;
use super::tail::first_line;

/// A line that a process has written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) n: u64,
    pub(super) hash: Hash,
}

/// Returns whether the files of the log have the line, or whether it was in a file that was deleted because it was the oldest one.
pub(super) fn is_present(settings: &AuditSettings, seen: Seen) -> io::Result<bool> {
    let mut oldest = 0;
    for path in files::all(&settings.file)?.iter().rev() {
        let file = File::open(path)?;
        // Without a whole first line, the file may have any line.
        oldest = first_line(&file)?.map_or(0, |first| first.n);
        if oldest <= seen.n {
            if contains(&file, &seen.hash)? {
                return Ok(true);
            }
            if oldest > 0 {
                return Ok(false);
            }
        }
    }
    // Fewer files than are kept: no process has deleted the oldest one.
    Ok(oldest > seen.n && files::list_rotated(&settings.file)?.len() >= settings.keep)
}

fn contains(file: &File, seen: &Hash) -> io::Result<bool> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A longer line is read in parts, none of which is a line of a log.
        if (&mut reader).take(2 * MAX_LINE as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        if hash(&line) == *seen {
            return Ok(true);
        }
    }
}
