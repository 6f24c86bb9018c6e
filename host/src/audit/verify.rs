//! Verifies the files of a log: every line follows from the one before, and checkpoints have valid signatures.

use std::path::Path;

use taskseal_core::keys::VerifyingKey;

use self::chain::Chain;
use super::log_files::LogFiles;
use crate::file_error::FileError;

mod chain;
mod fault;

pub use self::fault::{Fault, FaultKind};

/// What a verification has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Name of the log.
    pub log: Option<String>,
    /// Number of the first line that was read.
    pub first: u64,
    /// Number of the last line that was read.
    pub last: u64,
    /// Number of checkpoints whose signature is valid.
    pub checkpoints: u64,
    /// Number of checkpoints that were not verified, because no key was given.
    pub unchecked: u64,
    /// Number of the last line that a valid signature covers; 0 if there is none.
    pub signed: u64,
    /// Number of lines that were cut by a crash, and recorded as such by the next line.
    pub cuts: u64,
    /// Number of bytes after the last whole line, which no line has recorded yet.
    pub open_cut: u64,
    /// Number of lines in the last file.
    pub lines_of_last_file: u64,
    /// What is wrong, in the order of the lines. At most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
}

/// Maximum number of faults in a report.
pub const MAX_FAULTS: usize = 100;

impl Report {
    /// Returns whether nothing is wrong.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns the number of lines after the last valid signature: their removal or change at the end of the log cannot be found.
    #[must_use]
    pub const fn unsigned(&self) -> u64 {
        let before = if self.signed > 0 { self.signed } else { self.first.saturating_sub(1) };
        self.last.saturating_sub(before)
    }

    /// Adds a fault at the end of `file` if no line has a valid signature, or if more than `max_unsigned` lines follow the last one:
    /// an attacker without the key can write lines with valid hashes.
    pub fn require_signed(&mut self, file: &Path, max_unsigned: u64) {
        let lines = self.unsigned();
        if lines > 0 && (self.signed == 0 || lines > max_unsigned) {
            let kind = FaultKind::NotSigned { lines };
            self.faults.push(Fault { file: file.to_owned(), line: self.lines_of_last_file, kind });
        }
    }
}

/// Verifies the files of a log. Checkpoints must be signed by one of `keys`; without keys, signatures are not verified.
///
/// # Errors
/// [`FileError`] if a file cannot be read.
pub fn verify(files: &LogFiles, keys: &[VerifyingKey]) -> Result<Report, FileError> {
    let mut chain = Chain::new(keys);
    for path in files.paths() {
        chain.begin_file(path);
        files.read(path, |line| chain.line(line))?;
    }
    Ok(chain.finish())
}
