//! The files of a log, to be read: what is in their place neither blocks the reader nor leads it to other files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::files;
use super::folder::Folder;
use super::line_reader::LineReader;
use crate::file_error::FileError;

/// The files of one log, the oldest first.
#[derive(Debug)]
pub struct LogFiles {
    paths: Vec<PathBuf>,
    /// The folder in which they were found.
    folder: Option<Folder>,
}

impl LogFiles {
    /// Finds all files of the log of a host. Links are not followed, and root reads only files of the owner of their folder.
    ///
    /// # Errors
    /// [`FileError`] if the folder cannot be read, or if this is root and other users than its owner and root can write in it.
    pub fn of(log: &Path) -> Result<Self, FileError> {
        let folder = Folder::to_read(log)?;
        let names = folder.all().map_err(|error| unreadable(log, &error))?;
        let path = |name| if name == folder.log() { log.to_owned() } else { files::folder(log).join(name) };
        let paths = names.iter().map(path).collect();
        Ok(Self { paths, folder: Some(folder) })
    }

    /// Uses the files that a user has named, the oldest first.
    #[must_use]
    pub const fn named(paths: Vec<PathBuf>) -> Self {
        Self { paths, folder: None }
    }

    /// Returns the paths of the files, the oldest first.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Calls `each` with each line of one of the files. A line has its end, unless it is cut or too long.
    ///
    /// # Errors
    /// [`FileError`] if the file cannot be read, is not a regular file, or has an extent without lines.
    pub fn read(&self, path: &Path, mut each: impl FnMut(&[u8])) -> Result<(), FileError> {
        let mut read = || {
            let mut lines = LineReader::new(self.open(path)?);
            while let Some(line) = lines.read()? {
                each(line);
            }
            Ok(())
        };
        read().map_err(|error| unreadable(path, &error))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        match &self.folder {
            Some(folder) => folder.open_to_read(path.file_name().unwrap_or_default()),
            None => open_named(path),
        }
    }
}

fn open_named(path: &Path) -> io::Result<File> {
    // Without NONBLOCK, a pipe without a writer would block.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

fn unreadable(path: &Path, error: &io::Error) -> FileError {
    FileError::io(path, "cannot be read", error)
}
