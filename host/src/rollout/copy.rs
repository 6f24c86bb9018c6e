//! A copy of the strictest modes, beside the record: the loss of one of the two files loosens no mode.

use std::io;
use std::path::{Path, PathBuf};

use crate::file_error::{FileError, MAX_LEN};
use crate::file_security::{read_guarded, replace_durably};
use crate::policy::Mode;

const NAME: &str = "rollout-modes";
const FIRST_LINE: &str = "taskseal modes 1";

/// The copy: one line for each pattern, and their number at the end.
#[derive(Debug)]
pub(super) struct ModesCopy {
    path: PathBuf,
}

impl ModesCopy {
    /// Returns the copy of the record at `record`.
    pub(super) fn beside(record: &Path) -> Self {
        Self { path: record.with_file_name(NAME) }
    }

    /// Reads the modes. Returns `None` if there is no copy.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read, or is damaged.
    pub(super) fn read(&self) -> Result<Option<Vec<(String, Mode)>>, FileError> {
        let content = match read_guarded(&self.path, MAX_LEN) {
            Ok(content) => content,
            Err(error) if error.io == Some(io::ErrorKind::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || FileError::new(&self.path, "is not a copy of the modes of task types");
        parse(&content).map(Some).ok_or_else(damaged)
    }

    /// Writes the modes, unless they are the same.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be written.
    pub(super) fn write(&self, modes: &[(String, Mode)]) -> Result<(), FileError> {
        if self.read().is_ok_and(|known| known.as_deref() == Some(modes)) {
            return Ok(());
        }
        replace_durably(&self.path, text(modes).as_bytes(), 0o600)
    }
}

fn text(modes: &[(String, Mode)]) -> String {
    let lines = modes.iter().map(|(pattern, mode)| format!("{mode} {pattern}\n"));
    format!("{FIRST_LINE}\n{}end {}\n", lines.collect::<String>(), modes.len())
}

/// Parses a copy to the letter: an erased, cut off or edited one is none.
fn parse(content: &str) -> Option<Vec<(String, Mode)>> {
    let (body, _) = content.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?.rsplit_once("end ")?;
    let modes: Option<Vec<_>> = body
        .lines()
        .map(|line| {
            let (mode, pattern) = line.split_once(' ')?;
            let is_pattern = !pattern.is_empty() && !pattern.contains(' ');
            is_pattern.then_some((pattern.to_owned(), Mode::from_name(mode)?))
        })
        .collect();
    modes.filter(|modes| text(modes) == content)
}
