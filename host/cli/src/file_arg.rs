//! Files in arguments: `-` stands for standard input or standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use taskseal::file_error::FileError;
use taskseal::wiped_buffer::WipedBuffer;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::ui::Ui;

/// Maximum size of an envelope file, in bytes: larger than every valid envelope.
pub(crate) const MAX_ENVELOPE: usize = taskseal_core::MAX_BODY + 4096;

/// Returns whether a path stands for standard input or standard output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Reads at most `limit` bytes into memory that is wiped on drop.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| {
        let error = FileError::io(path, "cannot be read", &error);
        Failure::new(error.to_string()).hint("name a readable file, or `-` for standard input")
    };
    let (mut source, len): (Box<dyn Read>, u64) = if is_standard(path) {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        (Box::new(file), len)
    };
    let mut bytes = WipedBuffer::with_capacity(usize::try_from(len).unwrap_or(limit).min(limit) + 1);
    if bytes.read_from(&mut source, limit + 1).map_err(failed)? > limit {
        return Err(Failure::new(format!("{}: longer than {limit} bytes", path.display()))
            .hint("store large data elsewhere and seal a reference to it"));
    }
    Ok(bytes.into_bytes())
}

/// Writes to a new file or to standard output.
pub(crate) fn write(path: &Path, bytes: &[u8], ui: &Ui) -> Result<(), Failure> {
    write_with(File::options(), path, bytes, ui)
}

/// Writes to a new file with mode 0600 or to standard output.
pub(crate) fn write_private(path: &Path, bytes: &[u8], ui: &Ui) -> Result<(), Failure> {
    let mut options = File::options();
    options.mode(0o600);
    write_with(options, path, bytes, ui)
}

fn write_with(mut options: OpenOptions, path: &Path, bytes: &[u8], ui: &Ui) -> Result<(), Failure> {
    if is_standard(path) {
        return ui.data(bytes);
    }
    let written = options.write(true).create_new(true).open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| {
        let failure = Failure::new(FileError::io(path, "cannot be written", &error).to_string());
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failure.hint("existing files are not overwritten: choose another name")
            }
            _ => failure,
        }
    })
}
