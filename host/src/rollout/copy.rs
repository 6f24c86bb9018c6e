//! A copy of what makes the record stricter, beside it: the loss of one of the two files loosens no mode.

use std::io;
use std::path::{Path, PathBuf};

use crate::file_error::{FileError, MAX_LEN};
use crate::file_security::{read_guarded, replace_durably};
use crate::policy::Mode;
use crate::queue::QueueName;

const NAME: &str = "rollout-modes";
const FIRST_LINE: &str = "taskseal modes 2";
const SEALED: &str = "sealed";

/// What the copy has, in the order of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strictness {
    /// Pattern and strictest mode.
    pub(super) modes: Vec<(String, Mode)>,
    /// Queue and pattern of the types of which a sealed task was accepted.
    pub(super) sealed: Vec<(QueueName, String)>,
}

/// The copy: one line for each pattern, and for each queue and pattern with sealed tasks, and their number at the end.
#[derive(Debug)]
pub(super) struct ModesCopy {
    path: PathBuf,
}

impl ModesCopy {
    /// Returns the copy of the record at `record`.
    pub(super) fn beside(record: &Path) -> Self {
        Self { path: record.with_file_name(NAME) }
    }

    /// Reads the copy. Returns `None` if there is none.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read, or is damaged.
    pub(super) fn read(&self) -> Result<Option<Strictness>, FileError> {
        let content = match read_guarded(&self.path, MAX_LEN) {
            Ok(content) => content,
            Err(error) if error.io == Some(io::ErrorKind::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || FileError::new(&self.path, "is not a copy of the modes of task types");
        parse(&content).map(Some).ok_or_else(damaged)
    }

    /// Writes the copy, unless it is the same.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be written.
    pub(super) fn write(&self, strictness: &Strictness) -> Result<(), FileError> {
        if self.read().is_ok_and(|known| known.as_ref() == Some(strictness)) {
            return Ok(());
        }
        replace_durably(&self.path, text(strictness).as_bytes(), 0o600)
    }
}

fn text(Strictness { modes, sealed }: &Strictness) -> String {
    let modes_text = modes.iter().map(|(pattern, mode)| format!("{mode} {pattern}\n"));
    let sealed_text =
        sealed.iter().map(|(queue, pattern)| format!("{SEALED} {} {pattern}\n", queue.as_str()));
    let lines: String = modes_text.chain(sealed_text).collect();
    format!("{FIRST_LINE}\n{lines}end {}\n", modes.len() + sealed.len())
}

/// Parses a copy to the letter: an erased, cut off or edited one is none.
fn parse(content: &str) -> Option<Strictness> {
    let (body, _) = content.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?.rsplit_once("end ")?;
    let mut found = Strictness::default();
    for line in body.lines() {
        let (kind, rest) = line.split_once(' ')?;
        let (queue, pattern) = if kind == SEALED { rest.split_once(' ')? } else { ("", rest) };
        if pattern.is_empty() || pattern.contains(' ') {
            return None;
        }
        let pattern = pattern.to_owned();
        if kind == SEALED {
            found.sealed.push((QueueName::parse(queue).ok()?, pattern));
        } else {
            found.modes.push((pattern, Mode::from_name(kind)?));
        }
    }
    (text(&found) == content).then_some(found)
}
