//! Whether the log itself can have deleted lines. The first line of a file states that it has, and an attacker who can write the log can
//! write such a line.

use std::fs::File;
use std::io;

use taskseal_core::keys::VerifyingKey;

use super::checkpoint::LogState;
use super::folder::Folder;
use super::line::Head;
use super::line_reader::LineReader;
use super::names;

/// What the deletion of a line by the log requires.
pub(super) struct RemovalRule<'l> {
    /// Name of the log.
    pub(super) log: &'l str,
    /// Public keys of its checkpoints; `None` if this host knows none.
    pub(super) keys: Option<Vec<VerifyingKey>>,
    /// Number of rotated files that are kept.
    pub(super) keep: usize,
}

impl RemovalRule<'_> {
    /// Returns whether the log can have deleted line `n`: a checkpoint in the files that are left covers it, because one is signed
    /// before each rotation. If no key is known, as many rotated files as are kept must be left.
    pub(super) fn allows(&self, folder: &Folder, n: u64) -> io::Result<bool> {
        let Some(keys) = &self.keys else { return Ok(folder.rotated()?.len() >= self.keep) };
        for name in folder.all()?.iter().rev() {
            if self.is_covered(n, folder.open(name)?, keys)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether a file has a checkpoint with a valid signature that covers line `n`.
    fn is_covered(&self, n: u64, file: File, keys: &[VerifyingKey]) -> io::Result<bool> {
        let mut lines = LineReader::new(file);
        while let Some(line) = lines.read_any()? {
            let later = Head::parse(line).filter(|head| head.event == names::CHECKPOINT && head.n > n);
            let Some((last, head)) = later.and_then(|head| Some((head.previous()?, head))) else { continue };
            let state = LogState { log: self.log, lines: head.n - 1, last: &last };
            if state.verify(line, &head, keys).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
